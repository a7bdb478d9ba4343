"""Every error that can reach a user: one sentence, a stable code, and a hint where somebody can act.

Sorted at birth, read in three tables only: the base task (try again or give up), the command line
(exit status) and, later, the API (problem document).

    SnapfleetError
    ├── Transient            worth another try, later
    │   ├── Unreachable      a server does not answer
    │   └── Busy             somebody else is at it
    └── Permanent            the same again would fail the same
        ├── Misconfigured    a setting is wrong
        ├── Refused          we could, and will not
        ├── NotFound
        └── Damaged          what is stored is not what was recorded

A message never holds a secret: no DSN, no password, no key. Causes are kept (`raise … from exc`), and
are shown to developers only.
"""

from __future__ import annotations

from typing import ClassVar


class SnapfleetError(Exception):
    """The root of ours. `code` is stable and in snake_case; `hint` says what to do, or is None."""

    default_code: ClassVar[str] = "failed"

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint

    def facts(self) -> dict[str, str | None]:
        """The error as it is stored in a job's row and shown in JSON."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class Transient(SnapfleetError):
    """Worth another try: the world may be different next time."""

    default_code = "transient"


class Unreachable(Transient):
    """A server does not answer, or hung up."""

    default_code = "unreachable"


class Busy(Transient):
    """Somebody else works on it now."""

    default_code = "busy"


class Permanent(SnapfleetError):
    """Trying the same again would fail the same way."""

    default_code = "failed"


class Misconfigured(Permanent):
    """A setting is missing or wrong; the message names it."""

    default_code = "misconfigured"


class Refused(Permanent):
    """We could do it, and will not: a rule or a right stands against it."""

    default_code = "refused"


class NotFound(Permanent):
    """What was named does not exist."""

    default_code = "not_found"


class Damaged(Permanent):
    """What is stored is not what was recorded: truncated, flipped or gone."""

    default_code = "damaged"
