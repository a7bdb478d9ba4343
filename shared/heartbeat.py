"""A file that is touched while a process is well, so that a healthcheck costs a look at its age and no process."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

TOUCH_EVERY_SECONDS = 1.0


class Heartbeat:
    """Touches its file when told that something went well, at most once a second. Without a file it does nothing.

    A disk that is full must not end the process: then the file grows old, and that says it.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._touched_at: float | None = None

    def beat(self, *_: object, **__: object) -> None:
        """Whatever the caller hands over is not looked at: it may be connected to a signal."""
        now = self._clock()
        if self._path is None or (
            self._touched_at is not None and now - self._touched_at < TOUCH_EVERY_SECONDS
        ):
            return
        self._touched_at = now
        with suppress(OSError):
            self._path.touch()
