"""Hold work that goes on in another thread at a moment that the code names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared import failpoints


@contextmanager
def held_at(point: str, folder: Path) -> Iterator[Path]:
    """Hold the next one that comes by there, for as long as the file is there that tells of it."""
    (folder / point).write_text("hold")
    reached = folder / f"{point}{failpoints.STRUCK}"
    failpoints.arm(folder)
    try:
        yield reached
    finally:
        failpoints.disarm()
        reached.unlink(missing_ok=True)
