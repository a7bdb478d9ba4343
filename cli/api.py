"""`snapfleet api`: the process that answers the REST API."""

from __future__ import annotations

import os
import sys


def api() -> None:
    """Answer the REST API, until SIGTERM.

    The same as `python -m api`, in place of this process: whoever stops this one stops that.
    """
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "api"])  # noqa: S606 - no shell is wanted
