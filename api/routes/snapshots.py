"""Snapshots: take them, look at them, prove them, keep them, delete them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api import accepting, answers, idempotency, paging, waiting
from api.answers import IfMatch
from api.bodies import PlanId, TakeSnapshot, Verify
from api.idempotency import Asked, IdempotencyKey
from api.paging import Before, Limit
from api.path_parameters import DatabasePath, SnapshotPath
from api.permissions import Administrator, Operator, Reader
from api.plans import DeletionPlan
from api.problems import Malformed
from api.shapes import Accepted, Snapshot, SnapshotDetail, SnapshotPage
from shared.domain.job import JobKind
from shared.domain.manifest import encode
from shared.domain.proof import Digests, VerifyPolicy
from shared.domain.snapshot import Reason, SnapshotState
from shared.operations.databases import side
from shared.operations.health import reports
from shared.operations.jobs import requests
from shared.operations.jobs.requests import Accepted as Taken
from shared.operations.proofs import verify as verifying
from shared.operations.snapshots import suspecting
from shared.operations.upkeep import deleting

router = APIRouter(prefix="/v1", tags=["snapshots"])
AS_ASKED_FOR = TakeSnapshot()
AS_CONFIGURED = Verify()
PROVEN: dict[int | str, dict[str, Any]] = {
    201: {
        "model": Snapshot,
        "description": "Only with `wait`: the snapshot is taken and proven.",
        "headers": {
            "Location": {"description": "The snapshot.", "required": True, "schema": {"type": "string"}}
        },
    }
}


@router.get("/databases/{name}/snapshots", response_model=SnapshotPage, operation_id="listSnapshots")
def list_snapshots(
    *,
    request: Request,
    caller: Reader,
    name: DatabasePath,
    state: Annotated[
        SnapshotState | None, Query(description="Only these; without it all but those that are deleted.")
    ] = None,
    before: Before = None,
    limit: Limit = 50,
) -> Response:
    """The snapshots of a database, the newest first."""
    database = caller.database(name).name
    listed = f"snapshots {database} {state}"
    place: list[Any] = [None] if before is None else paging.decode(before, listed, kinds=(int,))
    with caller.here.fleet.catalog.transaction() as tx:
        found = tx.pages.snapshots(database, state=state, before=place[0], limit=limit + 1)
    page = found[:limit]
    following = paging.encode(listed, [page[-1].sequence]) if len(found) > limit else None
    return answers.found(request, SnapshotPage(items=[Snapshot.of(each) for each in page], next=following))


@router.post(
    "/databases/{name}/snapshots",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Accepted,
    responses=PROVEN | accepting.RESPONSES,
    operation_id="takeSnapshot",
)
async def take_snapshot(
    *,
    request: Request,
    caller: Operator,
    name: DatabasePath,
    key: IdempotencyKey,
    body: TakeSnapshot = AS_ASKED_FOR,
    wait: Annotated[
        Literal["verified"] | None,
        Query(
            description="Prove it, whatever the policy, and answer when it is proven (201). Where that takes longer"
            " than a request may, the answer is 202: ask the same again with the same key to wait on."
        ),
    ] = None,
) -> Response:
    """Take a snapshot."""
    asked = idempotency.asked(request, caller, key, body)
    taken = await run_in_threadpool(take, asked, name, body, prove=wait is not None)
    if wait is not None:
        proven = await waiting.until_verified(caller, taken.job)
        if proven is not None:
            response = answers.found(request, Snapshot.of(proven), status=HTTPStatus.CREATED)
            response.headers["Location"] = f"/v1/snapshots/{proven.id}"
            return response
    return accepting.answer(taken.job)


def take(asked: Asked, name: str, body: TakeSnapshot, *, prove: bool) -> Taken:
    here, database = asked.caller.here, asked.caller.database(name).name
    if prove and body.verify not in {None, VerifyPolicy.ALWAYS}:
        raise Malformed(
            f"to wait for a proof and to want it {body.verify} contradict each other",
            code="invalid_request",
            status=HTTPStatus.UNPROCESSABLE_ENTITY,
            hint="leave `verify` out",
        )

    def decide() -> dict[str, object]:
        return requests.snapshot_request(
            snapshot_id=here.new_snapshot_id(here.clock()),
            prune_job_id=here.new_job_id(),
            verify_job_id=here.new_job_id(),
            reason=Reason.MANUAL,
            labels=body.labels,
            verify=VerifyPolicy.ALWAYS if prove else body.verify and VerifyPolicy(body.verify),
        )

    return accepting.accepted(asked, kind=JobKind.SNAPSHOT, database=database, decide=decide)


@router.get("/snapshots/{snapshot_id}", response_model=SnapshotDetail, operation_id="showSnapshot")
def show_snapshot(request: Request, caller: Reader, snapshot_id: SnapshotPath) -> Response:
    """One snapshot, with the rows of its tables and its proofs."""
    report = reports.snapshot_report(caller.here.fleet, caller.snapshot(snapshot_id))
    return answers.found(request, SnapshotDetail.of_report(report))


@router.get("/snapshots/{snapshot_id}/manifest", operation_id="showManifest")
def show_manifest(request: Request, caller: Reader, snapshot_id: SnapshotPath) -> dict[str, Any]:
    """What makes the snapshot real: its archive and parts, their chunks, and what it was taken from.

    docs/repository-format.md describes it.
    """
    manifest = side.manifest_of(caller.here.fleet, caller.snapshot(snapshot_id).id)
    return answers.sent(request, encode(manifest))  # type: ignore[return-value] # a Response; the document needs an object


@router.post(
    "/snapshots/{snapshot_id}/verify",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Accepted,
    responses=accepting.RESPONSES,
    operation_id="verifySnapshot",
)
def verify_snapshot(
    request: Request,
    caller: Operator,
    snapshot_id: SnapshotPath,
    key: IdempotencyKey,
    body: Verify = AS_CONFIGURED,
) -> Response:
    """Prove a snapshot: restore it into a scratch database, and compare."""
    found = caller.snapshot(snapshot_id)
    database = caller.database(found.database)
    asked = idempotency.asked(request, caller, key, body)

    def decide() -> dict[str, object]:
        requests.choose_snapshot(caller.here.fleet, database.name, snapshot_id=found.id, at=None)
        digests = Digests(body.digests) if body.digests else database.digests
        return verifying.request(found.id, digests=digests, prune_job_id=None)

    return accepting.submit(asked, kind=JobKind.VERIFY, database=database.name, decide=decide)


@router.post("/snapshots/{snapshot_id}/accept", response_model=Snapshot, operation_id="acceptSnapshot")
def accept_snapshot(
    request: Request, caller: Administrator, snapshot_id: SnapshotPath, if_match: IfMatch = None
) -> Response:
    """Let a suspect snapshot count: it is right as it is."""
    found = caller.snapshot(snapshot_id)
    refuse_changed(caller, snapshot_id, if_match)
    return answers.found(
        request, Snapshot.of(suspecting.accept(caller.here.fleet, found.id, by=caller.actor))
    )


@router.put("/snapshots/{snapshot_id}/pin", response_model=Snapshot, operation_id="pinSnapshot")
def pin_snapshot(
    request: Request, caller: Operator, snapshot_id: SnapshotPath, if_match: IfMatch = None
) -> Response:
    """Keep a snapshot from retention."""
    return pin(request, caller, snapshot_id, if_match, pinned=True)


@router.delete("/snapshots/{snapshot_id}/pin", response_model=Snapshot, operation_id="unpinSnapshot")
def unpin_snapshot(
    request: Request, caller: Operator, snapshot_id: SnapshotPath, if_match: IfMatch = None
) -> Response:
    """Let retention decide about a snapshot again."""
    return pin(request, caller, snapshot_id, if_match, pinned=False)


def pin(
    request: Request, caller: Operator, snapshot_id: str, if_match: str | None, *, pinned: bool
) -> Response:
    found = caller.snapshot(snapshot_id)
    refuse_changed(caller, snapshot_id, if_match)
    changed = requests.pin(caller.here.fleet, found.id, pinned=pinned, by=caller.actor)
    return answers.found(request, Snapshot.of(changed))


def refuse_changed(caller: Operator, snapshot_id: str, if_match: str | None) -> None:
    """By the ETag of the snapshot's own page."""
    if if_match is not None:
        report = reports.snapshot_report(caller.here.fleet, caller.snapshot(snapshot_id))
        answers.refuse_changed(if_match, SnapshotDetail.of_report(report))


