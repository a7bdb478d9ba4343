"""A fleet that encrypts and signs: what it can do without which key, what it refuses, and what it finds out."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shared.domain.job import Job
from shared.errors import Damaged, Refused, Unreachable
from shared.operations.databases import preview
from shared.operations.databases.preview import Intent
from shared.operations.jobs import requests
from shared.operations.proofs import rereading
from shared.operations.upkeep import adopting
from shared.operations.upkeep.rebuilding import Entry, What
from shared.storage import covers
from shared.storage.base import Storage
from shared.storage.encryption import PLAIN
from shared.storage.folder import FolderStorage
from shared.storage.memory import MemoryStorage
from shared.storage.repository import Repository, chunk_key, manifest_key
from tests.actors import TESTER
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet, refused
from tests.integration.keyed_fleet import (
    CANARY,
    ON,
    SAMPLE,
    checked,
    chunks,
    content,
    holding,
    opened,
    read_through,
    rebuilt,
    snapshot,
    taken,
)
from tests.integration.test_round_trip import fill, succeeded
from tests.unit.given_keys import ESCROW, FLEETS, NAME_KEY, OTHER, PUBLIC_KEY, encrypting, signs

Maker = Callable[..., str]


@pytest.fixture
def url(database: Maker) -> str:
    made = database()
    fill(made, SAMPLE)
    return made


@pytest.fixture
def storage() -> Storage:
    return MemoryStorage()


def test_what_is_taken_with_public_keys_alone_comes_back_with_any_one_identity(
    url: str, inline: Inline, folder: Path
) -> None:
    fleet = holding(inline(url), ON, signs())
    before = content(url)
    job = succeeded(fleet.snapshot())
    snapshot_id = str(job.request["snapshot_id"])
    for path in folder.rglob("*"):
        if path.is_file():
            stored = covers.unpacked(path.read_bytes())
            assert not any(word in stored for word in (CANARY.encode(), b"peculiar_name", b"row_count"))
            assert stored.startswith((b"age-encryption.org/v1\n", b'{\n "kind": "snapfleet ')), path

    holding(fleet, encrypting(FLEETS, ESCROW, holding=(ESCROW,)), signs())
    succeeded(fleet.verify(snapshot_id))
    fill(url, "delete from peculiar_name")
    succeeded(fleet.restore(snapshot_id=snapshot_id, safeguard=True))
    assert content(url) == before
    assert fleet.fleet.repository.keys_of(NAME, snapshot_id) == tuple(sorted((FLEETS.id, ESCROW.id)))
    assert checked(fleet).keys() == {"keys_needed"}


@pytest.mark.parametrize("held", [(), (OTHER,)])
def test_without_its_identity_a_snapshot_is_refused_at_once_and_nothing_is_touched(
    held: tuple[Any, ...], url: str, inline: Inline, storage: Storage
) -> None:
    fleet = holding(inline(url, storage=storage), ON)
    snapshot_id = taken(fleet)
    holding(fleet, encrypting(FLEETS, ESCROW, holding=held))
    with psycopg.connect(url) as session:
        databases = session.execute("select count(*) from pg_database").fetchone()
    steps: list[str] = []
    fleet.before = lambda _job, step: steps.append(step)
    for job in (fleet.verify(snapshot_id), fleet.restore(snapshot_id=snapshot_id)):
        refused(job, "identity_missing", FLEETS.id, ESCROW.id)
    assert steps == ["plan", "plan"]
    with pytest.raises(Refused) as planned:
        preview.restore_of(fleet.fleet, Intent(database=NAME, snapshot=snapshot(fleet, snapshot_id)))
    assert planned.value.code == "identity_missing"
    with psycopg.connect(url) as session:
        assert session.execute("select count(*) from pg_database").fetchone() == databases
    assert snapshot(fleet, snapshot_id).refuted_at is None, "nothing is wrong with it"
    told = repr(fleet.snapshots()) + repr(fleet.fleet) + repr(planned.value)
    assert not any(secret in told for secret in (FLEETS.identity, OTHER.identity, NAME_KEY))
    taken(fleet)


def test_what_is_stored_is_read_again_without_any_secret(url: str, inline: Inline, storage: Storage) -> None:
    fleet = holding(inline(url, storage=storage), ON)
    snapshot_id = taken(fleet)
    known = snapshot(fleet, snapshot_id)

    def read_again() -> tuple[int, Any]:
        return rereading.read_again(fleet.fleet, known, reading_id=str(uuid.uuid4()), each=lambda _: None)

    objects, troubles = read_again()
    assert (objects, dict(troubles)) == (len(chunks(fleet)) + 1, {})
    victim = max(chunks(fleet), key=lambda key: len(storage.get(key)))  # no head of an archive
    storage.put(victim, storage.get(victim)[:-1] + b"x")
    _, troubles = read_again()
    assert list(troubles) == [victim.rpartition("/")[2]]
    # The next snapshot stores it again, encrypted anew; the older one is right again, by what it holds.
    again = taken(fleet)
    for id_ in (snapshot_id, again):
        read_through(fleet, id_, encrypting(holding=(FLEETS,)))


def test_after_a_rotation_each_snapshot_needs_its_own_key(url: str, inline: Inline, storage: Storage) -> None:
    fleet = holding(inline(url, storage=storage), encrypting(FLEETS))
    old, before = taken(fleet), chunks(fleet)
    again = succeeded(fleet.snapshot())
    assert len(chunks(fleet) - before) <= 1, (
        "within a key at most the archive's head, which has the time, is new"
    )
    before = chunks(fleet)
    holding(fleet, encrypting(OTHER))
    new = taken(fleet)
    assert not {c.sha256 for c in opened(fleet, new, OTHER)} & {c.sha256 for c in opened(fleet, old, FLEETS)}
    assert len(chunks(fleet) - before) == len(opened(fleet, new, OTHER))

    holding(fleet, encrypting(OTHER, holding=(OTHER,)))
    succeeded(fleet.verify(new))
    refused(fleet.verify(old), "identity_missing", FLEETS.id)
    found = checked(fleet)
    assert found.keys() == {"keys_needed", "keys_retired", "identity_missing"}
    assert (found["keys_retired"].subject, found["keys_retired"].amount) == (FLEETS.id, 2)
    assert old in found["keys_retired"].what
    holding(fleet, encrypting(OTHER, holding=(OTHER, FLEETS)))
    assert checked(fleet).keys() == {"keys_needed", "keys_retired"}
    for id_ in (old, str(again.request["snapshot_id"]), new):
        read_through(fleet, id_, encrypting(holding=(OTHER, FLEETS)))


def test_plain_and_encrypted_snapshots_stand_side_by_side(url: str, inline: Inline, storage: Storage) -> None:
    fleet = inline(url, storage=storage)
    plain = taken(fleet)
    holding(fleet, encrypting(FLEETS, holding=(FLEETS,)), signs())
    encrypted = taken(fleet)
    holding(fleet, encrypting(holding=(FLEETS,)), signs())
    plain_again = taken(fleet)
    for id_ in (plain, plain_again):
        read_through(fleet, id_, PLAIN)
    succeeded(fleet.verify(encrypted))
    assert checked(fleet).keys() == {"keys_needed"}
    names = {c.sha256 for c in opened(fleet, encrypted, FLEETS)}
    assert not names & {c.sha256 for c in opened(fleet, plain, FLEETS)}
    assert len(names & {c.sha256 for c in opened(fleet, plain_again, FLEETS)}) == 0


def test_with_nothing_left_but_the_bucket_and_an_identity_all_comes_back(
    url: str, inline: Inline, storage: Storage
) -> None:
    before = holding(inline(url, storage=storage), ON, signs())
    ids = [taken(before) for _ in range(3)]
    requests.pin(before.fleet, ids[0], pinned=True, by=TESTER)
    expected = content(url)
    fill(url, "drop table peculiar_name")

    blind = holding(inline(url, storage=storage), PLAIN, signs(key=None, knows=(PUBLIC_KEY,), required=True))
    assert {entry.why is not None and entry.what for entry in rebuilt(blind).values()} == {What.LEFT_OUT}

    after = holding(
        inline(url, storage=storage),
        encrypting(holding=(ESCROW,)),
        signs(key=None, knows=(PUBLIC_KEY,), required=True),
    )
    assert {id_: entry.what for id_, entry in rebuilt(after).items()} == dict.fromkeys(ids, What.ADDED)
    assert snapshot(after, ids[0]).pinned
    succeeded(after.restore(snapshot_id=ids[1]))
    assert content(url) == expected
    assert checked(after).keys() == {"keys_needed"}


def test_a_worker_with_other_keys_seals_nothing_and_helps_with_nothing(
    url: str, inline: Inline, storage: Storage
) -> None:
    fleet = holding(inline(url, storage=storage), encrypting(FLEETS))

    def restarted(_job: Job, step: str) -> None:
        if step == "seal":
            holding(fleet, encrypting(OTHER))

    fleet.before = restarted
    job = fleet.snapshot()
    refused(job, "keys_changed", FLEETS.id, OTHER.id)
    assert not list(storage.list(f"{NAME}/snapshots/"))


class Forgetful(MemoryStorage):
    """Loses its answer once, right after the manifest was put."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 1

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        super().put(key, body, create_only=create_only)
        if key.endswith("manifest.json") and self.left:
            self.left -= 1
            raise Unreachable("no answer", code="storage_unreachable")


