"""The catalog is gone: what a new one knows when it was made from the repository alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from shared.domain.database import Database
from shared.domain.snapshot import Snapshot, SnapshotState
from shared.domain.standing import Standing
from shared.errors import NotFound, Unreachable
from shared.operations.jobs import requests
from shared.operations.trust import standing
from shared.operations.upkeep import rebuilding, schedule
from shared.operations.upkeep.rebuilding import What
from shared.storage import covers
from shared.storage.base import Storage
from shared.storage.folder import FolderStorage
from shared.storage.memory import MemoryStorage
from shared.storage.mirror import MirrorStorage
from shared.storage.repository import Repository, chunk_key, manifest_key, standing_key
from shared.storage.s3 import S3Storage
from tests.actors import TESTER
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_round_trip import fill, succeeded
from tests.waiting import until

Maker = Callable[..., str]
COUNTED = """
    create table counted as select n, repeat(md5(n::text), 8) as v from generate_series(1, 12000) n;
    alter table counted add primary key (n);
"""


@pytest.fixture
def url(database: Maker) -> str:
    made = database()
    fill(made, COUNTED)
    return made


@pytest.fixture(params=["s3", "folder+s3"])
def storage(request: pytest.FixtureRequest, folder: Path, in_s3: S3Storage) -> Storage:
    """Where the other tests have a folder alone."""
    return in_s3 if request.param == "s3" else MirrorStorage(first=FolderStorage(folder), second=in_s3)


def taken(fleet: InlineFleet, count: int) -> list[str]:
    """The ids of new snapshots, each with something that the others do not hold."""
    ids = []
    for _ in range(count):
        fill(fleet.fleet.database(NAME).url, "insert into counted select max(n) + 1, 'more' from counted")
        ids.append(str(succeeded(fleet.snapshot()).request["snapshot_id"]))
    return ids


def in_another_second(snapshot_id: str) -> None:
    """Without its standing a snapshot's place is known by the second in its id only."""
    second, _, _ = snapshot_id.partition("-")
    until(lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}" > second)


def rebuilt(fleet: InlineFleet) -> dict[str, What]:
    return {entry.snapshot_id: entry.what for entry in rebuilding.rebuild(fleet.fleet, by=TESTER)}


def listed(fleet: InlineFleet) -> list[Snapshot]:
    with fleet.fleet.catalog.transaction() as tx:
        return list(tx.snapshots.listing())


def rows(fleet: InlineFleet, query: str) -> list[Any]:
    with fleet.fleet.catalog.engine.connect() as catalog:
        return [tuple(row) for row in catalog.execute(text(query))]


def objects(storage: Storage) -> dict[str, bytes]:
    return {stat.key: storage.get(stat.key) for stat in storage.list("")}


CHUNKS = "select database, sha256, raw_bytes, stored_bytes, stored_sha256, state from chunk order by 1, 2"
USED = "select * from snapshot_chunk order by 1, 2, 3"
TABLES = "select id, table_rows from snapshot where state = 'sealed' order by 1"


def test_a_catalog_made_anew_lists_the_same_snapshots_in_the_same_states_and_restores_them(
    url: str, inline: Inline, storage: Storage
) -> None:
    before = inline(url, storage=storage)
    pinned, verified, refuted, gone, accepted, plain = taken(before, 6)
    with before.fleet.catalog.transaction() as tx:
        tx.snapshots.judge(verified, matched=True)
        tx.snapshots.judge(refuted, matched=False)
        tx.snapshots.suspect(accepted, ["half of the rows are gone"])
        tx.snapshots.suspect(plain, ["a table has vanished"])
        assert tx.snapshots.accept(accepted)
        tx.snapshots.keep(verified, window=timedelta(days=3))
        tx.snapshots.hide([gone])
    before.fleet.repository.delete_manifest(NAME, gone)  # as far as a deletion came
    requests.pin(before.fleet, pinned, pinned=True, by=TESTER)
    schedule.housekeeping(before.fleet)

    after = inline(url, storage=storage)
    assert rebuilt(after) == dict.fromkeys((pinned, verified, refuted, accepted, plain), What.ADDED)
    assert listed(after) == listed(before)
    assert [s.standing for s in listed(after)] == ["suspect", "sealed", "refuted", "verified", "sealed"]
    of_gone = f"snapshot_id <> '{gone}'"
    assert rows(after, USED) == rows(before, USED.replace("order", f"where {of_gone} order"))
    used = "where sha256 in (select sha256 from snapshot_chunk where"
    assert rows(after, CHUNKS) == rows(before, CHUNKS.replace("order", f"{used} {of_gone}) order"))
    assert rows(after, TABLES) == rows(before, TABLES)

    stored, known = objects(storage), listed(after)
    assert set(rebuilt(after).values()) == {What.KNOWN}
    assert (listed(after), objects(storage)) == (known, stored)

    fill(url, "drop table counted")
    succeeded(after.restore(snapshot_id=verified))
    fill(url, "insert into counted values (0, 'as before')")
    succeeded(after.snapshot())
    assert listed(after)[0].sequence == known[0].sequence + 1


