"""Retention at work: what goes, what stays whatever happens, and kills between any two of its acts."""

from __future__ import annotations

import hashlib
import signal
import time
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from shared.domain.job import Job, JobKind, JobState
from shared.domain.retention import Policy
from shared.domain.snapshot import SnapshotState
from shared.operations.jobs import requests
from shared.operations.snapshots.chunking import ChunkStore
from shared.operations.upkeep import prune
from shared.storage.folder import FolderStorage
from tests.actors import TESTER
from tests.extent import WHOLE
from tests.integration import dying
from tests.integration.inline_fleet import NAME, InlineFleet

PATIENCE_SECONDS = 90.0
KILLS = [
    {"nth": 1},  # planned
    {"nth": 2},  # hidden
    {"deletes": 1},  # manifest deleted
    {"deletes": 2},  # and what was known of it
    {"nth": 3},  # buried; dead chunks marked
    {"nth": 4},  # about to delete the first of them
    {"deletes": 3},  # its object deleted, its row not yet
    {"nth": 5},  # about to delete the second
    {"deletes": 4},
    {"nth": 6},  # all done but the step itself
]


class Shelf:
    """A small database and its snapshots, each of other bytes."""

    def __init__(self, url: str, catalog_url: str, folder: Path) -> None:
        self.url, self.catalog_url, self.folder = url, catalog_url, folder
        self.inlined = InlineFleet(url, catalog_url=catalog_url, storage=FolderStorage(folder))
        with psycopg.connect(url) as session:
            session.execute("create table t (pad bytea)")

    @property
    def repository(self) -> Any:
        return self.inlined.fleet.repository

    def snapshot(self) -> str:
        """The id of one more, which shares no chunk with any other."""
        with psycopg.connect(self.url) as session:
            session.execute("truncate t")
            session.execute(
                "insert into t select sha512(convert_to(%s || i, 'UTF8')) from generate_series(1, 3000) i",
                [uuid.uuid4().hex],
            )
        job = self.inlined.snapshot()
        assert job.state is JobState.SUCCEEDED
        return str(job.request["snapshot_id"])

    def keep(self, last: int) -> None:
        database = replace(self.inlined.fleet.database(NAME), policy=Policy(last=last))
        self.inlined.configure(databases={NAME: database})

    def prune(self) -> Job:
        return self.inlined.to_its_end(self.submit(JobKind.PRUNE, {}))

    def submit(self, kind: JobKind, request: dict[str, Any]) -> str:
        return self.inlined.submit(kind, request).id

    def a_day_passes(self) -> None:
        self.change("update chunk set touched_at = touched_at - interval '25 h'")
        self.change(
            "update snapshot set created_at = created_at - interval '25 h',"
            " taken_at = taken_at - interval '25 h', sealed_at = sealed_at - interval '25 h'"
        )

    def change(self, statement: str) -> None:
        with self.inlined.fleet.catalog.engine.begin() as connection:
            connection.execute(text(statement))

    def states(self) -> dict[str, SnapshotState]:
        return {snapshot.id: snapshot.state for snapshot in self.inlined.snapshots()}

    def objects(self) -> set[str]:
        """All but what says how a snapshot stands, which no snapshot needs."""
        stored = {stat.key for stat in self.repository.storage.list(f"{NAME}/")}
        return {key for key in stored if not key.endswith("/standing.json")}

    def standings(self) -> set[str]:
        """The ids of the snapshots that have one."""
        stored = self.repository.storage.list(f"{NAME}/snapshots/")
        return {stat.key.split("/")[2] for stat in stored if stat.key.endswith("/standing.json")}

    def objects_of(self, snapshot_id: str) -> set[str]:
        """Every object that a snapshot needs, its manifest first of all."""
        manifest = self.repository.get_manifest(NAME, snapshot_id, sha256=None)
        chunks = {f"{NAME}/chunks/{sha[:2]}/{sha}" for sha in manifest.distinct_chunks}
        return {f"{NAME}/snapshots/{snapshot_id}/manifest.json", *chunks}

    def assert_whole(self) -> None:
        """Every snapshot that can be seen has all its objects."""
        stored = self.objects()
        sealed = [id_ for id_, state in self.states().items() if state is SnapshotState.SEALED]
        assert sealed
        for snapshot_id in sealed:
            assert self.objects_of(snapshot_id) <= stored


