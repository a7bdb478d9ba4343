"""What SIGTERM means to a worker: not "wait for hours until all is done", which is what Celery makes of it."""

from __future__ import annotations

import subprocess
import sys

ASK = "import workers.__main__; from celery.apps.worker import REMAP_SIGTERM; print(REMAP_SIGTERM)"


def test_sigterm_ends_a_worker_within_the_soft_shutdown_window_whatever_it_imports_first() -> None:
    said = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.strip() == "SIGQUIT"