def test_what_is_damaged_is_left_out_and_comes_to_its_old_place_once_it_is_mended(
    url: str, inline: Inline, folder: Path
) -> None:
    before = inline(url)
    ids = taken(before, 5)
    whole, cut, changed, incomplete, newest = ids
    manifest = before.fleet.repository.get_manifest(NAME, incomplete, sha256=None)
    others = [before.fleet.repository.get_manifest(NAME, id_, sha256=None) for id_ in (whole, newest)]
    own = manifest.distinct_chunks.keys() - {c for other in others for c in other.distinct_chunks}
    harmed: dict[Path, Callable[[bytes], bytes]] = {
        folder / manifest_key(NAME, cut): lambda body: body[:-9],
        folder / manifest_key(NAME, changed): lambda body: covers.packed(
            covers.unpacked(body).replace(b'"row_count": 1', b'"row_count": 2')
        ),
        folder / chunk_key(NAME, min(own)): lambda body: body[:-1],
    }
    bodies = {path: path.read_bytes() for path in harmed}
    for path, damage in harmed.items():
        path.write_bytes(damage(bodies[path]))
        assert path.read_bytes() != bodies[path]

    after = inline(url)
    assert rebuilt(after) == {
        whole: What.ADDED,
        cut: What.LEFT_OUT,
        changed: What.LEFT_OUT,
        incomplete: What.LEFT_OUT,
        newest: What.ADDED,
    }
    assert not rows(after, f"select from chunk where sha256 = '{max(own)}'")  # for no retention to find
    for path, body in bodies.items():
        path.write_bytes(body)
    assert list(rebuilt(after).values()) == [What.KNOWN, What.ADDED, What.ADDED, What.ADDED, What.KNOWN]
    assert listed(after) == listed(before)


def test_without_its_standing_a_snapshot_is_neither_verified_nor_pinned_and_keeps_its_place(
    url: str, inline: Inline, folder: Path
) -> None:
    before = inline(url)
    ids: list[str] = []
    for _ in range(3):
        ids += taken(before, 1)
        in_another_second(ids[-1])
    for id_ in ids:
        with before.fleet.catalog.transaction() as tx:
            tx.snapshots.judge(id_, matched=True)
        requests.pin(before.fleet, id_, pinned=True, by=TESTER)
    (folder / standing_key(NAME, ids[0])).write_bytes(b"{")
    (folder / standing_key(NAME, ids[1])).unlink()
    after = inline(url)
    assert set(rebuilt(after).values()) == {What.ADDED}
    assert [s.id for s in listed(after)] == ids[::-1]
    assert [(s.is_verified, s.pinned) for s in listed(after)] == [
        (True, True),
        (False, False),
        (False, False),
    ]
    for snapshot in listed(after):  # written anew by the rebuild itself
        assert after.fleet.repository.get_standing(NAME, snapshot.id) == Standing.of(snapshot)


def test_beside_a_working_catalog_it_adds_what_is_missing_and_changes_nothing_else(
    url: str, inline: Inline, folder: Path
) -> None:
    """The fleet went on with an empty catalog before anybody thought of a rebuild."""
    before = inline(url)
    old = taken(before, 3)
    after = inline(url)
    new = taken(after, 2)
    requests.pin(after.fleet, new[0], pinned=True, by=TESTER)
    (known,) = [s for s in listed(after) if s.id == new[0]]
    (folder / manifest_key(NAME, new[1])).unlink()
    found = {entry.snapshot_id: entry for entry in rebuilding.rebuild(after.fleet, by=TESTER)}
    assert {id_: entry.what for id_, entry in found.items()} == {
        **dict.fromkeys(old, What.ADDED),
        new[0]: What.KNOWN,
        new[1]: What.DIFFERS,
    }
    assert "manifest" in str(found[new[1]].why)
    assert [s.id for s in listed(after)] == [*reversed(new), *reversed(old)]
    (now,) = [s for s in listed(after) if s.id == new[0]]
    assert replace(now, sequence=known.sequence) == known