@pytest.fixture
def shelf(database: Callable[..., str], tmp_path: Path) -> Generator[Shelf]:
    made = Shelf(database(), database(), tmp_path / "repository")
    yield made
    made.inlined.close()


def test_what_retention_lets_go_is_gone_to_the_last_object_after_a_day(shelf: Shelf) -> None:
    ids = [shelf.snapshot() for _ in range(3)]
    needed = {id_: shelf.objects_of(id_) for id_ in ids}
    shelf.keep(1)
    assert shelf.prune().result["removed"] == []
    shelf.a_day_passes()
    shelf.change("update chunk set touched_at = now()")
    shelf.prune()
    assert shelf.states() == {
        ids[0]: SnapshotState.DELETED,
        ids[1]: SnapshotState.DELETED,
        ids[2]: SnapshotState.SEALED,
    }
    assert shelf.standings() == {ids[2]}
    manifests = {f"{NAME}/snapshots/{id_}/manifest.json" for id_ in ids[:2]}
    assert shelf.objects() == set().union(*needed.values()) - manifests
    shelf.a_day_passes()
    assert shelf.prune().result["deleted_chunks"] == 4
    assert shelf.objects() == needed[ids[2]]
    with shelf.inlined.fleet.catalog.engine.connect() as connection:
        assert connection.execute(text("select count(*) from chunk")).scalar_one() == 2


def test_the_newest_the_pinned_and_those_that_a_job_asks_for_stay(shelf: Shelf) -> None:
    pinned, wanted, held, loose, newest = (shelf.snapshot() for _ in range(5))
    shelf.keep(1)
    shelf.a_day_passes()
    requests.pin(shelf.inlined.fleet, pinned, pinned=True, by=TESTER)
    pruning = shelf.submit(JobKind.PRUNE, {})
    waiting = shelf.submit(JobKind.RESTORE, requests.restore_request(snapshot_id=wanted))
    with shelf.inlined.fleet.catalog.transaction() as tx:
        assert tx.snapshots.hold(held, job_id=waiting)
    shelf.inlined.before = nothing_but_prune
    shelf.inlined.drain()
    assert shelf.inlined.job(pruning).state is JobState.SUCCEEDED
    gone = {id_ for id_, state in shelf.states().items() if state is SnapshotState.DELETED}
    assert gone == {loose}
    assert shelf.states()[newest] is SnapshotState.SEALED
    shelf.assert_whole()


def nothing_but_prune(_: Job, step: str) -> None:
    if step != "prune":
        raise LookupError("not in this test")


def test_a_snapshot_that_was_pinned_after_the_plan_stays(shelf: Shelf) -> None:
    first, _ = shelf.snapshot(), shelf.snapshot()
    shelf.keep(1)
    shelf.a_day_passes()
    decided = prune.plan(shelf.inlined.fleet, NAME)
    assert decided.remove == (first,)
    requests.pin(shelf.inlined.fleet, first, pinned=True, by=TESTER)
    with shelf.inlined.fleet.catalog.transaction() as tx:
        tx.snapshots.hide(decided.remove)
    assert shelf.states()[first] is SnapshotState.SEALED


def test_a_chunk_that_was_touched_within_a_day_stays_and_the_others_go(shelf: Shelf) -> None:
    first, _ = shelf.snapshot(), shelf.snapshot()
    chunks = sorted(shelf.objects_of(first) - {f"{NAME}/snapshots/{first}/manifest.json"})
    shelf.keep(1)
    shelf.a_day_passes()
    touched = chunks[0].rpartition("/")[2]
    with shelf.inlined.fleet.catalog.transaction() as tx:
        assert tx.chunks.touch(NAME, touched) is not None
    shelf.prune()
    assert chunks[0] in shelf.objects()
    assert not set(chunks[1:]) & shelf.objects()


def test_what_a_failed_copy_left_goes_after_a_day_and_not_before(shelf: Shelf) -> None:
    shelf.snapshot()
    before = shelf.objects()
    store = ChunkStore(shelf.inlined.fleet, database=NAME, level=1, check=lambda: None)
    store.store(bytearray(b"of a copy that never came to its seal"))
    with shelf.inlined.fleet.catalog.transaction() as tx:  # of one that died before its object was stored
        tx.chunks.intend(NAME, replace(store.store(bytearray(b"other")), sha256="0" * 64))
    shelf.prune()
    assert len(shelf.objects()) == len(before) + 2
    shelf.a_day_passes()
    shelf.prune()
    assert shelf.objects() == before
    shelf.assert_whole()


