"""The collector of garbage, kept away from what a process reads before it begins."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Generator[None]:
    """Inside it modules are imported: what they make stays, and no collection ever walks it.

    The modules of a process are some hundred thousand objects and next to no garbage. To look through them all
    again and again while they became more was a third of the time that a command took to start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
