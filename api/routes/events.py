"""A job's events as they happen: Server-Sent Events, the same that the event bus publishes, and its progress.

id: 000000000017                 the event's place in its database's sequence: Last-Event-ID goes on behind it
event: io.snapfleet.…            its type; `progress` and `end` are this stream's own
data: {…}                        one line of JSON

After `end` there is nothing more: who comes back with the last id is answered 204, at which clients stop.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.path_parameters import JobPath
from api.permissions import Caller, Reader
from api.shapes import Job
from api.watching import Subscription
from shared.domain import envelope
from shared.operations.jobs import following
from shared.operations.jobs.following import Heard, Progress

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

STILL_HERE = timedelta(seconds=15)
"""So often at least something is sent: what stands in between hangs up on silence."""
LONGEST = timedelta(minutes=10)
"""Then the client must come again, and show that its token still counts."""
LOOK_UP_EVERY = timedelta(seconds=1)
COME_AGAIN_MS = 2000
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
EVENT = {
    "type": "object",
    "description": "One event of the stream.",
    "properties": {
        "id": {"type": "string", "description": "Its place, to go on behind; not of `progress` and `end`."},
        "event": {"type": "string", "examples": ["io.snapfleet.snapshot.started.v1", "progress", "end"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "A CloudEvent as docs/asyncapi.yaml describes it; of `end` the job.",
        },
        "retry": {"type": "integer"},
    },
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events until the job has ended, then `end`.",
        "content": {"text/event-stream": {"schema": EVENT}},
    },
    204: {"description": "The job has ended, and all of its events were sent before."},
}


@router.get("/{job_id}/events", response_class=StreamingResponse, responses=STREAM, operation_id="followJob")
async def follow_job(
    caller: Reader,
    job_id: JobPath,
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            pattern=r"^[0-9]{1,18}$",
            description="Only what came after the event of this id. Clients send it when they come back.",
            examples=["000000000017"],
        ),
    ] = None,
) -> Response:
    """Follow a job to its end: its events, its live progress, and how it ended."""
    after = int(last_event_id or 0)
    job = await run_in_threadpool(caller.job, job_id)
    if last_event_id is not None and job.state.is_final:
        heard = (await run_in_threadpool(following.hear, caller.here.fleet, {job.id: after}))[job.id]
        if not heard.told:
            return Response(status_code=HTTPStatus.NO_CONTENT)
    caller.here.watch.refuse_full(caller.principal.name)
    return StreamingResponse(stream(caller, job.id, after), media_type="text/event-stream", headers=HEADERS)


async def stream(caller: Caller, job_id: str, after: int) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    until = loop.time() + LONGEST.total_seconds()
    shown: dict[str, Any] = {}
    with caller.here.watch.subscribed(job_id, after=after, by=caller.principal.name) as subscription:
        yield f"retry: {COME_AGAIN_MS}\n\n"
        while not caller.here.is_closing() and loop.time() < until:
            heard = await next_of(caller, subscription)
            if heard is None:
                yield ": still here\n\n"
                continue
            for told in heard.told:
                event = envelope.of(told)
                yield message(event["type"], event, id_=event["sequence"])
            progress = progress_of(heard.progress)
            if progress and progress != shown:
                shown = progress
                yield message("progress", progress)
            if heard.progress.job.state.is_final and heard.is_all:
                yield message("end", Job.of(heard.progress.job).model_dump(mode="json"))
                return


async def next_of(caller: Caller, subscription: Subscription) -> Heard | None:
    """What the next look shows, or None after a while; soon where the process is asked to end."""
    loop = asyncio.get_running_loop()
    until = loop.time() + STILL_HERE.total_seconds()
    while not caller.here.is_closing() and loop.time() < until:
        heard = await subscription.next(within=LOOK_UP_EVERY)
        if heard is not None:
            return heard
    return None


def message(type_: str, data: dict[str, Any], *, id_: str | None = None) -> str:
    """One line of data: JSON escapes every line break."""
    lines = [f"event: {type_}", f"data: {json.dumps(data)}"]
    if id_ is not None:
        lines.insert(0, f"id: {id_}")
    return "\n".join(lines) + "\n\n"


def progress_of(seen: Progress) -> dict[str, Any]:
    """How far the running step is; nothing before it has begun or after its job has ended."""
    job = seen.job
    if job.state.is_final or job.lease_owner is None:
        return {}
    return {
        "job_id": job.id,
        "state": str(job.state),
        "step": job.step,
        "step_number": job.next_seq,
        "steps": len(seen.steps),
        "parts": seen.parts,
        "done_parts": seen.done_parts,
        "done_bytes": seen.done_bytes,
        "fraction": seen.fraction,
    }
