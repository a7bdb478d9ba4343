"""How a request becomes a job, and how that is answered: 202, where to look at it, and the same again."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Response

from api import shapes
from api.idempotency import Asked
from shared.domain.job import Job, JobKind, NewJob
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


def submit(asked: Asked, *, kind: JobKind, database: str, request: Mapping[str, object]) -> Response:
    return answer(made(asked, kind=kind, database=database, request=request).job)


def answer(job: Job) -> Response:
    accepted = shapes.Accepted.of(job)
    return Response(
        accepted.model_dump_json(),
        status_code=HTTPStatus.ACCEPTED,
        media_type="application/json",
        headers={"Location": accepted.job},
    )
