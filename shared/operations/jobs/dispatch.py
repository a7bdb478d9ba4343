"""Bring waiting and stuck jobs to the fleet's attention: rows first, doorbells after."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from shared.domain import events
from shared.domain.job import Job
from shared.errors import Busy, Unreachable
from shared.operations.fleet import Fleet
from shared.operations.trust import auditing

log = structlog.get_logger(__name__)


def ring(fleet: Fleet, jobs: Iterable[Job]) -> bool:
    """Ring for each job; False when Redis could not be reached: the next reap rings again."""
    unrung = list(jobs)
    while unrung:
        try:
            fleet.doorbell.ring(unrung[0])
        except Unreachable as exc:
            log.warning("doorbell_failed", jobs=[job.id for job in unrung], code=exc.code)
            with fleet.catalog.transaction() as tx:
                for job in unrung:
                    tx.jobs.not_rung(job)
            return False
        unrung.pop(0)
    return True


def start_waiting(fleet: Fleet, database: str | None = None) -> bool:
    """Start the oldest waiting job of each database that is free; False when Redis was down."""
    try:
        with fleet.catalog.singly() as tx:
            started = tx.jobs.activate(database)
    except Busy:
        # Another process started one at the same moment, and rings for it.
        return True
    return ring(fleet, started)


def reap(fleet: Fleet, job_id: str | None = None) -> int:
    """Find jobs that do not move, fence their lost workers out, and ring again; how many."""
    with fleet.catalog.transaction() as tx:
        expired = tx.jobs.expire()
        # In one order for all who do this: each event locks its database's row.
        for job in sorted(expired, key=lambda job: job.database):
            data = events.data_of(job)
            tx.outbox.add(f"{job.kind}.{job.state}", database=job.database, job_id=job.id, data=data)
            auditing.ended(tx, job, by=auditing.of_worker(fleet.owner))
        stuck = tx.jobs.reap(job_id)
    for job in stuck:
        log.warning("job_rung_again", job=job.id, epoch=job.epoch, state=job.state)
    ring(fleet, stuck)
    start_waiting(fleet)
    return len(stuck) + len(expired)