def test_a_seal_that_died_after_its_manifest_takes_it_for_its_own(url: str, inline: Inline) -> None:
    storage = Forgetful()
    fleet = holding(inline(url, storage=storage), encrypting(FLEETS, holding=(FLEETS,)), signs())
    snapshot_id = taken(fleet)
    assert storage.left == 0
    succeeded(fleet.verify(snapshot_id))


def test_a_damaged_chunk_is_told_in_a_sentence_before_anything_is_touched(
    url: str, inline: Inline, storage: Storage
) -> None:
    fleet = holding(inline(url, storage=storage), encrypting(FLEETS, holding=(FLEETS,)))
    snapshot_id = taken(fleet)
    one, other = sorted(opened(fleet, snapshot_id, FLEETS), key=lambda c: c.stored_bytes)[-2:]
    bodies = {c: storage.get(chunk_key(NAME, c.sha256)) for c in (one, other)}
    damages: tuple[tuple[bytes, str], ...] = (
        (bodies[one][:-1], "its end is missing"),
        (bodies[one][:80], "within its header"),
        (bodies[other], "is not what was stored"),
        (b"plain", "does not begin as an age file"),
    )
    for body, said in damages:
        storage.put(chunk_key(NAME, one.sha256), body)
        with pytest.raises(Damaged, match=said):
            list(fleet.fleet.repository.read_chunk(NAME, one))
        refused(fleet.restore(snapshot_id=snapshot_id), "chunk_damaged", one.sha256)


