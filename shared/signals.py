"""Signals that a process hears itself, and above all: that somebody has asked it to end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def handled(handlers: Mapping[signal.Signals, Handler]) -> Generator[None]:
    """In here these signals do this, afterwards what they did before. Only in the main thread."""
    former = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class AskedToEnd:
    """Whether SIGINT or SIGTERM has come.

    A handler runs between any two steps of the main thread, so it must not take a lock which that thread may
    hold. `threading.Event` does: set by a handler in the first steps of its own `wait`, it never returns.
    `SimpleQueue.put` is made for this: https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put
    """

    def __init__(self) -> None:
        self._asked = False
        self._woken = SimpleQueue[None]()

    def __bool__(self) -> bool:
        return self._asked

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until asked, or for so long; whether it was asked. Only in the main thread."""
        if not self._asked:
            with suppress(Empty):
                self._woken.get(timeout=seconds)
        return self._asked

    def hear(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        self._woken.put(None)


@contextmanager
def asked_to_end() -> Generator[AskedToEnd]:
    """In here SIGINT and SIGTERM do nothing but to be heard."""
    asked = AskedToEnd()
    with handled(dict.fromkeys((signal.SIGINT, signal.SIGTERM), asked.hear)):
        yield asked
