"""Wait for what comes about by itself, by looking."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(holds: Callable[[], object], what: str = "it did not come about", *, seconds: float = 90) -> None:
    """Look until it holds; AssertionError with `what` at the deadline, which a busy machine does not reach."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"after {seconds:g} s: {what}"
        time.sleep(0.01)
