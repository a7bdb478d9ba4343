"""What is answered, one model per thing. Times are UTC and end in Z, sizes are bytes, names are stable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.catalog.parked import Parked
from shared.catalog.verifications import Verification
from shared.domain import job as jobs
from shared.domain import snapshot as snapshots
from shared.domain.job import JobKind, JobState, StepState
from shared.domain.snapshot import Reason, SnapshotState
from shared.operations.health.reports import DatabaseReport, JobReport, SnapshotReport

Moment = Annotated[
    datetime, AfterValidator(lambda given: given.astimezone(UTC)), Field(examples=["2026-11-22T19:55:00Z"])
]
Bytes = Annotated[int, Field(examples=[192_500_000])]
SnapshotId = Annotated[str, Field(examples=["20261122T195500Z-3f9a2c"])]
JobId = Annotated[str, Field(examples=["3b6ae179-5f0e-4a3f-8a3b-6f3f3a3f9d11"])]
DatabaseName = Annotated[str, Field(examples=["orders"])]


class Shape(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Error(Shape):
    code: str | None = Field(description="Stable, for programs.", examples=["dump_failed"])
    message: str | None = Field(description="One sentence, for people.")
    hint: str | None = Field(default=None, description="What to do about it.")


class Share(Shape):
    """So many parts of large tables."""

    parts: int
    raw_bytes: Bytes


class HowRead(Shape):
    """What of the large tables was read, and what taken over from an earlier snapshot."""

    unread: Share = Field(description="Taken over; the server was not asked for their rows.")
    known: Share = Field(description="Read, and stored already.")
    new: Share = Field(description="Read, and something of them was stored.")
    built_on: str | None = Field(description="The snapshot that unread parts were taken over from.")
    unchecked: int = Field(description="How many in a row have taken parts over and compared none.")
    is_base: bool = Field(description="Whether later ones can be built on it.")
    reason: str | None = Field(description="Why everything was read.")
    not_base: str | None = Field(description="Why no later one can be built on it.")


class Snapshot(Shape):
    """One database at one moment."""

    id: SnapshotId
    database: DatabaseName
    sequence: int = Field(description="Orders the snapshots of one database; it never goes back.")
    state: SnapshotState
    standing: str = Field(
        description="In one word what it is worth: verified, sealed, suspect, refuted, or its state.",
        examples=["verified"],
    )
    reason: Reason
    labels: dict[str, str] = Field(description="What it is for.", examples=[{"release": "1.4"}])
    pinned: bool = Field(description="Whether retention leaves it alone.")
    created_at: Moment
    taken_at: Moment | None = Field(description="The moment that it shows.")
    sealed_at: Moment | None
    failed_at: Moment | None
    deleted_at: Moment | None
    verified_at: Moment | None = Field(description="When a real restore of it matched.")
    refuted_at: Moment | None = Field(description="When the newest proof of it did not.")
    accepted_at: Moment | None = Field(
        description="When somebody said that it is right though it looks wrong."
    )
    kept_until: Moment | None = Field(description="Retention leaves it alone until then.")
    suspicions: list[str] = Field(description="Why it looks like the snapshot of a broken database.")
    server_version: str | None
    raw_bytes: Bytes | None = Field(description="What was read.")
    stored_bytes: Bytes | None = Field(description="What is stored of it, others' share included.")
    new_bytes: Bytes | None = Field(description="Stored by this one and by none before.")
    row_count: int | None
    how_read: HowRead | None = Field(description="Not known of a snapshot of an earlier release.")
    duration_seconds: float | None
    manifest_sha256: str | None
    error: Error | None

    @classmethod
    def of(cls, found: snapshots.Snapshot) -> Self:
        return cls.model_validate(found)


class Proof(Shape):
    """One comparison with what a real restore gave."""

    job_id: JobId
    verified_at: Moment
    matched: bool
    restore_seconds: float
    prove_seconds: float
    raw_bytes: Bytes
    compared: dict[str, Any] = Field(description="How much of each kind was compared.")
    differences: list[str]

    @classmethod
    def of(cls, found: Verification) -> Self:
        return cls.model_validate(found)


class SnapshotDetail(Snapshot):
    """One snapshot with what was found out about it."""

    table_rows: dict[str, int] = Field(description="Rows of each table.", examples=[{"public.item": 500}])
    proofs: list[Proof] = Field(description="The newest first.")

    @classmethod
    def of_report(cls, report: SnapshotReport) -> Self:
        return cls.model_validate(
            Snapshot.of(report.snapshot).model_dump()
            | {
                "table_rows": dict(report.table_rows),
                "proofs": [Proof.of(each) for each in report.verifications],
            }
        )


class Step(Shape):
    name: str
    state: StepState
    started_at: Moment | None
    finished_at: Moment | None


class Parts(Shape):
    """How far the running copy or load is."""

    total: int
    done: int
    expected_bytes: Bytes
    done_bytes: Bytes


class ParkedDatabase(Shape):
    """What a swap put aside, for an undo to bring back."""

    name: str
    live_name: str
    expires_at: Moment
    dropped_at: Moment | None

    @classmethod
    def of(cls, found: Parked) -> Self:
        return cls(
            name=found.parked_name,
            live_name=found.live_name,
            expires_at=found.expires_at,
            dropped_at=found.dropped_at,
        )


class JobLine(Shape):
    """One request, and how far it is."""

    id: JobId
    kind: JobKind
    database: DatabaseName
    state: JobState
    step: str | None = Field(description="The step that runs now or next; null once it has ended.")
    request: dict[str, Any] = Field(description="What was asked for.")
    attempts: int = Field(description="How often the running step has failed for a passing reason.")
    cancel_requested: bool
    worker: str | None = Field(description="Who works on it.")
    progress: dict[str, Any]
    error: Error | None
    created_at: Moment
    deadline_at: Moment
    finished_at: Moment | None

    @classmethod
    def of(cls, found: jobs.Job) -> Self:
        return cls(**facts(found))


class Job(JobLine):
    """One request, and what became of it."""

    result: dict[str, Any] = Field(description="What it came to.")

    @classmethod
    def of(cls, found: jobs.Job) -> Self:
        return cls(**facts(found), result=dict(found.result))


class JobDetail(Job):
    """One job with its steps."""

    seconds: float | None = Field(description="From its first step's start to its end.")
    steps: list[Step]
    parts: Parts | None
    parked: ParkedDatabase | None
    proof: Proof | None

    @classmethod
    def of_report(cls, report: JobReport) -> Self:
        return cls(
            **facts(report.job),
            result=dict(report.job.result),
            seconds=report.seconds,
            steps=[Step.model_validate(step) for step in report.steps],
            parts=Parts.model_validate(report.parts) if report.parts else None,
            parked=ParkedDatabase.of(report.parked) if report.parked else None,
            proof=Proof.of(report.verification) if report.verification else None,
        )


def facts(found: jobs.Job) -> dict[str, Any]:
    names = ("id", "kind", "database", "state", "attempts", "cancel_requested", "created_at", "deadline_at")
    return {name: getattr(found, name) for name in (*names, "finished_at")} | {
        "step": None if found.state.is_final else found.step,
        "worker": found.lease_owner,
        "request": dict(found.request),
        "progress": dict(found.progress),
        "error": None if found.error is None else Error.model_validate(defaulted(found.error)),
    }


def defaulted(error: Mapping[str, str | None]) -> dict[str, str | None]:
    return {name: error.get(name) for name in ("code", "message", "hint")}


class LiveJob(Shape):
    id: JobId
    kind: JobKind
    state: JobState
    step: str | None


class Database(Shape):
    """A database that is looked after."""

    name: DatabaseName
    where: str = Field(
        description="Host, port and name, without who logs in.", examples=["db.example:5432/app"]
    )
    newest_snapshot: Snapshot | None = Field(description="The newest sealed one.")
    newest_proven: Snapshot | None = Field(description="The newest that a real restore has matched.")
    restore_seconds: float | None = Field(
        description="About how long a restore takes, by those that were made."
    )
    next_slot: Moment = Field(description="When the schedule is due next.")
    missed_slots: int
    blocked: str | None = Field(description="Why no snapshot of it is taken until somebody decides.")
    live_job: LiveJob | None = Field(description="The one job that may change it now.")

    @classmethod
    def of(cls, report: DatabaseReport) -> Self:
        return cls(
            name=report.name,
            where=report.where,
            newest_snapshot=Snapshot.of(report.newest) if report.newest else None,
            newest_proven=Snapshot.of(report.proven) if report.proven else None,
            restore_seconds=report.restore_seconds,
            next_slot=report.next_slot,
            missed_slots=report.missed_slots,
            blocked=report.blocked,
            live_job=LiveJob.model_validate(report.live_job) if report.live_job else None,
        )


class Databases(Shape):
    items: list[Database]


class SnapshotPage(Shape):
    """The newest first."""

    items: list[Snapshot]
    next: str | None = Field(description="Give it as `before` to go on; null on the last page.")


class JobPage(Shape):
    """The newest first, without their results: each job's own page has it."""

    items: list[JobLine]
    next: str | None = Field(description="Give it as `before` to go on; null on the last page.")


class Accepted(Shape):
    """A request became a job. The same for the same key and request, whatever has become of the job by then."""

    job_id: JobId
    kind: JobKind
    database: DatabaseName
    snapshot_id: SnapshotId | None = Field(
        description="The snapshot that it takes, proves, deletes or brings back."
    )
    created_at: Moment
    job: str = Field(
        description="Where to look at it.", examples=["/v1/jobs/3b6ae179-5f0e-4a3f-8a3b-6f3f3a3f9d11"]
    )
    events: str = Field(description="Where to follow it.")

    @classmethod
    def of(cls, found: jobs.Job) -> Self:
        where = f"/v1/jobs/{found.id}"
        snapshot_id = found.request.get("snapshot_id")
        return cls(
            job_id=found.id,
            kind=found.kind,
            database=found.database,
            snapshot_id=None if snapshot_id is None else str(snapshot_id),
            created_at=found.created_at,
            job=where,
            events=f"{where}/events",
        )
