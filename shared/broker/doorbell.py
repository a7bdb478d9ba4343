"""Doorbells: messages that say "there may be something to do". They carry ids only.

A lost one is rung again by the reaper, a doubled one finds the step claimed. So ringing may fail, and
then says so; nothing is lost by it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from celery import Celery, chain
from kombu.exceptions import OperationalError

from shared.domain.job import SAGAS, Job, JobKind, JobState
from shared.errors import Unreachable

LOST: tuple[type[Exception], ...] = (OperationalError, OSError, AttributeError)
"""How kombu says that its connection is gone. The last one comes from a channel that is torn down already, and asks
for the address of a connection that it has no more (kombu 5.7, `Channel._connparams`).
"""


class Doorbell(Protocol):
    def ring(self, job: Job) -> None:
        """Ask the fleet to go on with a job, forward or back. Raises Unreachable when Redis is down."""
        ...

    def ring_hands(self, job: Job, count: int) -> None:
        """Ask `count` more workers to help with the parts of the step that runs. Raises Unreachable."""
        ...


def step_task(kind: JobKind, step: str) -> str:
    """The name of a step's task, as Flower shows it."""
    return f"{kind}.{step}"


def rollback_task(kind: JobKind) -> str:
    return f"{kind}.rollback"


def hand_task(kind: JobKind) -> str:
    return f"{kind}.parts"


class CeleryDoorbell:
    """The real one."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def ring(self, job: Job) -> None:
        queue = SAGAS[job.kind].queue
        rollback = self._app.signature(
            rollback_task(job.kind), args=(job.id, job.epoch), immutable=True, queue=queue
        )
        with translated():
            if job.state is JobState.ROLLING_BACK:
                rollback.apply_async()
                return
            steps = [
                self._app.signature(
                    step_task(job.kind, name),
                    args=(job.id, job.epoch, seq),
                    immutable=True,
                    queue=queue,
                )
                for seq, name in job.remaining
            ]
            chain(*steps, app=self._app).on_error(rollback).apply_async()

    def ring_hands(self, job: Job, count: int) -> None:
        queue = SAGAS[job.kind].hands or SAGAS[job.kind].queue
        with translated():
            for _ in range(count):
                self._app.send_task(hand_task(job.kind), args=(job.id, job.epoch), queue=queue)


class RestingDoorbell:
    """Another one, left alone for a while after it failed: whoever waits for us does not wait for Redis each time.

    What was not rung the reaper rings.
    """

    def __init__(self, doorbell: Doorbell, *, rest: timedelta, clock: Callable[[], float]) -> None:
        self._doorbell, self._rest, self._clock = doorbell, rest.total_seconds(), clock
        self._rests_until = float("-inf")

    def ring(self, job: Job) -> None:
        self._try(lambda: self._doorbell.ring(job))

    def ring_hands(self, job: Job, count: int) -> None:
        self._try(lambda: self._doorbell.ring_hands(job, count))

    def _try(self, ring: Callable[[], None]) -> None:
        if self._clock() < self._rests_until:
            raise Unreachable("Redis did not answer a moment ago", code="redis_unreachable")
        try:
            ring()
        except Unreachable:
            self._rests_until = self._clock() + self._rest
            raise


class MemoryDoorbell:
    """The twin for tests and for running without a broker: keeps what was rung, in order."""

    def __init__(self) -> None:
        self.rung: list[Job] = []
        self.hands: list[tuple[Job, int]] = []

    def ring(self, job: Job) -> None:
        self.rung.append(job)

    def ring_hands(self, job: Job, count: int) -> None:
        self.hands.append((job, count))


@contextmanager
def translated() -> Generator[None]:
    try:
        yield
    except LOST as exc:
        raise Unreachable(
            "Redis does not answer",
            code="redis_unreachable",
            hint="accepted all the same: the job runs when Redis is back",
        ) from exc
