"""Events as they go out, one model per shape: what publishers' schemas are made from, and what tests hold us to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from shared.domain.envelope import SEQUENCE_DIGITS
from shared.domain.events import ANNOUNCED, FINDINGS, REJECTED, UNNEEDED
from shared.domain.findings import Severity
from shared.domain.job import JobKind, JobState


class Shape(BaseModel):
    """What stands in `data`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Error(Shape):
    code: str = Field(description="Stable, for programs.")
    message: str = Field(description="One sentence, for people.")
    hint: str | None = Field(description="What to do about it.")


class JobFacts(Shape):
    job_id: str = Field(description="The job that was made.")
    kind: JobKind
    snapshot_id: str | None = None
    restore_job: str | None = Field(default=None, description="Of an undo: the restore that it takes back.")
    to: str | None = Field(
        default=None, description="Of a restore beside the live database: the new one's name."
    )
    safeguard_id: str | None = Field(
        default=None, description="The safety snapshot of what a restore replaces."
    )


class Accepted(JobFacts):
    """A request became a job, which runs as soon as its database is free."""

    joined: bool | None = Field(
        default=None, description="The job was there already: somebody else asked for it."
    )
    state: JobState | None = Field(default=None, description="Of a job that was there: what it is at now.")


class Started(JobFacts):
    """The job's first step has begun."""


class Progress(JobFacts):
    """How far the running step is: at most every five seconds, and only where something is new."""

    state: JobState
    step: str
    step_number: int
    steps: int
    parts: int
    done_parts: int
    done_bytes: int
    expected_bytes: int


class Results(JobFacts):
    """What jobs come to; each has its own of these."""

    seconds: float = Field(description="From when it was accepted to its end.")
    raw_bytes: int | None = None
    stored_bytes: int | None = None
    new_bytes: int | None = Field(default=None, description="Stored by this snapshot and by none before.")
    row_count: int | None = None
    tables: int | None = None
    objects: int | None = None
    suspicions: list[str] | None = Field(default=None, description="Why the snapshot looks wrong.")
    removed: list[str] | None = Field(default=None, description="Snapshots that retention let go.")
    deleted_chunks: int | None = None
    parked: str | None = Field(
        default=None, description="Where the replaced database lies for the undo window."
    )
    worst: Severity | None = Field(default=None, description="The worst that a check has found.")


class Succeeded(Results):
    """The job came to what it was for."""


class Ended(Results):
    """The job did not come to what it was for, and left everything as it was before."""

    error: Error | None = None


class Suspect(Shape):
    """A new snapshot looks wrong. It is kept, and counted by nothing until somebody accepts it."""

    job_id: str | None = None
    kind: Literal["snapshot"] | None = None
    snapshot_id: str
    compared_with: str | None = None
    suspicions: list[str]


class Refuted(Shape):
    """A snapshot is not what was recorded when it was taken."""

    job_id: str | None = None
    kind: JobKind | None = None
    snapshot_id: str
    differences: list[str]


class Finding(Shape):
    """One fact about one thing."""

    code: str
    severity: Severity
    subject: str
    what: str
    means: str
    todo: str
    amount: int
    fixable: bool


class Findings(Shape):
    """A check has found what hurts, or will."""

    job_id: str
    kind: Literal["check"]
    worst: Severity
    count: int
    findings: list[Finding] = Field(description="The worst of them.")


class Missed(Shape):
    """Moments of the schedule passed without a snapshot."""

    count: int
    first: AwareDatetime
    last: AwareDatetime
    why: str


class Blocked(Shape):
    """Whether snapshots of the database are taken has changed."""

    why: str


class Rejected(Shape):
    """A request was not granted. It lies among the dead letters."""

    error: Error
    entry: str = Field(description="The entry of the stream that brought it.")
    asked_type: str | None = None


class Unneeded(Shape):
    """A request was right, and there was nothing to do for it."""

    asked_type: str
    why: str


STAGES: Mapping[str, type[Shape]] = {
    "accepted": Accepted,
    "started": Started,
    "progress": Progress,
    "succeeded": Succeeded,
    "failed": Ended,
    "cancelled": Ended,
    "rolled_back": Ended,
}
OTHERS: Mapping[str, type[Shape]] = {
    "snapshot.suspect": Suspect,
    "snapshot.cleared": Suspect,
    "verify.refuted": Refuted,
    FINDINGS: Findings,
    "schedule.missed": Missed,
    "database.blocked": Blocked,
    "database.unblocked": Blocked,
    REJECTED: Rejected,
    UNNEEDED: Unneeded,
}
SHAPES: Mapping[str, type[Shape]] = {
    type_: OTHERS.get(name) or STAGES[name.partition(".")[2]] for name, type_ in ANNOUNCED.items()
}
"""The shape of `data` for every type that goes out."""


class Announcement(BaseModel):
    """The attributes of every event."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    specversion: Literal["1.0"]
    id: str = Field(description="The same however often the event is sent: pass over what you have seen.")
    source: Literal["/snapfleet"]
    type: str
    subject: str | None = Field(default=None, description="The database, by its name in the configuration.")
    sequence: Annotated[str, StringConstraints(pattern=f"^[0-9]{{{SEQUENCE_DIGITS}}}$")] | None = Field(
        default=None, description="Counts the events of the database, without a gap."
    )
    time: AwareDatetime
    datacontenttype: Literal["application/json"]
    causationid: str | None = Field(default=None, description="The id of the request that it happens for.")
    causationsource: str | None = Field(default=None, description="The source of that request.")
    data: dict[str, Any]