def test_a_snapshot_that_the_catalog_gave_up_does_not_come_back(url: str, inline: Inline) -> None:
    fleet = inline(url)
    first, _ = taken(fleet, 2)
    body = fleet.fleet.repository.storage.get(manifest_key(NAME, first))
    with fleet.fleet.catalog.transaction() as tx:
        tx.snapshots.hide([first])
        tx.snapshots.bury([first])
    fleet.fleet.repository.delete_manifest(NAME, first)
    assert rebuilt(fleet).get(first, What.KNOWN) is What.KNOWN
    fleet.fleet.repository.storage.put(manifest_key(NAME, first), body)
    assert rebuilt(fleet)[first] is What.DIFFERS
    with fleet.fleet.catalog.transaction() as tx:
        tombstone = tx.snapshots.get(first)
    assert tombstone is not None
    assert tombstone.state is SnapshotState.DELETED


def test_a_chunk_whose_deletion_was_begun_is_kept_if_it_is_still_there(url: str, inline: Inline) -> None:
    fleet = inline(url)
    (id_,) = taken(fleet, 1)
    for statement in (
        "delete from snapshot_chunk",
        "delete from snapshot",
        "update chunk set state = 'deleting'",
    ):
        with fleet.fleet.catalog.engine.begin() as catalog:
            catalog.execute(text(statement))
    assert rebuilt(fleet) == {id_: What.ADDED}
    assert set(rows(fleet, "select state from chunk")) == {("stored",)}


def test_a_database_that_is_not_configured_is_listed_and_usable_once_it_is(url: str, inline: Inline) -> None:
    before = inline(url)
    (id_,) = taken(before, 1)
    after = inline(url)
    configured = after.fleet.database(NAME)
    after.configure(databases={"other": replace(configured, name="other")})
    assert rebuilt(after) == {id_: What.ADDED}
    assert [(s.database, s.id) for s in listed(after)] == [(NAME, id_)]
    assert schedule.tick(after.fleet, new_job_id=str, new_snapshot_id=str) == 0
    databases: dict[str, Database] = {NAME: configured}
    after.configure(databases=databases)
    succeeded(after.restore())


def test_what_a_repository_does_not_hold_is_said(url: str, inline: Inline) -> None:
    fleet = inline(url)
    with pytest.raises(NotFound) as raised:
        rebuilt(fleet)
    assert raised.value.code == "repository_empty"
    taken(fleet, 1)
    with pytest.raises(NotFound) as raised:
        list(rebuilding.rebuild(fleet.fleet, ["nothing"], by=TESTER))
    assert (raised.value.code, raised.value.hint) == ("database_unknown", f"it holds: {NAME}")


class Failing(MemoryStorage):
    """Takes nothing, for a while."""

    takes = True

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        if not self.takes and key.endswith("standing.json"):
            raise Unreachable("no answer", code="storage_unreachable")
        super().put(key, body, create_only=create_only)


def test_a_standing_that_could_not_be_written_fails_nothing_and_is_written_by_housekeeping(
    url: str, inline: Inline
) -> None:
    storage = Failing()
    fleet = inline(url, storage=storage)
    storage.takes = False
    (id_,) = taken(fleet, 1)
    requests.pin(fleet.fleet, id_, pinned=True, by=TESTER)
    assert fleet.fleet.repository.get_standing(NAME, id_) is None
    storage.takes = True
    schedule.housekeeping(fleet.fleet)
    (snapshot,) = listed(fleet)
    assert fleet.fleet.repository.get_standing(NAME, id_) == Standing.of(snapshot)


def test_a_standing_written_beside_a_manifest_that_is_gone_is_taken_back(url: str, inline: Inline) -> None:
    """A writer that was paused between its look at the row and its put, while retention did its work."""
    fleet = inline(url)
    (id_,) = taken(fleet, 1)

    class Late(Repository):
        def put_standing(self, database: str, snapshot_id: str, known: Standing) -> None:
            with fleet.fleet.catalog.transaction() as tx:
                tx.snapshots.hide([snapshot_id])
            fleet.fleet.repository.delete_manifest(database, snapshot_id)
            super().put_standing(database, snapshot_id, known)

    with fleet.fleet.catalog.transaction() as tx:
        tx.snapshots.keep(id_, window=timedelta(hours=1))
    standing.keep(replace(fleet.fleet, repository=Late(fleet.fleet.repository.storage)), NAME)
    assert not list(fleet.fleet.repository.storage.list(f"{NAME}/snapshots/"))
