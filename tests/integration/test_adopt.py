"""Snapshots of another installation, brought into our own repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from shared.domain.snapshot import SnapshotState
from shared.errors import Refused, Unreachable
from shared.operations.composition import open_repository
from shared.operations.jobs import requests
from shared.operations.upkeep import adopting
from shared.operations.upkeep.adopting import Copying
from shared.operations.upkeep.rebuilding import Entry, What
from shared.storage import covers
from shared.storage.folder import FolderStorage
from shared.storage.memory import MemoryStorage
from shared.storage.repository import chunk_key, manifest_key
from tests.actors import TESTER
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet, files
from tests.integration.test_rebuild import COUNTED, listed, taken
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]
THEIRS = "theirs"


@pytest.fixture
def theirs(database: Maker, inline: Inline, tmp_path: Path) -> tuple[InlineFleet, Path]:
    """Another installation with three snapshots, one of them pinned, and its folder."""
    url, folder = database(), tmp_path / THEIRS
    fill(url, COUNTED)
    fleet = inline(url, storage=FolderStorage(folder))
    first, *_ = taken(fleet, 3)
    requests.pin(fleet.fleet, first, pinned=True, by=TESTER)
    return fleet, folder


def adopted(
    ours: InlineFleet, folder: Path, *, name: str | None = None, report: adopting.Report = lambda _: None
) -> list[Entry]:
    source = open_repository(f"file://{folder}", like=ours.fleet.repository)
    return list(adopting.adopt(ours.fleet, source, databases=(), name=name, report=report, by=TESTER))


def content(url: str) -> object:
    with psycopg.connect(url) as session:
        return session.execute(
            "select count(*), sum(hashtextextended(counted::text, 0)) from counted"
        ).fetchone()


def foreign(folder: Path) -> None:
    """As if the snapshots in this folder had been taken on another server."""
    for path in folder.glob("*/snapshots/*/manifest.json"):
        manifest = json.loads(covers.unpacked(path.read_bytes()))
        manifest["source"]["system_identifier"] = "1234567890"
        path.write_text(json.dumps(manifest))
        path.with_name("standing.json").unlink()


def test_what_is_adopted_is_restored_from_our_own_repository_with_its_history(
    theirs: tuple[InlineFleet, Path], inline: Inline, folder: Path
) -> None:
    other, their_folder = theirs
    source_url = other.fleet.database(NAME).url
    expected = content(source_url)
    ours = inline(source_url)
    told: list[Copying] = []
    entries = adopted(ours, their_folder, report=told.append)
    assert [entry.what for entry in entries] == [What.ADDED] * 3
    assert listed(ours) == listed(other)
    assert files(folder) == files(their_folder)
    assert [t.done_chunks for t in told if t.snapshot_id == entries[0].snapshot_id] == list(
        range(1, told[0].chunks + 1)
    )
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert {entry.what for entry in adopted(ours, their_folder)} == {What.KNOWN}
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before

    their_folder.rename(their_folder.with_name("gone"))
    fill(source_url, "drop table counted")
    succeeded(ours.restore())
    assert content(source_url) == expected


class Breaking(MemoryStorage):
    """Takes so many objects, and then no more."""

    left = 0

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        if self.left == 0:
            raise Unreachable("no answer", code="storage_unreachable")
        self.left -= 1
        super().put(key, body, create_only=create_only)


def test_cut_off_at_any_object_no_snapshot_is_visible_without_all_its_chunks_and_the_next_run_goes_on(
    theirs: tuple[InlineFleet, Path], inline: Inline
) -> None:
    other, their_folder = theirs
    storage = Breaking()
    ours = inline(other.fleet.database(NAME).url, storage=storage)
    for _ in range(100):
        storage.left = 1
        try:
            adopted(ours, their_folder)
        except Unreachable:
            pass
        else:
            break
        stored = {stat.key for stat in storage.list("")}
        for id_ in ours.fleet.repository.snapshots(NAME):
            manifest = ours.fleet.repository.get_manifest(NAME, id_, sha256=None)
            assert {chunk_key(NAME, sha256) for sha256 in manifest.distinct_chunks} <= stored
        for snapshot in listed(ours):
            assert manifest_key(NAME, snapshot.id) in stored
    assert listed(ours) == listed(other)


def test_what_is_damaged_there_is_left_out_and_the_others_come(
    theirs: tuple[InlineFleet, Path], inline: Inline
) -> None:
    other, their_folder = theirs
    oldest, middle, newest = (s.id for s in reversed(listed(other)))
    manifests = {
        id_: other.fleet.repository.get_manifest(NAME, id_, sha256=None) for id_ in (oldest, middle, newest)
    }
    own = manifests[middle].distinct_chunks.keys() - manifests[oldest].distinct_chunks.keys()
    own -= manifests[newest].distinct_chunks.keys()
    harmed = their_folder / chunk_key(NAME, min(own))
    body = bytearray(harmed.read_bytes())
    body[len(body) // 2] ^= 1
    harmed.write_bytes(body)
    ours = inline(other.fleet.database(NAME).url)
    found = {entry.snapshot_id: entry.what for entry in adopted(ours, their_folder)}
    assert found == {oldest: What.ADDED, middle: What.LEFT_OUT, newest: What.ADDED}
    assert middle not in list(ours.fleet.repository.snapshots(NAME))


def test_a_chunk_that_we_had_and_lost_is_copied_again(
    theirs: tuple[InlineFleet, Path], inline: Inline, folder: Path
) -> None:
    other, their_folder = theirs
    ours = inline(other.fleet.database(NAME).url)
    succeeded(ours.snapshot())
    shared = max((folder / NAME / "chunks").rglob("*/*"), key=lambda path: path.stat().st_size)
    shared.unlink()
    assert [e.what for e in adopted(ours, their_folder) if e.what is not What.KNOWN] == [What.ADDED] * 3
    assert shared.read_bytes() == (their_folder / shared.relative_to(folder)).read_bytes()


def test_a_name_that_means_another_database_here_is_refused_and_another_name_taken(
    theirs: tuple[InlineFleet, Path], inline: Inline, folder: Path
) -> None:
    other, their_folder = theirs
    foreign(their_folder)
    url = other.fleet.database(NAME).url
    ours = inline(url)
    (own,) = taken(ours, 1)
    before = files(folder)
    with pytest.raises(Refused) as raised:
        adopted(ours, their_folder)
    assert (raised.value.code, files(folder)) == ("another_database", before)
    assert "--as NAME" in str(raised.value.hint)

    assert [entry.what for entry in adopted(ours, their_folder, name="old")] == [What.ADDED] * 3
    assert {entry.what for entry in adopted(ours, their_folder, name="old")} == {What.KNOWN}
    by_database = {s.id: s.database for s in listed(ours)}
    assert by_database.pop(own) == NAME
    assert set(by_database.values()) == {"old"}
    newest = max(by_database)
    ours.configure(databases={"old": ours.fleet.database(NAME)})
    manifest = ours.fleet.repository.get_manifest("old", newest, sha256=None)
    assert all(ours.fleet.repository.check_chunk("old", c) is None for c in manifest.distinct_chunks.values())
    # Ids are unique here, whatever the database: a second name for the same snapshots is none.
    assert {e.what for e in adopted(ours, their_folder, name="older")} == {What.LEFT_OUT}
    assert not (folder / "older" / "snapshots").exists()


def test_histories_of_the_same_server_become_one(theirs: tuple[InlineFleet, Path], inline: Inline) -> None:
    other, their_folder = theirs
    ours = inline(other.fleet.database(NAME).url)
    own = taken(ours, 2)
    assert [e.what for e in adopted(ours, their_folder)] == [What.ADDED] * 3
    together = listed(ours)
    assert [s.id for s in together] == [*reversed(own), *(s.id for s in listed(other))]
    assert [s.pinned for s in together] == [False] * 4 + [True]
    assert {s.state for s in together} == {SnapshotState.SEALED}


def test_our_own_repository_is_rebuilt(theirs: tuple[InlineFleet, Path], inline: Inline) -> None:
    other, their_folder = theirs
    anew = inline(other.fleet.database(NAME).url, storage=FolderStorage(their_folder))
    before = files(their_folder)
    assert [entry.what for entry in adopted(anew, their_folder)] == [What.ADDED] * 3
    assert listed(anew) == listed(other)
    assert files(their_folder) == before


def test_under_an_address_of_its_own_our_repository_is_adopted_into_itself(
    theirs: tuple[InlineFleet, Path], inline: Inline, tmp_path: Path
) -> None:
    other, their_folder = theirs
    alias = tmp_path / "alias"
    alias.symlink_to(their_folder)
    anew = inline(other.fleet.database(NAME).url, storage=FolderStorage(their_folder))
    before = files(their_folder)
    assert [entry.what for entry in adopted(anew, alias)] == [What.ADDED] * 3
    assert files(their_folder) == before
    assert listed(anew) == listed(other)
