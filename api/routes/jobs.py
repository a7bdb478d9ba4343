"""Jobs: what was asked for, what became of it, and how to stop it."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api import answers, paging
from api.paging import Before, Limit
from api.path_parameters import JobPath
from api.permissions import JOB_ID, Caller, Operator, Reader
from api.shapes import JobDetail, JobLine, JobPage
from shared.catalog.pages import JobPlace
from shared.domain.access import Role
from shared.domain.job import JobKind, JobState
from shared.operations.health import reports
from shared.operations.jobs import requests

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

TO_CANCEL = {
    JobKind.SNAPSHOT: Role.OPERATE,
    JobKind.VERIFY: Role.OPERATE,
    JobKind.CHECK: Role.OPERATE,
    JobKind.PRUNE: Role.ADMIN,
    JobKind.RESTORE: Role.RESTORE,
    JobKind.TABLES: Role.RESTORE,
    JobKind.RESET: Role.RESTORE,
    JobKind.UNDO: Role.RESTORE,
}
"""Whoever may ask for a job may stop it."""


@router.get("", response_model=JobPage, operation_id="listJobs")
def list_jobs(
    *,
    request: Request,
    caller: Reader,
    database: Annotated[
        str | None, Query(max_length=63, description="Only of this database.", examples=["orders"])
    ] = None,
    kind: Annotated[JobKind | None, Query(description="Only of this kind.")] = None,
    state: Annotated[JobState | None, Query(description="Only in this state.")] = None,
    before: Before = None,
    limit: Limit = 50,
) -> Response:
    """The jobs of all databases that the token reaches, the newest first."""
    reach: Collection[str] | None = caller.principal.databases
    if database is not None:
        reach = [caller.database(database).name]
    listed = f"jobs {database} {kind} {state}"
    place = None if before is None else decode(before, listed)
    with caller.here.fleet.catalog.transaction() as tx:
        found = tx.pages.jobs(databases=reach, kind=kind, state=state, before=place, limit=limit + 1)
    page = found[:limit]
    following = encode(JobPlace.of(page[-1]), listed) if len(found) > limit else None
    return answers.found(request, JobPage(items=[JobLine.of(each) for each in page], next=following))


def encode(place: JobPlace, listed: str) -> str:
    return paging.encode(listed, [place.created_at.astimezone(UTC).isoformat(), place.id])


def decode(cursor: str, listed: str) -> JobPlace:
    moment, job_id = (str(each) for each in paging.decode(cursor, listed, kinds=(str, str)))
    try:
        created_at = datetime.fromisoformat(moment)
    except ValueError:
        raise paging.refused() from None
    if created_at.tzinfo is None or re.fullmatch(JOB_ID, job_id, re.ASCII) is None:
        raise paging.refused()
    return JobPlace(created_at=created_at, id=job_id)


@router.get("/{job_id}", response_model=JobDetail, operation_id="showJob")
def show_job(request: Request, caller: Reader, job_id: JobPath) -> Response:
    """One job with its steps."""
    return answers.found(request, detail(caller, job_id))


def detail(caller: Caller, job_id: str) -> JobDetail:
    return JobDetail.of_report(reports.job_report(caller.here.fleet, caller.job(job_id)))


@router.post("/{job_id}/cancel", response_model=JobDetail, operation_id="cancelJob")
def cancel_job(request: Request, caller: Operator, job_id: JobPath) -> Response:
    """Ask a job to stop; what it began is undone. Asked twice, it is stopped once.

    To stop a restore takes the role `restore`, to stop retention the role `admin`.
    """
    found = caller.job(job_id)
    caller.refuse_below(TO_CANCEL[found.kind])
    requests.cancel(caller.here.fleet, found.id, by=caller.actor)
    return answers.found(request, detail(caller, job_id))
