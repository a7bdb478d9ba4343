"""One look for all who follow jobs: each is told all that he has not heard, whoever comes or dawdles meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from api.watching import Subscription, Watch
from shared.domain.events import Told
from shared.domain.job import Job, JobKind, JobState
from shared.operations.jobs.following import Heard, Progress

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PATIENCE = timedelta(seconds=20)
ONE, OTHER = "one", "other"
EVENTS = range(1, 5)


def job(job_id: str) -> Job:
    return Job(
        id=job_id,
        kind=JobKind.CHECK,
        database="orders",
        request={},
        idempotency_key=job_id,
        state=JobState.ACTIVE,
        epoch=1,
        next_seq=1,
        attempts=0,
        cancel_requested=False,
        progress={},
        result={},
        error=None,
        created_at=NOW,
        not_before=NOW,
        deadline_at=NOW,
        enqueued_at=None,
        lease_until=None,
        lease_owner=None,
        finished_at=None,
    )


def told(job_id: str, sequence: int) -> Told:
    return Told(
        number=sequence,
        id=str(sequence),
        type="check.started",
        database="orders",
        sequence=sequence,
        job_id=job_id,
        cause=None,
        data={},
        time=NOW,
    )


class Look:
    """What a catalog would answer; each look waits until it is let go on."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, int]] = []
        self.begun, self.may_end = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, places: Mapping[str, int]) -> Mapping[str, Heard]:
        self.asked.append(places)
        self.begun.release()
        self.may_end.acquire(timeout=PATIENCE.total_seconds())
        return {
            job_id: Heard(
                progress=Progress(job=job(job_id)),
                told=tuple(told(job_id, n) for n in EVENTS if n > after),
                is_all=True,
            )
            for job_id, after in places.items()
        }

    async def has_begun(self) -> None:
        await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE.total_seconds())


async def heard(subscription: Subscription) -> list[int]:
    found = await subscription.next(within=PATIENCE)
    assert found is not None
    return [each.sequence or 0 for each in found.told]


def run(scene: Callable[[Look, Watch], Awaitable[None]]) -> None:
    async def whole() -> None:
        look = Look()
        await scene(look, Watch(look, every=timedelta(0)))
        look.may_end.release(100)

    asyncio.run(whole())


def test_whoever_comes_while_somebody_further_on_is_looked_for_misses_nothing() -> None:
    async def scene(look: Look, watch: Watch) -> None:
        with watch.subscribed(ONE, after=3, by="me") as early:
            await look.has_begun()
            with watch.subscribed(ONE, after=0, by="me") as late:
                look.may_end.release(2)
                assert await heard(early) == [4]
                assert await heard(late) == list(EVENTS)

    run(scene)


def test_what_somebody_does_not_take_is_not_looked_for_again() -> None:
    async def scene(look: Look, watch: Watch) -> None:
        with (
            watch.subscribed(ONE, after=0, by="me") as slow,
            watch.subscribed(OTHER, after=0, by="me") as quick,
        ):
            look.may_end.release(2)
            assert await heard(quick) == list(EVENTS)
            await look.has_begun()
            await look.has_begun()
            assert look.asked == [{ONE: 0, OTHER: 0}, {OTHER: 4}]
            assert await heard(slow) == list(EVENTS)

    run(scene)


def test_a_look_that_fails_in_an_unforeseen_way_is_not_the_last_one() -> None:
    async def scene() -> None:
        look = Look()
        look.may_end.release(1)
        failed: list[bool] = []

        def look_twice(places: Mapping[str, int]) -> Mapping[str, Heard]:
            if not failed:
                failed.append(True)
                raise ZeroDivisionError
            return look(places)

        with Watch(look_twice, every=timedelta(0)).subscribed(ONE, after=0, by="me") as follower:
            assert await heard(follower) == list(EVENTS)

    asyncio.run(scene())
