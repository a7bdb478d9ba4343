"""How a command ends: the one table from our errors to exit statuses."""

from __future__ import annotations

from shared.errors import Busy, Misconfigured, NotFound, Permanent, Refused, SnapfleetError, Unreachable

DONE = 0
FAILED = 1
USAGE = 2
NO_SNAPSHOT = 7
WARNED = 9
BROKEN = 10
NOT_PROVEN = 8
CHECKS_FAILED = 120
NOT_BACK = 121
NOT_BEGUN = 122
INTERRUPTED = 130

MEANINGS = {
    DONE: "done",
    FAILED: "failed",
    USAGE: "usage",
    3: "refused",
    4: "not found",
    5: "busy",
    6: "unreachable",
    NO_SNAPSHOT: "no snapshot to bootstrap from",
    WARNED: "a check found what will hurt one day",
    BROKEN: "a check found what hurts now",
    NOT_PROVEN: "not proven: what was restored or stored is not the snapshot",
    CHECKS_FAILED: "guard: the checks failed, the snapshot is back",
    NOT_BACK: "guard: the snapshot is not back",
    NOT_BEGUN: "guard: nothing was begun",
    INTERRUPTED: "interrupted; a job goes on",
}


class Usage(Permanent):
    """The command was given wrongly, in a way that the parser of options does not see."""

    default_code = "usage"


# The first that fits counts; whatever is not in here has failed.
STATUSES: tuple[tuple[type[SnapfleetError], int], ...] = (
    (Usage, USAGE),
    (Misconfigured, USAGE),
    (Refused, 3),
    (NotFound, 4),
    (Busy, 5),
    (Unreachable, 6),
)


def status_of(error: SnapfleetError) -> int:
    return next((status for kind, status in STATUSES if isinstance(error, kind)), FAILED)


def explained() -> str:
    """For the help: every status and its meaning."""
    return "Exit status: " + ", ".join(f"{status} {meaning}" for status, meaning in MEANINGS.items()) + "."