def test_a_copy_that_meets_a_chunk_marked_for_deletion_stores_it_again(shelf: Shelf) -> None:
    """The mark says that the object may be gone by now."""
    fleet, raw = shelf.inlined.fleet, b"wanted after all"
    with fleet.catalog.transaction() as tx:
        tx.schedules.know([NAME])
    store = ChunkStore(fleet, database=NAME, level=1, check=lambda: None)
    chunk = store.store(bytearray(raw))
    shelf.change("update chunk set state = 'deleting'")
    fleet.repository.delete_chunk(NAME, chunk.sha256)
    assert store.store(bytearray(raw)) == chunk
    assert fleet.repository.check_chunk(NAME, chunk) is None
    shelf.snapshot()
    shelf.prune()
    assert fleet.repository.check_chunk(NAME, chunk) is None


def test_a_copy_waits_for_a_chunk_that_is_just_being_deleted_and_then_stores_it(shelf: Shelf) -> None:
    fleet, raw = shelf.inlined.fleet, b"wanted after all"
    sha256 = hashlib.sha256(raw).hexdigest()
    store = ChunkStore(fleet, database=NAME, level=1, check=lambda: None)
    with fleet.catalog.transaction() as tx:
        tx.schedules.know([NAME])
    store.store(bytearray(raw))
    shelf.change("update chunk set state = 'deleting'")
    with ThreadPoolExecutor(1) as threads:
        with fleet.catalog.transaction() as tx:
            assert tx.chunks.lock_dead(NAME, [sha256]) == [sha256]
            storing = threads.submit(store.store, bytearray(raw))
            wait_for(lambda: waits_for_a_lock(shelf))
            fleet.repository.delete_chunk(NAME, sha256)
            tx.chunks.forget(NAME, [sha256])
        chunk = storing.result(PATIENCE_SECONDS)
    assert fleet.repository.check_chunk(NAME, chunk) is None
    with fleet.catalog.transaction() as tx:
        assert tx.chunks.touch(NAME, sha256) == chunk


@WHOLE
def test_killed_between_any_two_of_its_acts_it_leaves_each_snapshot_whole_or_gone(shelf: Shelf) -> None:
    """One snapshot goes in each round; in each round the worker is killed at another moment."""
    shelf.keep(100)
    ids = [shelf.snapshot() for _ in range(len(KILLS) + 1)]
    for number, kill in enumerate(KILLS, start=1):
        going = ids[number - 1]
        needed = shelf.objects_of(going)
        shelf.keep(len(ids) - number)
        shelf.a_day_passes()
        job = shelf.inlined.job(shelf.submit(JobKind.PRUNE, {}))
        shelf.inlined.bell.rung.clear()
        killed(shelf, job, keep=len(ids) - number, **kill)
        assert shelf.states()[going] in {SnapshotState.SEALED, SnapshotState.DELETING, SnapshotState.DELETED}
        shelf.assert_whole()

        shelf.change("update job set lease_until = now() - interval '1 s' where lease_until is not null")
        shelf.inlined.let_time_pass()
        assert shelf.inlined.to_its_end(job.id).state is JobState.SUCCEEDED
        assert shelf.states()[going] is SnapshotState.DELETED
        assert not needed & shelf.objects()
        shelf.assert_whole()
    assert shelf.objects() == shelf.objects_of(ids[-1])
    assert shelf.standings() == {ids[-1]}


def killed(shelf: Shelf, job: Job, *, keep: int, nth: int = dying.NEVER, deletes: int = dying.NEVER) -> None:
    process = dying.start(
        job,
        source_url=shelf.url,
        catalog_url=shelf.catalog_url,
        repository=shelf.folder,
        keep=keep,
        nth=nth,
        deletes=deletes,
    )
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL


def waits_for_a_lock(shelf: Shelf) -> bool:
    with psycopg.connect(shelf.catalog_url) as session:
        query = (
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        return session.execute(query).fetchone() is not None


def wait_for(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not claim():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
