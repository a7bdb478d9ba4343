"""One source of state: asked when somebody looks, at most once in 15 s, and never waited for long.

    look ─► fresh? ─► its value
              └ no ─► ask, in a thread of its own ─► in time? ─► its value
                                                        └ no ─► None, and the question goes on

A question that hangs is not asked again beside itself; and what was known before is not handed out as if it
were known now.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Generic, TypeVar

import structlog

from shared.errors import SnapfleetError

log = structlog.get_logger(__name__)

FRESH_FOR = timedelta(seconds=15)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a source has behaved so far."""

    errors: int = 0
    succeeded_at: float | None = None
    """Unix time."""
    seconds: float | None = None
    """What its last answer took."""


class Source(Generic[T]):
    """A question with a short memory. May be looked at by several threads."""

    def __init__(
        self,
        name: str,
        ask: Callable[[], T],
        *,
        fresh_for: timedelta = FRESH_FOR,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._ask = ask
        self._fresh_seconds = fresh_for.total_seconds()
        self._clock = clock
        self._wall = wall
        self._guard = threading.Lock()
        self._asking: threading.Event | None = None
        self._answer: tuple[float, T] | None = None
        self._standing = Standing()

    def begin(self) -> threading.Event | None:
        """Ask, unless the answer is fresh; what is set when the question that runs has ended."""
        with self._guard:
            if self._fresh() is not None:
                return None
            if self._asking is None:
                self._asking = threading.Event()
                threading.Thread(target=self._run, args=(self._asking,), name=self.name, daemon=True).start()
            return self._asking

    def look(self, *, patience: timedelta) -> T | None:
        """The answer, at most so old as it may be kept; None where there is none in time."""
        asking = self.begin()
        in_time = asking is None or asking.wait(patience.total_seconds())
        with self._guard:
            fresh = self._fresh()
            if not in_time and fresh is None:
                # Nobody knows how the question that hangs will end; for this look it has failed.
                self._standing = replace(self._standing, errors=self._standing.errors + 1)
            return None if fresh is None else fresh[1]

    @property
    def standing(self) -> Standing:
        with self._guard:
            return self._standing

    def _fresh(self) -> tuple[float, T] | None:
        if self._answer is None or self._clock() - self._answer[0] > self._fresh_seconds:
            return None
        return self._answer

    def _run(self, ended: threading.Event) -> None:
        began = self._clock()
        answer: T | None = None
        failed = False
        try:
            answer = self._ask()
        except SnapfleetError as exc:
            failed = True
            log.warning("source_unread", source=self.name, code=exc.code)
        except Exception as exc:
            failed = True
            log.exception("source_unread", source=self.name, code=type(exc).__name__)
        seconds = self._clock() - began
        with self._guard:
            if failed or answer is None:
                self._answer = None
                self._standing = replace(self._standing, errors=self._standing.errors + 1)
            else:
                self._answer = (began, answer)
                self._standing = replace(self._standing, succeeded_at=self._wall(), seconds=seconds)
            self._asking = None
        ended.set()
