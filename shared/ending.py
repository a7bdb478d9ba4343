"""That somebody has asked this process to end."""

from __future__ import annotations

import signal
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import Self


class AskedToEnd:
    """Whether SIGINT or SIGTERM has come. Inside it they do nothing else; leaving restores what they did.

    Only the main thread may enter it and wait. A handler runs between any two steps of that thread, so it
    must not take a lock which that thread may hold. `threading.Event` does: set by a handler in the first
    steps of its own `wait`, it never returns. `SimpleQueue.put` is made for this:
    https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put
    """

    def __init__(self) -> None:
        self._asked = False
        self._woken = SimpleQueue[None]()
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self._asked

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until asked, or for so long; whether it was asked."""
        if not self._asked:
            with suppress(Empty):
                self._woken.get(timeout=seconds)
        return self._asked

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        self._woken.put(None)
