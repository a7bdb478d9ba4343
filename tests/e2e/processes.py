"""Which processes belong to a folder: they work in it, or their command line names it."""

from __future__ import annotations

import os
import time
from pathlib import Path

LEAVING_SECONDS = 30


def living_in(folder: Path) -> dict[int, str]:
    """Command lines by process id."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            home = (process / "cwd").readlink()
        except OSError:
            continue
        if words and int(process.name) != os.getpid() and str(folder) in f"{home} {words}":
            found[int(process.name)] = words
    return found


def assert_all_leave(folder: Path) -> None:
    """Within a while nobody is left."""
    deadline = time.monotonic() + LEAVING_SECONDS
    while left := living_in(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
