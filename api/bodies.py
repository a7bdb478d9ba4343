"""What can be asked for, one model per body. What is not known is refused: a misspelt option must not be ignored."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from api.permissions import SNAPSHOT_ID

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
MOMENT = r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)$"


def _moment(given: object) -> datetime:
    if not isinstance(given, str) or re.fullmatch(MOMENT, given, re.ASCII) is None:
        raise ValueError("a moment is written as in 2026-11-22T19:55:00Z")
    return datetime.fromisoformat(given.upper())


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-22T19:55:00Z"]}),
]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=PRINTABLE)]
LabelValue = Annotated[str, StringConstraints(max_length=255, pattern=PRINTABLE)]
GivenSnapshotId = Annotated[
    str, StringConstraints(pattern=f"^{SNAPSHOT_ID}$"), Field(examples=["20261122T195500Z-3f9a2c"])
]
PlanId = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[0-9a-fA-F-]+$")]
Repeated = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63, pattern=PRINTABLE),
    Field(description="The database's name once more: this changes a live database.", examples=["orders"]),
]
NewName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=PRINTABLE)]


class Ask(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TakeSnapshot(Ask):
    """Take a snapshot."""

    labels: dict[LabelName, LabelValue] = Field(
        default={}, max_length=32, description="What it is for; kept with it.", examples=[{"release": "1.4"}]
    )
    verify: Literal["always", "daily", "never"] | None = Field(
        default=None, description="Whether a proof follows; without it the database's policy says."
    )


class Verify(Ask):
    """Prove a snapshot: restore it into a scratch database, and compare."""

    digests: Literal["all", "sample", "none"] | None = Field(
        default=None,
        description="Of which rows the content is compared; without it as the database is configured.",
    )


class Check(Ask):
    """Look for damage, in the database and in what is kept of it."""


class PlanRestore(Ask):
    """Which snapshot to bring back, and where to."""

    snapshot_id: GivenSnapshotId | None = Field(
        default=None, description="This one; without it the newest good one."
    )
    at: Moment | None = Field(default=None, description="The newest good one taken at or before this moment.")
    to: NewName | None = Field(
        default=None,
        description="Beside the live database, into a new one of this name.",
        examples=["orders_old"],
    )
    safeguard: bool = Field(default=True, description="Take a safety snapshot first of what is replaced.")


class Restore(Ask):
    """Bring back what a plan has shown, if all is as it was then."""

    plan_id: PlanId = Field(description="The plan's id.")
    database: Repeated
    snapshot_id: GivenSnapshotId = Field(description="The plan's snapshot.")
    to: NewName | None = Field(default=None, description="As it was planned.", examples=["orders_old"])
    safeguard: bool = Field(default=True, description="As it was planned.")


class Prune(Ask):
    """Delete what a plan has shown, if all is as it was then."""

    plan_id: PlanId = Field(description="The plan's id.")
    database: Repeated


class Undo(Ask):
    """Take a finished restore back."""

    database: Repeated
