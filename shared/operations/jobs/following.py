"""Follow a job from the catalog until it has ended: what `--wait`, `job watch` and the demo show.

Only rows are looked at, so nothing that happens to Redis is noticed here. Whoever follows also reaps:
a message that was lost is rung again within seconds, not at beat's next tick.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.catalog.catalog import Transaction
from shared.domain.events import Told
from shared.domain.job import SAGAS, Job
from shared.errors import NotFound, Unreachable
from shared.operations.fleet import Fleet
from shared.operations.jobs import dispatch

LOOK_EVERY = timedelta(milliseconds=200)
REAP_EVERY = timedelta(seconds=5)
# How long the catalog may be away, as in a restart of its server, before following gives up.
PATIENCE = timedelta(seconds=60)
MOST_TOLD = 1000
"""Events in one look; those that are left are in the next."""
# Before this much time has passed a rate says nothing.
_SETTLING_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A job at one moment, and how far its running step is."""

    job: Job
    parts: int = 0
    """Of the running copy or load; 0 where the step has none."""
    done_parts: int = 0
    done_bytes: int = 0
    """Raw bytes that the step has moved so far."""
    fraction: float | None = None
    """Of the step, from 0 to 1; None where it cannot be told."""
    bytes_per_second: float | None = None
    remaining: timedelta | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """All steps of the job, in order."""
        return SAGAS[self.job.kind].steps


def follow(
    fleet: Fleet,
    job_id: str,
    *,
    every: timedelta = LOOK_EVERY,
    away: Callable[[Unreachable], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Progress]:
    """What the job is doing, at once and then again and again; the last one is in a final state.

    `away` hears of each look that the catalog did not answer. Raises NotFound for a job that is not
    there, and Unreachable when the catalog stays away.
    """
    pace = _Pace(clock)
    reaped_at = seen_at = clock()
    while True:
        try:
            progress = _look(fleet, job_id, pace)
            seen_at = clock()
            yield progress
            if progress.job.state.is_final:
                return
            if clock() - reaped_at > REAP_EVERY.total_seconds():
                reaped_at = clock()
                dispatch.reap(fleet, job_id)
        except Unreachable as exc:
            if clock() - seen_at > PATIENCE.total_seconds():
                raise
            away(exc)
        sleep(every.total_seconds())


class _Pace:
    """Bytes per second within one step."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._step: tuple[int, str | None] | None = None
        self._began = (0.0, 0)

    def at(self, job: Job, done_bytes: int) -> float | None:
        now = self._clock()
        if self._step != (job.epoch, job.step) or done_bytes < self._began[1]:
            self._step, self._began = (job.epoch, job.step), (now, done_bytes)
        seconds = now - self._began[0]
        if seconds < _SETTLING_SECONDS or done_bytes == self._began[1]:
            return None
        return (done_bytes - self._began[1]) / seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A job at one moment, and what was told of it since a place in its database's sequence."""

    progress: Progress
    told: tuple[Told, ...]
    is_all: bool
    """False where more was told: the next look has it."""


def hear(fleet: Fleet, places: Mapping[str, int]) -> Mapping[str, Heard]:
    """One look at many jobs, by their ids, each with what was told of it after its place.

    A job that has ended by then has had its last event told: the job is looked at first.
    """
    with fleet.catalog.transaction() as tx:
        jobs = {job_id: job for job_id in places if (job := tx.jobs.get(job_id)) is not None}
        seen = {job_id: _progress(tx, job, _Pace(time.monotonic)) for job_id, job in jobs.items()}
        told = tx.outbox.told_of(places, limit=MOST_TOLD)
    return {
        job_id: Heard(
            progress=progress,
            told=tuple(each for each in told if each.job_id == job_id),
            is_all=len(told) < MOST_TOLD,
        )
        for job_id, progress in seen.items()
    }


def _look(fleet: Fleet, job_id: str, pace: _Pace) -> Progress:
    with fleet.catalog.transaction() as tx:
        job = tx.jobs.get(job_id)
        if job is None:
            raise NotFound(f"no job {job_id}", code="job_unknown", hint="`snapfleet jobs` lists them")
        return _progress(tx, job, pace)


def _progress(tx: Transaction, job: Job, pace: _Pace) -> Progress:
    if job.step not in {"copy", "safeguard", "load"} or job.state.is_final:
        return Progress(job=job)
    parts = tx.parts.progress(job.id)
    done_bytes = parts.done_bytes + int(job.progress.get("archive_bytes", 0))
    rate = pace.at(job, done_bytes)
    missing = parts.expected_bytes - parts.covered_bytes
    return Progress(
        job=job,
        parts=parts.total,
        done_parts=parts.done,
        done_bytes=done_bytes,
        fraction=parts.covered_bytes / parts.expected_bytes if parts.expected_bytes else None,
        bytes_per_second=rate,
        remaining=timedelta(seconds=missing / rate) if rate and parts.total else None,
    )
