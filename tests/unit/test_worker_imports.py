"""Each process of a pool carries what its worker has imported: what it does not use is not among that."""

from __future__ import annotations

import subprocess
import sys

UNUSED = {
    "alembic",  # 8 MB: only migrations
    "apprise",
    "celery.bin.celery",  # 12 MB with the commands of others, Flower's and a shell
    "cryptography.hazmat",  # 8 MB: only where there is a key
    "fastapi",
    "flower",
    "mcp",
    "typer",
}


def test_a_worker_imports_nothing_that_only_other_processes_use() -> None:
    asked = (
        "import sys, workers.__main__, celery.apps.worker, celery.concurrency.prefork; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "workers.tasks" in imported
    assert not UNUSED & imported
