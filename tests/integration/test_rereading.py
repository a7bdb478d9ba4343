"""Reading again what is stored of a snapshot: what it shows is kept, and retention waits for it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from shared.domain.job import JobKind
from shared.domain.retention import Policy
from shared.domain.snapshot import Snapshot, SnapshotState
from shared.errors import Damaged, NotFound
from shared.operations.health import reports
from shared.operations.proofs import rereading
from shared.storage.repository import manifest_key
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet

Maker = Callable[..., str]


def taken(inline: Inline, database: Maker, *, snapshots: int = 1) -> InlineFleet:
    """A fleet with so many snapshots, each of other rows, all of them older than a day."""
    url = database()
    fleet = inline(url)
    for number in range(snapshots):
        with psycopg.connect(url) as session:
            session.execute("create table if not exists t (n int)")
            session.execute("insert into t select i from generate_series(1, %s) i", [number + 1])
        assert fleet.snapshot().error is None
    change(fleet, "update snapshot set sealed_at = sealed_at - interval '25 h'")
    change(fleet, "update chunk set touched_at = touched_at - interval '25 h'")
    return fleet


def change(fleet: InlineFleet, statement: str) -> None:
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.execute(text(statement))


def keep_one(fleet: InlineFleet) -> None:
    """Retention as the configuration has it now."""
    database = replace(fleet.fleet.database(NAME), policy=Policy(last=1))
    fleet.configure(databases={NAME: database})
    assert fleet.run(JobKind.PRUNE, {}).error is None


def state(fleet: InlineFleet, snapshot: Snapshot) -> Snapshot:
    return next(each for each in fleet.snapshots() if each.id == snapshot.id)


def read_again(fleet: InlineFleet, snapshot: Snapshot, meanwhile: Callable[[], None] = lambda: None) -> int:
    def each(number: int) -> None:
        if number == 1:
            meanwhile()

    return len(rereading.read_again(fleet.fleet, snapshot, reading_id=str(uuid.uuid4()), each=each)[1])


def refuted_events(fleet: InlineFleet) -> int:
    with fleet.fleet.catalog.engine.begin() as connection:
        query = text("select count(*) from outbox where type = 'verify.refuted'")
        return int(connection.execute(query).scalar_one())


def test_retention_leaves_a_snapshot_alone_while_it_is_read(inline: Inline, database: Maker) -> None:
    fleet = taken(inline, database, snapshots=2)
    oldest = fleet.snapshots()[-1]
    assert read_again(fleet, oldest, meanwhile=lambda: keep_one(fleet)) == 0
    assert state(fleet, oldest).state is SnapshotState.SEALED
    keep_one(fleet)
    assert state(fleet, oldest).state is SnapshotState.DELETED
    assert refuted_events(fleet) == 0


def test_a_reader_that_slept_too_long_refutes_nothing(inline: Inline, database: Maker) -> None:
    fleet = taken(inline, database, snapshots=2)
    oldest = fleet.snapshots()[-1]

    def sleep() -> None:
        change(fleet, "update reading set held_until = now() - interval '1 s'")
        keep_one(fleet)

    with pytest.raises(NotFound, match="was deleted before all of it was read"):
        read_again(fleet, oldest, meanwhile=sleep)
    found = state(fleet, oldest)
    assert (found.state, found.refuted_at) == (SnapshotState.DELETED, None)
    assert refuted_events(fleet) == 0


def test_a_reading_that_was_cut_off_holds_nothing(inline: Inline, database: Maker) -> None:
    fleet = taken(inline, database, snapshots=2)
    oldest = fleet.snapshots()[-1]

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_again(fleet, oldest, meanwhile=interrupted)
    keep_one(fleet)
    assert state(fleet, oldest).state is SnapshotState.DELETED


def test_what_was_found_damaged_is_kept_and_told(inline: Inline, database: Maker, folder: Path) -> None:
    fleet = taken(inline, database)
    [snapshot] = fleet.snapshots()
    assert reports.snapshot(fleet.fleet, snapshot.id).reading is None
    assert read_again(fleet, snapshot) == 0
    clean = reports.snapshot(fleet.fleet, snapshot.id).reading
    assert clean is not None
    assert clean.differences == ()
    manifest = fleet.fleet.repository.get_manifest(NAME, snapshot.id, sha256=None)
    sha256 = next(iter(manifest.distinct_chunks))
    (folder / NAME / "chunks" / sha256[:2] / sha256).write_bytes(b"rot")
    assert read_again(fleet, snapshot) == 1
    report = reports.snapshot(fleet.fleet, snapshot.id)
    assert report.reading is not None
    assert report.reading.objects == clean.objects == len(manifest.distinct_chunks) + 1
    [said] = report.reading.differences
    assert said.startswith(f"{sha256}: ")
    assert report.snapshot.standing == "refuted"


def test_a_damaged_manifest_is_kept_as_the_reason(inline: Inline, database: Maker, folder: Path) -> None:
    fleet = taken(inline, database)
    [snapshot] = fleet.snapshots()
    (folder / manifest_key(NAME, snapshot.id)).write_bytes(b"{}")
    with pytest.raises(Damaged):
        read_again(fleet, snapshot)
    report = reports.snapshot(fleet.fleet, snapshot.id)
    assert report.reading is not None
    [said] = report.reading.differences
    assert said.startswith("manifest: ")
    assert report.snapshot.standing == "refuted"