def test_an_encrypted_snapshot_is_adopted_as_it_is_and_renamed_only_for_the_same_keys(
    url: str, inline: Inline, storage: Storage, folder: Path
) -> None:
    snapshot_id = taken(holding(inline(url, storage=storage), encrypting(FLEETS), signs()))
    theirs = Repository(storage)

    def adopted(fleet: InlineFleet, name: str | None) -> Entry:
        source = fleet.fleet.repository.elsewhere(theirs.storage)
        [entry] = adopting.adopt(fleet.fleet, source, databases=(), name=name, by=TESTER)
        return entry

    reader = encrypting(OTHER, holding=(FLEETS,))
    ours = holding(inline(url, storage=FolderStorage(folder)), reader, signs())
    left_out = adopted(ours, "renamed")
    assert (left_out.what, FLEETS.id in str(left_out.why)) == (What.LEFT_OUT, True)
    assert adopted(ours, None).what is What.ADDED
    assert ours.fleet.repository.storage.get(manifest_key(NAME, snapshot_id)) == storage.get(
        manifest_key(NAME, snapshot_id)
    )
    read_through(ours, snapshot_id, reader)
    same = holding(inline(url, storage=MemoryStorage()), encrypting(FLEETS, holding=(FLEETS,)), signs())
    assert adopted(same, "renamed").what is What.ADDED
    manifest, body = same.fleet.repository.read_manifest("renamed", snapshot_id)
    assert (manifest.database, b"row_count" in covers.unpacked(body)) == ("renamed", False)
