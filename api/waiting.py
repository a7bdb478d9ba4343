"""`wait=verified`: hold the answer until the snapshot is proven, for as long as a request may take.

Who is answered 202 asks the same again, with the same key: he waits on for the same snapshot.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from starlette.concurrency import run_in_threadpool

from api.permissions import Caller
from api.problems import JobFailed
from shared.domain.job import Job, JobState
from shared.domain.snapshot import Snapshot
from shared.operations.fleet import Fleet

AT_MOST = timedelta(seconds=20)
LOOK_EVERY = timedelta(seconds=1)


async def until_verified(caller: Caller, job: Job) -> Snapshot | None:
    """The snapshot once a real restore has matched it; None where it takes longer, or we are asked to end.

    JobFailed where it was not taken, or did not match.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + AT_MOST.total_seconds()
    while True:
        found = await run_in_threadpool(look, caller.here.fleet, job.id)
        if found is not None or caller.here.is_closing() or loop.time() >= give_up_at:
            return found
        await asyncio.sleep(LOOK_EVERY.total_seconds())


def look(fleet: Fleet, job_id: str) -> Snapshot | None:
    with fleet.catalog.transaction() as tx:
        taking = tx.jobs.get(job_id)
        if taking is None:
            return None
        snapshot = tx.snapshots.get(str(taking.request["snapshot_id"]))
        proving = tx.jobs.get(str(taking.request["verify_job_id"]))
    if snapshot is not None and snapshot.is_verified:
        return snapshot
    for job, what in ((taking, "taken"), (proving, "proven")):
        if job is not None and job.state.is_final and job.state is not JobState.SUCCEEDED:
            raise failed(job, what)
    if proving is not None and proving.state is JobState.SUCCEEDED:
        # It was proven, and a later proof of it has shown something else.
        raise failed(proving, "proven")
    return None


def failed(job: Job, what: str) -> JobFailed:
    error = job.error or {}
    why = error.get("message") or f"its job is {job.state}"
    return JobFailed(
        f"the snapshot was not {what}: {why}",
        code=f"snapshot_not_{what}",
        job_id=job.id,
        hint=error.get("hint"),
    )
