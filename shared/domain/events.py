"""What the event bus speaks: requests that come in, events that go out, and their names.

    consciousness.<ask>.requested.v1      in: somebody asks
    io.snapfleet.<what>.<became>.v1       out: what became of it

Inside, an event has a short name, `<kind>.<what>`. `ANNOUNCED` is the one table from those to the types
that the world knows: a name inside may change, a type outside never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.domain.job import Job, JobKind, JobState
from shared.errors import Refused

SPECVERSION = "1.0"
SOURCE = "/snapfleet"
"""The `source` of every event that goes out."""

OLDEST = timedelta(days=1)
"""A request that waited longer is refused: what was right to ask yesterday may be wrong today."""
AHEAD = timedelta(minutes=5)
"""How far a publisher's clock may be ahead of ours."""


class Ask(StrEnum):
    """What can be asked for; each needs its permission."""

    SNAPSHOT = "snapshot"
    RESTORE = "restore"
    UNDO = "undo"
    VERIFY = "verify"
    CHECK = "check"

    @property
    def type(self) -> str:
        return f"consciousness.{self}.requested.v1"


ALLOWED = (Ask.SNAPSHOT, Ask.VERIFY)
"""What may be asked for unless the configuration says otherwise: nothing that replaces a live database."""

KEEP_EVENTS = 100_000
"""How many events stay to be read by those who belong to no group."""

PREFIX = "io.snapfleet."
STAGES = (
    "accepted",
    "started",
    "progress",
    JobState.SUCCEEDED,
    *sorted({JobState.FAILED, JobState.CANCELLED}),
)

FINDINGS = "check.finding"
REJECTED = "request.rejected"
UNNEEDED = "request.unneeded"
"""Nothing had to be done: the database that was to be filled if empty is in use."""

ANNOUNCED: Mapping[str, str] = {
    **{f"{kind}.{stage}": f"{PREFIX}{kind}.{stage}.v1" for kind in JobKind for stage in STAGES},
    **{f"{kind}.rolled_back": f"{PREFIX}{kind}.rolled_back.v1" for kind in JobKind},
    "snapshot.succeeded": f"{PREFIX}snapshot.sealed.v1",
    "snapshot.suspect": f"{PREFIX}snapshot.suspect.v1",
    "snapshot.cleared": f"{PREFIX}snapshot.cleared.v1",
    "verify.succeeded": f"{PREFIX}snapshot.verified.v1",
    "verify.refuted": f"{PREFIX}snapshot.refuted.v1",
    "prune.succeeded": f"{PREFIX}snapshot.pruned.v1",
    "undo.succeeded": f"{PREFIX}restore.undone.v1",
    FINDINGS: f"{PREFIX}integrity.findings.v1",
    "schedule.missed": f"{PREFIX}schedule.missed.v1",
    "database.blocked": f"{PREFIX}database.blocked.v1",
    "database.unblocked": f"{PREFIX}database.unblocked.v1",
    REJECTED: f"{PREFIX}request.rejected.v1",
    UNNEEDED: f"{PREFIX}request.unneeded.v1",
}

FINAL = frozenset(
    ANNOUNCED[f"{kind}.{state}"] for kind in JobKind for state in JobState if state.is_final
) | {ANNOUNCED[REJECTED], ANNOUNCED[UNNEEDED]}
"""Types after which nothing more is heard of a job, or of a request that made none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The request that something happens for: CloudEvents' own identity, `source` and `id`."""

    source: str
    id: str

    @property
    def idempotency_key(self) -> str:
        """No two causes have the same one, whatever characters are in them."""
        return f"event:{len(self.source)}:{self.source}:{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that is well-formed. Whether it is granted is another question."""

    cause: Cause
    ask: Ask
    database: str
    time: datetime
    wants: Mapping[str, Any]
    """By the names of the type's own data, valid, and with every default in its place."""
    digest: str
    """Of all that is asked: the same request sent again has the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event as the catalog keeps it until it is published."""

    number: int
    """Where it stands in the outbox: grows with the sequence of its database."""
    id: str
    type: str
    """Our own name of it."""
    database: str | None
    sequence: int | None
    job_id: str | None
    cause: Cause | None
    data: Mapping[str, Any]
    time: datetime


def refuse_untimely(request: Request, *, now: datetime) -> None:
    """Refused for a request of another day, or of a clock that is far ahead."""
    if request.time < now - OLDEST:
        raise Refused(
            "the request is more than a day old",
            code="stale_request",
            hint="if it is still wanted, ask again, with a new id and time",
        )
    if request.time > now + AHEAD:
        raise Refused(
            "the request's time lies in the future",
            code="future_request",
            hint="set the publisher's clock",
        )


def data_of(job: Job) -> dict[str, Any]:
    """What an event about a job keeps of it, as it is at this moment."""
    data: dict[str, Any] = {
        "kind": str(job.kind),
        "request": dict(job.request),
        "result": dict(job.result),
        "error": job.error,
    }
    if job.finished_at is not None:
        data["seconds"] = round((job.finished_at - job.created_at).total_seconds(), 3)
    return data


def type_of(name: str) -> str:
    """The type that the world knows an event of ours by.

    A name that this release does not know was written by a newer one: it still goes out, under the
    type that the rule gives it.
    """
    return ANNOUNCED.get(name, f"{PREFIX}{name}.v1")
