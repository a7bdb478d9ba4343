"""Where a worker's processes keep what they count: a folder of its own, gone when the last of them is.

Whoever is killed cannot tidy up; so the next one does it for those whose lock nobody holds any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "snapfleet-metrics-"
LOCK = "lock"


@contextmanager
def own_folder() -> Generator[Path]:
    """An empty folder that no other worker uses; removed by the process that asked for it, and by no child."""
    sweep(Path(tempfile.gettempdir()))
    owner = os.getpid()
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Held for as long as this process or a child of it lives.
        lock = os.open(folder / LOCK, os.O_WRONLY | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            break
        os.close(lock)  # swept by another in the instant before it was locked
    try:
        yield folder
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(parent: Path) -> None:
    """Remove what killed workers of ours have left."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK, os.O_WRONLY)
        except OSError:
            continue  # another is about to make it, or has removed it just now
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use
        finally:
            os.close(lock)
