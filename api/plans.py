"""Plans as they are answered: what would be done, what stands against it, and the id to ask for it by."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from api.shapes import Bytes, DatabaseName, Error, LiveJob, Moment, Shape, Snapshot, SnapshotId
from shared.domain import deletion, retention
from shared.operations.databases import preview

PLAN_ID = Field(
    description="Ask for it by this id: it is done only if all is as it was seen. Null where refused."
)


class Remark(Shape):
    code: str
    message: str


class Sessions(Shape):
    role: str
    application: str | None
    count: int


class RestorePlan(Shape):
    """What a restore would do. Nothing was changed."""

    plan_id: str | None = PLAN_ID
    database: DatabaseName
    target: str = Field(description="The name of the database that it is restored into.")
    where: str = Field(description="Host, port and database.")
    snapshot: Snapshot
    age_seconds: float | None
    target_server_version: str
    sessions_cut: int = Field(description="How many sessions a swap cuts off.")
    sessions: list[Sessions]
    safeguard: bool = Field(description="Whether a safety snapshot of what is replaced is taken first.")
    parked_bytes: Bytes | None
    parked_until: Moment | None = Field(description="Until about then an undo brings back what is replaced.")
    estimated_seconds: float | None
    warm: bool = Field(description="Whether a warm copy is swapped in, and nothing is to be loaded.")
    warm_bytes: Bytes = Field(description="What warm copies take of the server's disk.")
    waits_for: list[LiveJob] = Field(description="Jobs of the same database that come first.")
    missing_roles: list[str]
    remarks: list[Remark]
    obstacles: list[Error] = Field(description="Why it would be refused; empty where it would run.")

    @classmethod
    def of(cls, seen: preview.RestorePreview) -> Self:
        taken_at = seen.snapshot.taken_at
        return cls(
            plan_id=None if seen.obstacles else seen.plan_id,
            database=seen.database,
            target=seen.target,
            where=seen.where,
            snapshot=Snapshot.of(seen.snapshot),
            age_seconds=(seen.now - taken_at).total_seconds() if taken_at else None,
            target_server_version=seen.target_server_version,
            sessions_cut=seen.sessions_cut,
            sessions=[Sessions.model_validate(group) for group in seen.sessions],
            safeguard=seen.safeguard,
            parked_bytes=seen.parked_bytes,
            parked_until=seen.parked_until,
            estimated_seconds=seen.estimated_seconds,
            warm=seen.warm is not None,
            warm_bytes=seen.warm_bytes,
            waits_for=[LiveJob.model_validate(job) for job in seen.waits_for],
            missing_roles=list(seen.missing_roles),
            remarks=[Remark.model_validate(remark) for remark in seen.remarks],
            obstacles=[Error.model_validate(obstacle) for obstacle in seen.obstacles],
        )


class Verdict(Shape):
    snapshot_id: SnapshotId
    keep: bool
    why: str = Field(examples=["number 1 of the last 10"])


class PrunePlan(Shape):
    """What retention would keep and let go. Nothing was changed."""

    plan_id: str | None = PLAN_ID
    database: DatabaseName
    stopped: str | None = Field(description="Why nothing at all goes now.")
    removes: int = Field(description="How many go.")
    verdicts: list[Verdict] = Field(description="On every snapshot that still exists, the newest first.")

    @classmethod
    def of(cls, database: str, plan: retention.Plan) -> Self:
        return cls(
            plan_id=None if plan.stopped else plan.id,
            database=database,
            stopped=plan.stopped,
            removes=len(plan.remove),
            verdicts=[Verdict.model_validate(verdict) for verdict in plan.verdicts],
        )


class DeletionPlan(Shape):
    """What stands against deleting one snapshot. Nothing was changed."""

    plan_id: str | None = PLAN_ID
    snapshot: Snapshot
    obstacle: str | None = Field(description="Why it stays.", examples=["it is the newest verified one"])

    @classmethod
    def of(cls, planned: deletion.Deletion) -> Self:
        return cls(
            plan_id=None if planned.obstacle else planned.id,
            snapshot=Snapshot.of(planned.snapshot),
            obstacle=planned.obstacle,
        )
