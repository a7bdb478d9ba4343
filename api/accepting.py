"""How a request becomes a job, and how that is answered: 202, where to look at it, and the same again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

from fastapi import Response

from api import shapes
from api.idempotency import Asked
from shared.domain.job import Job, JobKind, NewJob
from shared.errors import Busy, SnapfleetError
from shared.operations.jobs import requests
from shared.operations.jobs.requests import Accepted

RESPONSES: dict[int | str, dict[str, object]] = {
    202: {
        "model": shapes.Accepted,
        "description": "Accepted: the job runs as soon as its database is free.",
        "headers": {
            "Location": {"description": "The job.", "required": True, "schema": {"type": "string"}},
        },
    }
}


Decide = Callable[[], Mapping[str, object]]
"""What a new job is to be asked; raises where it is refused."""


def accepted(asked: Asked, *, kind: JobKind, database: str, decide: Decide) -> Accepted:
    """The job that this key has made, else a new one. What a repetition finds changed is the first one's doing."""
    before = asked.before(kind=kind, database=database)
    if before is not None:
        return before
    try:
        refuse_full(asked)
        request = decide()
    except SnapfleetError:
        # Asked twice at once, the other may have been quicker, and have changed what was looked at here.
        before = asked.before(kind=kind, database=database)
        if before is None:
            raise
        return before
    return made(asked, kind=kind, database=database, request=request)


def refuse_full(asked: Asked) -> None:
    """Busy where so many jobs of this token wait already that another one would only wait behind them."""
    here = asked.caller.here
    with here.fleet.catalog.transaction() as tx:
        waiting = tx.jobs.waiting(asked.mine, most=here.waiting_jobs)
    if waiting >= here.waiting_jobs:
        raise Busy(
            f"{waiting} jobs that this token has asked for wait for their turn",
            code="too_many_waiting",
            hint="ask again when some have run, or cancel some; the limit is `waiting_jobs` under [api]",
        )


def made(asked: Asked, *, kind: JobKind, database: str, request: Mapping[str, object]) -> Accepted:
    """The new job, or the one that this key has made in the meantime."""
    here = asked.caller.here
    new = NewJob(
        id=here.new_job_id(),
        kind=kind,
        database=database,
        request=request,
        idempotency_key=asked.key,
        request_digest=asked.digest,
    )
    return requests.submit(here.fleet, new, by=asked.caller.actor)


def submit(asked: Asked, *, kind: JobKind, database: str, decide: Decide) -> Response:
    return answer(accepted(asked, kind=kind, database=database, decide=decide).job)


def answer(job: Job) -> Response:
    accepted = shapes.Accepted.of(job)
    return Response(
        accepted.model_dump_json(),
        status_code=HTTPStatus.ACCEPTED,
        media_type="application/json",
        headers={"Location": accepted.job},
    )
