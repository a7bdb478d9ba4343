"""Many clients follow jobs; one task looks for all of them, so that none holds a thread or a connection.

    subscription ─┐
    subscription ─┼─► one look a tick, in one thread ─► what is new to each
    subscription ─┘

What a slow client has not taken yet is not looked for again: its place moves on only with what it took.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import structlog
from starlette.concurrency import run_in_threadpool

from shared.errors import Busy, SnapfleetError
from shared.operations.jobs.following import Heard

log = structlog.get_logger(__name__)

Look = Callable[[Mapping[str, int]], Mapping[str, Heard]]

LOOK_EVERY = timedelta(milliseconds=500)
MOST = 500
"""Subscriptions at once; each costs an open connection of the server, and memory."""
MOST_EACH = 100
"""Of one token, so that it leaves room for all others."""


class Subscription:
    """One client's view of one job, from a place in its database's sequence on."""

    def __init__(self, job_id: str, *, after: int, by: str) -> None:
        self.job_id, self.after, self.by = job_id, after, by
        self._heard: Heard | None = None
        self._is_new = asyncio.Event()

    @property
    def listens(self) -> bool:
        """False while it has not taken what it was told."""
        return self._heard is None

    def hear(self, heard: Heard) -> None:
        told = tuple(each for each in heard.told if (each.sequence or 0) > self.after)
        self._heard = Heard(progress=heard.progress, told=told, is_all=heard.is_all)
        self._is_new.set()

    async def next(self, *, within: timedelta) -> Heard | None:
        """What the next look has shown; None where there was no look in that time."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._is_new.wait()
        except TimeoutError:
            return None
        heard, self._heard = self._heard, None
        self._is_new.clear()
        if heard is not None:
            self.after = max([self.after, *(each.sequence or 0 for each in heard.told)])
        return heard


class Watch:
    """Looks while anybody is subscribed."""

    def __init__(
        self, look: Look, *, every: timedelta = LOOK_EVERY, most: int = MOST, most_each: int = MOST_EACH
    ) -> None:
        self._look, self._every, self._most, self._most_each = look, every, most, most_each
        self._subscriptions: set[Subscription] = set()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._subscriptions)

    def refuse_full(self, by: str) -> None:
        """Busy where too many follow jobs already, all together or as this one."""
        if len(self) >= self._most:
            raise Busy("too many clients follow jobs here", code="too_many_followers", hint="ask again later")
        if sum(each.by == by for each in self._subscriptions) >= self._most_each:
            raise Busy(
                f"this token follows {self._most_each} jobs already, and may follow no more at a time",
                code="too_many_followers",
                hint="end a stream first, or ask for /v1/jobs now and then",
            )

    @contextmanager
    def subscribed(self, job_id: str, *, after: int, by: str) -> Generator[Subscription]:
        """Inside it the subscription hears."""
        subscription = Subscription(job_id, after=after, by=by)
        self._subscriptions.add(subscription)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def _run(self) -> None:
        while self._subscriptions:
            await self._tick()
            await asyncio.sleep(self._every.total_seconds())

    async def _tick(self) -> None:
        # Only these are told: who comes, or has taken what he was told, while we look may stand before these places.
        # And what nobody takes must not fill each look, which is limited, until others hear nothing.
        listening = [each for each in self._subscriptions if each.listens]
        if not listening:
            return
        places: dict[str, int] = {}
        for each in listening:
            places[each.job_id] = min(places.get(each.job_id, each.after), each.after)
        try:
            heard = await run_in_threadpool(self._look, places)
        except SnapfleetError as exc:  # nothing new is heard, and the next look may find it back
            log.warning("watch_waits", code=exc.code)
            return
        except Exception:  # one bad look must not leave all followers without another
            log.exception("watch_failed")
            return
        for each in listening:
            if each.job_id in heard:
                each.hear(heard[each.job_id])