@router.post(
    "/snapshots/{snapshot_id}/deletion-plans", response_model=DeletionPlan, operation_id="planDeletion"
)
def plan_deletion(request: Request, caller: Administrator, snapshot_id: SnapshotPath) -> Response:
    """Whether a snapshot may be deleted, and the id to delete it by. Changes nothing."""
    planned = deleting.plan(caller.here.fleet, caller.snapshot(snapshot_id).id)
    return answers.found(request, DeletionPlan.of(planned))


@router.delete(
    "/snapshots/{snapshot_id}",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Accepted,
    responses=accepting.RESPONSES,
    operation_id="deleteSnapshot",
)
def delete_snapshot(
    request: Request,
    caller: Administrator,
    snapshot_id: SnapshotPath,
    key: IdempotencyKey,
    plan_id: Annotated[PlanId, Query(description="Of its deletion plan.")],
) -> Response:
    """Delete a snapshot, if it still is as its deletion plan has shown it."""
    found = caller.snapshot(snapshot_id)
    database = caller.database(found.database).name
    asked = idempotency.asked(request, caller, key)

    def decide() -> dict[str, object]:
        deleting.refuse(deleting.plan(caller.here.fleet, found.id), plan_id=plan_id)
        return deleting.request(found.id, plan_id=plan_id)

    return accepting.submit(asked, kind=JobKind.PRUNE, database=database, decide=decide)
