"""The minutes that a run may take, and what of them each of its parts may have.

A part asks before each further round whether that fits, and leaves it out if not. Whatever still runs when the
minutes are over is cut off: what was measured until then stands.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from shared.signals import handled


class OutOfTime(BaseException):
    """The minutes are over, or somebody ended the run. Not an Exception: nothing on the way may take it for a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The moment by which a part should have ended."""

    until: float
    clock: Callable[[], float]

    def fits(self, seconds: float) -> bool:
        return self.clock() + seconds <= self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """From `began` on so many seconds. What a part leaves over, or takes too much, is shared by those after it."""

    began: float
    seconds: float
    clock: Callable[[], float]

    def share(self, part: float) -> Share:
        """This part of what is left."""
        return Share(until=self.clock() + (self.seconds - self.spent) * part, clock=self.clock)

    @property
    def spent(self) -> float:
        return self.clock() - self.began


@contextmanager
def cut_off_after(seconds: float) -> Generator[None]:
    """Raise OutOfTime in whatever runs then, in the main thread; likewise when the process is told to end."""

    def over(number: int, _: FrameType | None) -> None:
        raise OutOfTime(
            "its minutes were over" if number == signal.SIGALRM else "somebody ended it",
        )

    numbers = (signal.SIGALRM, signal.SIGTERM, signal.SIGINT)
    with handled(dict.fromkeys(numbers, over)):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
