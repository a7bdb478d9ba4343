"""`snapfleet bus`: the process that takes requests in and sends events out."""

from __future__ import annotations

import os
import sys


def bus() -> None:
    """Take requests from the event bus and publish what becomes of them, until SIGTERM.

    The same as `python -m bus`, in place of this process: whoever stops this one stops that.
    """
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "bus"])  # noqa: S606 - no shell is wanted
