"""Checks and retention: look a database over, and delete what retention lets go, as a plan has shown it."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from api import accepting, answers, idempotency
from api.bodies import Check, Prune
from api.idempotency import IdempotencyKey
from api.path_parameters import DatabasePath
from api.permissions import Administrator, Operator
from api.plans import PrunePlan
from api.routes.restores import refuse_other_name
from api.shapes import Accepted
from shared.domain.job import JobKind
from shared.errors import Refused
from shared.operations.upkeep import check as checking
from shared.operations.upkeep import deleting
from shared.operations.upkeep import prune as pruning

router = APIRouter(prefix="/v1/databases/{name}", tags=["upkeep"])
ALL_OF_IT = Check()


@router.post(
    "/checks",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Accepted,
    responses=accepting.RESPONSES,
    operation_id="check",
)
def check(
    request: Request,
    caller: Operator,
    name: DatabasePath,
    key: IdempotencyKey,
    body: Check = ALL_OF_IT,
) -> Response:
    """Look over a database, its snapshots, the repository, and what jobs have left behind.

    What was found stands in the job's result: `findings`, `worst`.
    """
    database = caller.database(name).name
    asked = idempotency.asked(request, caller, key, body)
    return accepting.submit(asked, kind=JobKind.CHECK, database=database, decide=checking.request)


@router.post("/prune-plans", response_model=PrunePlan, operation_id="planPrune")
def plan_prune(request: Request, caller: Administrator, name: DatabasePath) -> Response:
    """What retention would keep and let go, and why. Changes nothing."""
    database = caller.database(name).name
    return answers.found(request, PrunePlan.of(database, pruning.plan(caller.here.fleet, database)))


@router.post(
    "/prunes",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Accepted,
    responses=accepting.RESPONSES,
    operation_id="prune",
)
def prune(
    request: Request, caller: Administrator, name: DatabasePath, key: IdempotencyKey, body: Prune
) -> Response:
    """Delete what a plan has let go, if retention still lets go just that."""
    database = caller.database(name).name
    refuse_other_name(database, body.database)
    asked = idempotency.asked(request, caller, key, body)

    def decide() -> dict[str, object]:
        plan = pruning.plan(caller.here.fleet, database)
        if plan.stopped is not None:
            raise Refused(f"nothing goes now: {plan.stopped}", code="prune_stopped")
        deleting.refuse_changed(body.plan_id, plan.id)
        return pruning.request(plan_id=plan.id)

    return accepting.submit(asked, kind=JobKind.PRUNE, database=database, decide=decide)
