"""Whether this process lives, could do its work, and whether every database could come back."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal, Self

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from api import answers, context
from api.permissions import PUBLIC, Reader
from api.shapes import DatabaseName, Moment, Shape, SnapshotId
from shared.domain.freshness import Deadline as Due
from shared.operations.health import readiness
from shared.operations.health.readiness import BackupState, Check

router = APIRouter(tags=["health"])

PROBES = 4
"""Looks at once. Anybody may ask for one: whoever does, and a server that hangs, must not take others' threads."""


class Alive(Shape):
    status: Literal["alive"] = "alive"


class Answered(Shape):
    """What one question was answered with. Why, the service's log and `snapfleet doctor` tell."""

    name: str = Field(examples=["catalog"])
    ok: bool
    seconds: float
    code: str | None = Field(description="What is wrong.", examples=["catalog_unreachable"])

    @classmethod
    def of(cls, check: Check) -> Self:
        return cls(name=check.name, ok=check.ok, seconds=round(check.seconds, 3), code=check.code)


class Ready(Shape):
    """Whether all that is needed answers."""

    ready: bool
    checks: list[Answered]


class Deadline(Shape):
    due_at: Moment
    late_at: Moment = Field(description="From then on it is too old.")

    @classmethod
    def of(cls, due: Due) -> Self:
        return cls(due_at=due.due_at, late_at=due.late_at)


class Backup(Shape):
    """What there is to come back to."""

    database: DatabaseName
    ok: bool
    why: str | None = Field(description="What is wrong.")
    newest_good: SnapshotId | None
    newest_good_at: Moment | None
    newest_proven: SnapshotId | None
    newest_proven_at: Moment | None
    snapshot: Deadline | None = Field(description="Of the next good one.")
    proof: Deadline | None = Field(description="Of the next proven one.")

    @classmethod
    def of(cls, state: BackupState) -> Self:
        good, proven = state.good, state.proven
        return cls(
            database=state.name,
            ok=state.ok,
            why=state.why,
            newest_good=good.id if good else None,
            newest_good_at=good.taken_at if good else None,
            newest_proven=proven.id if proven else None,
            newest_proven_at=proven.taken_at if proven else None,
            snapshot=Deadline.of(state.snapshot) if state.snapshot else None,
            proof=Deadline.of(state.proof) if state.proof else None,
        )


class Backups(Shape):
    """Whether every database that the token reaches could come back, as new as it should be."""

    ok: bool
    databases: list[Backup]


def unwell(model: type[Shape], description: str) -> dict[int | str, dict[str, Any]]:
    return {503: {"model": model, "description": description}}


@router.get("/healthz", response_model=Alive, dependencies=[Depends(PUBLIC)], operation_id="isAlive")
async def is_alive(request: Request) -> Response:
    """That this process answers. It asks nobody else."""
    return answers.found(request, Alive())


@router.get(
    "/readyz",
    response_model=Ready,
    responses=unwell(Ready, "Something that is needed does not answer."),
    dependencies=[Depends(PUBLIC)],
    operation_id="isReady",
)
async def is_ready(request: Request) -> Response:
    """Whether catalog, Redis, repository and client tools are there. Requests are accepted without Redis too."""
    look = context.of(request).readiness.look
    checks = await anyio.to_thread.run_sync(look, limiter=request.app.state.probing)
    ready = all(check.ok for check in checks)
    answer = Ready(ready=ready, checks=[Answered.of(check) for check in checks])
    return answers.found(request, answer, status=status(ready))


@router.get(
    "/health/backups",
    response_model=Backups,
    responses=unwell(Backups, "The newest good or proven snapshot of a database is too old."),
    operation_id="areBackupsWell",
)
def are_backups_well(request: Request, caller: Reader) -> Response:
    """Whether each database has a snapshot, and a proof, as new as its schedule wants it."""
    states = [each for each in readiness.backups(caller.here.fleet) if caller.reaches(each.name)]
    answer = Backups(ok=all(each.ok for each in states), databases=[Backup.of(each) for each in states])
    return answers.found(request, answer, status=status(answer.ok))


def status(is_well: bool) -> int:
    return HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
