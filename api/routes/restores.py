"""Restores: a plan first, then by its id. What replaces a live database has its name repeated."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from api import accepting, answers, idempotency
from api.bodies import PlanRestore, Restore, Undo
from api.idempotency import IdempotencyKey
from api.path_parameters import DatabasePath, JobPath
from api.permissions import Caller, Restorer
from api.plans import RestorePlan
from api.problems import Malformed
from api.shapes import Accepted
from shared.domain.job import JobKind
from shared.errors import Refused
from shared.operations.databases import preview
from shared.operations.databases.preview import Intent
from shared.operations.jobs import requests

router = APIRouter(prefix="/v1", tags=["restores"])
NEWEST = PlanRestore()


@router.post("/databases/{name}/restore-plans", response_model=RestorePlan, operation_id="planRestore")
def plan_restore(
    request: Request, caller: Restorer, name: DatabasePath, body: PlanRestore = NEWEST
) -> Response:
    """What a restore would do, and what stands against it. Changes nothing."""
    database = caller.database(name).name
    if body.snapshot_id is not None and body.at is not None:
        raise Malformed(
            "snapshot_id and at both say which snapshot",
            code="invalid_request",
            status=HTTPStatus.UNPROCESSABLE_ENTITY,
            hint="give one of them",
        )
    seen = look(caller, database, body, at_moment=True)
    return answers.found(request, RestorePlan.of(seen))


def look(
    caller: Caller, database: str, wanted: PlanRestore | Restore, *, at_moment: bool
) -> preview.RestorePreview:
    fleet = caller.here.fleet
    at = wanted.at if at_moment and isinstance(wanted, PlanRestore) else None
    chosen = requests.choose_snapshot(fleet, database, snapshot_id=wanted.snapshot_id, at=at)
    replaces = wanted.to is None
    intent = Intent(database=database, snapshot=chosen, to=wanted.to, safeguard=wanted.safeguard and replaces)
    return preview.restore_of(fleet, intent)


@router.post(
    "/databases/{name}/restores",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Accepted,
    responses=accepting.RESPONSES,
    operation_id="restore",
)
def restore(
    request: Request, caller: Restorer, name: DatabasePath, key: IdempotencyKey, body: Restore
) -> Response:
    """Bring a snapshot back as a plan has shown it: in place of the live database, or beside it under a new name.

    The live database is replaced at the very end, and stays parked for the undo window.
    """
    here, database = caller.here, caller.database(name).name
    refuse_other_name(database, body.database)
    asked = idempotency.asked(request, caller, key, body)

    def decide() -> dict[str, object]:
        seen = look(caller, database, body, at_moment=False)
        if seen.obstacles:
            raise seen.obstacles[0]
        preview.refuse_changed(body.plan_id, seen.plan_id)
        wants_safeguard = body.safeguard and body.to is None
        return requests.restore_request(
            snapshot_id=seen.snapshot.id,
            to=body.to,
            safeguard_id=here.new_snapshot_id(here.clock()) if wants_safeguard else None,
            plan_id=body.plan_id,
        )

    return accepting.submit(asked, kind=JobKind.RESTORE, database=database, decide=decide)


@router.post(
    "/jobs/{job_id}/undo",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Accepted,
    responses=accepting.RESPONSES,
    operation_id="undoRestore",
)
def undo_restore(
    request: Request, caller: Restorer, job_id: JobPath, key: IdempotencyKey, body: Undo
) -> Response:
    """Take a finished restore back: the parked database gets its name again."""
    done = caller.job(job_id)
    database = caller.database(done.database).name
    refuse_other_name(database, body.database)
    asked = idempotency.asked(request, caller, key, body)

    def decide() -> dict[str, object]:
        return {"restore_job": requests.undoable(caller.here.fleet, done.id).job_id}

    return accepting.submit(asked, kind=JobKind.UNDO, database=database, decide=decide)


def refuse_other_name(database: str, repeated: str) -> None:
    """Nobody replaces a live database by a slip of the hand."""
    if repeated != database:
        raise Refused(
            "the name in the body is not that of the database in the path",
            code="not_confirmed",
            hint="repeat the database's name in `database`",
        )
