"""One owner per folder, by a lock that the kernel takes back when its last holder dies.

The lock belongs to the open file, and children that inherit the descriptor hold it as well. So a
server's folder is free again only when the last process of that server is gone, not when we are.
"""

from __future__ import annotations

import fcntl
import os
import time
from datetime import timedelta
from pathlib import Path

from shared.errors import Busy

_POLL_SECONDS = 0.02
AT_ONCE = timedelta(0)


class FolderLock:
    """The right to use a folder. `descriptor` is what a child inherits to share it."""

    def __init__(self, folder: Path, *, owner: str) -> None:
        self._folder = folder
        self._owner = owner
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        if self._descriptor is None:
            raise RuntimeError("the folder is not locked")
        return self._descriptor

    def take(self, *, patience: timedelta = AT_ONCE) -> None:
        """Take it; raise Busy if somebody else holds it all this time."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + patience.total_seconds()
        while not _locked(descriptor):
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise Busy(
                    f"{self._owner} is already running in {self._folder}",
                    code="folder_in_use",
                    hint="stop the other one, or use another folder",
                )
            time.sleep(_POLL_SECONDS)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give up our share. Children that inherited the lock keep theirs."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
