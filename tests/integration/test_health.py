"""What health says of real servers: that answer, that refuse, that have stopped, and that say nothing at all."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from embedded import ports
from embedded.valkey import Valkey
from shared.catalog import catalog
from shared.catalog.migration import migrate
from shared.domain.proof import VerifyPolicy
from shared.domain.schedule import Every
from shared.locks.redis import RedisLocks
from shared.operations.fleet import Fleet
from shared.operations.health import readiness
from shared.operations.health.readiness import Check, Readiness
from shared.storage import s3
from shared.storage.folder import FolderStorage
from shared.storage.repository import Repository
from shared.storage.s3 import S3Storage
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet

PATIENCE = timedelta(seconds=1)
SIX_HOURS = Every(every=timedelta(hours=6), phase=timedelta())


@pytest.fixture
def inlined(inline: Inline, database: Callable[..., str]) -> InlineFleet:
    return inline(database(), schedule=SIX_HOURS)


@contextmanager
def silence() -> Generator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        yield listener.getsockname()[1]


def closed_port() -> int:
    return ports.free(1)[0]


def looked(fleet: Fleet) -> dict[str, Check]:
    return {check.name: check for check in readiness.ready(fleet, patience=PATIENCE)}


def with_catalog_at(fleet: Fleet, port: int) -> Fleet:
    return replace(fleet, catalog=catalog.connect(f"postgresql://u:secret@127.0.0.1:{port}/x"))


def with_redis(fleet: Fleet, url: str) -> Fleet:
    return replace(fleet, locks=RedisLocks.connect(url))


def with_storage(fleet: Fleet, storage: FolderStorage | S3Storage) -> Fleet:
    return replace(fleet, repository=Repository(storage))


def test_all_four_are_ready_with_how_long_each_took(
    inlined: InlineFleet, redis_url: str, in_s3: S3Storage
) -> None:
    fleet = with_storage(with_redis(inlined.fleet, redis_url), in_s3)
    found = looked(fleet)
    assert list(found) == ["catalog", "redis", "repository", "tools"]
    assert [check for check in found.values() if not check.ok] == []
    assert all(0 < check.seconds < PATIENCE.total_seconds() for check in found.values())
    assert "PostgreSQL 18" in found["tools"].detail


def test_a_stopped_server_is_named_and_the_others_are_still_ready(
    inlined: InlineFleet, tmp_path: Path
) -> None:
    stopped = Valkey(tmp_path / "valkey")
    stopped.start()
    fleet = with_redis(inlined.fleet, stopped.url)
    readiness = Readiness(fleet, patience=PATIENCE)
    assert all(check.ok for check in readiness.look())
    stopped.kill()
    found = {check.name: check for check in readiness.look()}
    assert (found["redis"].ok, found["redis"].code) == (False, "redis_unreachable")
    assert [name for name, check in found.items() if check.ok] == ["catalog", "repository", "tools"]
    stopped.start()
    try:
        assert all(check.ok for check in readiness.look())
    finally:
        stopped.stop()


def test_a_closed_port_of_each_is_told_without_a_secret(inlined: InlineFleet) -> None:
    port = closed_port()
    fleet = with_redis(with_catalog_at(inlined.fleet, port), f"redis://:secret@127.0.0.1:{port}/0")
    fleet = with_storage(fleet, s3.connect(bucket="any", endpoint_url=f"http://127.0.0.1:{port}", attempts=1))
    found = looked(replace(fleet, bin_dir=Path("/nowhere")))
    assert {name: check.code for name, check in found.items()} == {
        "catalog": "catalog_unreachable",
        "redis": "redis_unreachable",
        "repository": found["repository"].code,
        "tools": "bin_dir",
    }
    assert not found["repository"].ok
    assert "secret" not in repr(found)


def test_what_hangs_is_waited_for_no_longer_than_said_and_side_by_side(inlined: InlineFleet) -> None:
    with silence() as port:
        fleet = with_redis(with_catalog_at(inlined.fleet, port), f"redis://127.0.0.1:{port}/0")
        fleet = with_storage(
            fleet, s3.connect(bucket="any", endpoint_url=f"http://127.0.0.1:{port}", attempts=1)
        )
        began_at = time.monotonic()
        found = looked(fleet)
        assert time.monotonic() - began_at < 2 * PATIENCE.total_seconds()
    assert {name for name, check in found.items() if not check.ok} == {"catalog", "redis", "repository"}
    assert found["catalog"].code == "no_answer"


def test_however_often_it_is_asked_a_server_that_hangs_costs_one_thread(inlined: InlineFleet) -> None:
    with silence() as port:
        readiness = Readiness(with_catalog_at(inlined.fleet, port), patience=timedelta(seconds=0.1))
        for _ in range(5):
            readiness.look()
        waiting = [thread for thread in threading.enumerate() if thread.name == "probe-catalog"]
        assert len(waiting) == 1


def test_a_catalog_that_is_not_migrated_is_not_ready(
    inlined: InlineFleet, database: Callable[..., str]
) -> None:
    empty = catalog.connect(database())
    found = looked(replace(inlined.fleet, catalog=empty))
    assert (found["catalog"].ok, found["catalog"].code) == (False, "catalog_not_migrated")
    migrate(empty)
    assert looked(replace(inlined.fleet, catalog=empty))["catalog"].ok
    empty.close()


def test_a_folder_whose_disk_is_not_mounted_is_not_ready(inlined: InlineFleet, folder: Path) -> None:
    assert looked(inlined.fleet)["repository"].ok
    inlined.snapshot()
    assert looked(inlined.fleet)["repository"].ok
    folder.rename(folder.with_name("away"))
    found = looked(inlined.fleet)["repository"]
    assert (found.ok, found.code) == (False, "object_missing")


def at(inlined: InlineFleet, when: datetime | None = None) -> readiness.BackupState:
    (found,) = readiness.backups(inlined.fleet, when)
    return found


def test_a_database_that_beat_has_not_seen_is_not_covered(inlined: InlineFleet) -> None:
    found = at(inlined)
    assert not found.ok
    assert "beat" in str(found.why)
    with inlined.fleet.catalog.transaction() as tx:
        tx.schedules.know([NAME])
    assert at(inlined).ok, "its first slot is not over"
    assert not at(inlined, datetime.now(UTC) + timedelta(hours=10)).ok


def test_without_a_newer_good_snapshot_or_proof_a_database_is_late(inlined: InlineFleet) -> None:
    inlined.snapshot()
    found = at(inlined)
    assert found.ok
    assert found.proof is None, "its policy wants no proofs"
    assert found.sealed == found.good
    assert found.snapshot is not None
    assert at(inlined, found.snapshot.late_at - timedelta(seconds=1)).ok
    assert "no good snapshot" in str(at(inlined, found.snapshot.late_at).why)

    inlined.configure(databases={NAME: replace(inlined.fleet.database(NAME), verify=VerifyPolicy.ALWAYS)})
    found = at(inlined)
    assert found.ok
    assert found.proof is not None
    later = max(found.proof.late_at, found.snapshot.late_at) if found.snapshot else found.proof.late_at
    (job_snapshot,) = (snapshot.id for snapshot in inlined.snapshots())
    inlined.verify(job_snapshot)
    assert at(inlined).proven == at(inlined).good
    change(inlined, "update snapshot set verified_at = null")
    change(inlined, "update database set created_at = now() - interval '2 days'")
    assert "no proven snapshot" in str(at(inlined).why), later


def test_a_suspect_snapshot_proves_nothing(inlined: InlineFleet) -> None:
    inlined.snapshot()
    change(inlined, "update snapshot set suspicions = '[\"it is empty\"]'")
    change(inlined, "update database set created_at = now() - interval '2 days'")
    found = at(inlined)
    assert found.sealed is not None
    assert found.good is None
    assert not found.ok


def test_a_blocked_database_says_why(inlined: InlineFleet) -> None:
    inlined.snapshot()
    with inlined.fleet.catalog.transaction() as tx:
        tx.schedules.block(NAME, why="it was emptied")
    assert at(inlined).why == "no snapshot of it is taken: it was emptied"


def test_the_canary_is_silent_until_a_worker_sings_and_when_none_has_for_minutes(
    inlined: InlineFleet,
) -> None:
    assert readiness.canary(inlined.fleet) == readiness.CanaryState(sign=None, ok=False)
    for _ in range(2):
        readiness.sing(inlined.fleet, queue="control")
    found = readiness.canary(inlined.fleet)
    assert found.ok
    assert found.sign is not None
    assert found.sign.worker == "inline"
    assert not readiness.canary(inlined.fleet, found.sign.sung_at + timedelta(minutes=4)).ok
    assert inlined.unfinished() == [], "it is no job"


def change(inlined: InlineFleet, statement: str) -> None:
    with inlined.fleet.catalog.engine.begin() as connection:
        connection.execute(text(statement))


def test_two_databases_are_judged_apart(inlined: InlineFleet) -> None:
    other = replace(inlined.fleet.database(NAME), name=f"other-{uuid.uuid4().hex[:6]}")
    inlined.configure(databases={NAME: inlined.fleet.database(NAME), other.name: other})
    inlined.snapshot()
    change(inlined, "update database set created_at = now() - interval '2 days'")
    found = {state.name: state.ok for state in readiness.backups(inlined.fleet)}
    assert found == {NAME: True, other.name: False}
