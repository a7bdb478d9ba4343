"""A fleet that encrypts and signs: what it can do without which key, what it refuses, and what it finds out."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shared.domain import cover
from shared.domain.findings import Finding
from shared.domain.job import Job, JobKind, NewJob
from shared.domain.snapshot import Snapshot
from shared.errors import Damaged, Refused, Unreachable
from shared.operations import adopting, check, preview, rebuilding, requests, rereading, schedule
from shared.operations.preview import Intent
from shared.operations.rebuilding import Entry, What
from shared.storage.base import Storage
from shared.storage.encryption import PLAIN, Encryption
from shared.storage.folder import FolderStorage
from shared.storage.memory import MemoryStorage
from shared.storage.repository import Repository, chunk_key, manifest_key, standing_key
from shared.storage.signing import UNSIGNED, Signing
from tests.actors import TESTER
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet, refused
from tests.integration.test_round_trip import fill, succeeded
from tests.unit.given_keys import ESCROW, FLEETS, NAME_KEY, OTHER, PUBLIC_KEY, encrypting, signs

Maker = Callable[..., str]
CANARY = "correct-horse-battery-staple"
SAMPLE = f"""
    create table peculiar_name as select n, '{CANARY}' as v, repeat(md5(n::text), 8) as pad
        from generate_series(1, 6000) n;
    alter table peculiar_name add primary key (n);
"""
CONTENT = "select count(*), sum(hashtextextended(peculiar_name::text, 0)) from peculiar_name"
ON = encrypting(FLEETS, ESCROW)


@pytest.fixture
def url(database: Maker) -> str:
    made = database()
    fill(made, SAMPLE)
    return made


@pytest.fixture
def storage() -> Storage:
    return MemoryStorage()


def holding(fleet: InlineFleet, encryption: Encryption = PLAIN, signing: Signing = UNSIGNED) -> InlineFleet:
    """The same fleet, as a process with other keys sees it."""
    storage = fleet.fleet.repository.storage
    fleet.configure(repository=Repository(storage, encryption=encryption, signing=signing))
    return fleet


def taken(fleet: InlineFleet) -> str:
    """The id of a new snapshot."""
    return str(succeeded(fleet.snapshot()).request["snapshot_id"])


def content(url: str) -> object:
    with psycopg.connect(url) as session:
        return session.execute(CONTENT).fetchone()


def run(fleet: InlineFleet, kind: JobKind, request: dict[str, Any]) -> Job:
    job_id = str(uuid.uuid4())
    new = NewJob(id=job_id, kind=kind, database=NAME, request=request, idempotency_key=job_id)
    requests.submit(fleet.fleet, new, by=TESTER)
    return fleet.to_its_end(job_id)


def checked(fleet: InlineFleet) -> dict[str, Finding]:
    """What a check finds of snapshots, by its codes."""
    found = check.findings_in(succeeded(run(fleet, JobKind.CHECK, check.request())).result)
    others = {"never_proven", "indexes_not_checked"}
    return {finding.code: finding for finding in found if finding.code not in others}


def rebuilt(fleet: InlineFleet) -> dict[str, Entry]:
    return {entry.snapshot_id: entry for entry in rebuilding.rebuild(fleet.fleet, by=TESTER)}


def chunks(fleet: InlineFleet) -> set[str]:
    return {stat.key for stat in fleet.fleet.repository.storage.list(f"{NAME}/chunks/")}


def snapshot(fleet: InlineFleet, snapshot_id: str) -> Snapshot:
    with fleet.fleet.catalog.transaction() as tx:
        found = tx.snapshots.get(snapshot_id)
    assert found is not None
    return found


def test_what_is_taken_with_public_keys_alone_comes_back_with_any_one_identity(
    url: str, inline: Inline, folder: Path
) -> None:
    fleet = holding(inline(url), ON, signs())
    before = content(url)
    job = succeeded(fleet.snapshot())
    snapshot_id = str(job.request["snapshot_id"])
    for path in folder.rglob("*"):
        if path.is_file():
            stored = path.read_bytes()
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
    assert len(chunks(fleet) - before) == 1, "within a key only the archive's head is new"
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


def read_through(fleet: InlineFleet, snapshot_id: str, encryption: Encryption) -> None:
    """Every byte of a snapshot with these keys: what a restore reads."""
    reader = Repository(fleet.fleet.repository.storage, encryption=encryption)
    manifest, _ = reader.read_manifest(NAME, snapshot_id)
    for chunk in manifest.distinct_chunks.values():
        assert sum(map(len, reader.read_chunk(NAME, chunk))) == chunk.raw_bytes


def opened(fleet: InlineFleet, snapshot_id: str, pair: Any) -> list[Any]:
    reader = Repository(fleet.fleet.repository.storage, encryption=encrypting(holding=(pair,)))
    manifest, _ = reader.read_manifest(NAME, snapshot_id)
    return list(manifest.distinct_chunks.values())


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


# Who has gone, who was put in whose place.


@pytest.fixture(scope="module")
def shelf() -> dict[str, bytes]:
    """Four signed snapshots, made by the first test that asks for them."""
    return {}


@pytest.fixture
def signed(
    url: str, inline: Inline, storage: Storage, shelf: dict[str, bytes]
) -> tuple[InlineFleet, list[str]]:
    """A copy of them, and a fleet that knows them."""
    if not shelf:
        maker = holding(inline(url), PLAIN, signs())
        ids = [taken(maker) for _ in range(4)]
        places = maker.fleet.repository.storage
        shelf.update({stat.key: places.get(stat.key) for stat in places.list("")})
        assert not checked(maker)
        assert len(set(ids)) == 4
    for key, body in shelf.items():
        storage.put(key, body)
    fleet = anew(inline, url, storage)
    return fleet, list(rebuilt(fleet))


def anew(inline: Inline, url: str, storage: Storage, signing: Signing | None = None) -> InlineFleet:
    """A fleet that lost its catalog."""
    return holding(inline(url, storage=storage), PLAIN, signing or signs())


def pruned(fleet: InlineFleet, *ids: str) -> None:
    with fleet.fleet.catalog.transaction() as tx:
        tx.snapshots.hide(ids)
    succeeded(run(fleet, JobKind.PRUNE, {"after": None}))


def test_what_retention_deletes_is_not_missed_and_the_rest_stays_checkable(
    signed: tuple[InlineFleet, list[str]], url: str, inline: Inline, storage: Storage
) -> None:
    fleet, (first, second, third, fourth) = signed
    pruned(fleet, second)
    assert not checked(fleet)
    pruned(fleet, first, third)
    assert not checked(fleet)
    fifth = taken(fleet)
    chain = fleet.fleet.repository.get_chain(NAME)
    assert chain is not None
    assert list(chain.hashes) == [fourth, fifth]
    assert set(rebuilt(anew(inline, url, storage))) == {fourth, fifth}


def test_a_missing_manifest_is_found_by_a_check_and_by_a_rebuild(
    signed: tuple[InlineFleet, list[str]], url: str, inline: Inline, storage: Storage
) -> None:
    fleet, ids = signed
    for victim in (ids[1], ids[3]):
        storage.delete(manifest_key(NAME, victim))
        storage.delete(standing_key(NAME, victim))
    assert checked(fleet).keys() == {"manifest_missing"}
    later = anew(inline, url, storage)
    found = rebuilt(later)
    assert {id_: entry.what for id_, entry in found.items()} == {
        ids[0]: What.ADDED,
        ids[1]: What.LEFT_OUT,
        ids[2]: What.ADDED,
        ids[3]: What.LEFT_OUT,
    }
    # Nor is it forgotten by what comes after.
    taken(later)
    assert checked(later)["manifest_missing"].subject in ids


def test_a_replaced_manifest_is_found_and_refused(
    signed: tuple[InlineFleet, list[str]], url: str, inline: Inline, storage: Storage
) -> None:
    fleet, ids = signed
    victim = manifest_key(NAME, ids[2])
    body = storage.get(victim)
    storage.put(victim, body.replace(b'"row_count": 6000', b'"row_count": 5999'))
    assert checked(fleet).keys() == {"signature_wrong", "manifest_replaced"}
    refused(fleet.restore(snapshot_id=ids[2]), "manifest_damaged")
    storage.put(victim, storage.get(manifest_key(NAME, ids[0])))
    # One that was signed rightly, of the same snapshot, and is not the one that was sealed.
    manifest, _ = fleet.fleet.repository.read_manifest(NAME, ids[1])
    storage.put(manifest_key(NAME, ids[1]), fleet.fleet.repository.encoded(manifest, previous=None))
    found = checked(fleet)
    assert found.keys() == {"manifest_replaced"}
    later = rebuilt(anew(inline, url, storage))
    assert [later[id_].what for id_ in ids] == [What.ADDED, What.LEFT_OUT, What.LEFT_OUT, What.ADDED]
    assert all("signed list" in str(later[id_].why) for id_ in ids[1:3])


def test_reordered_snapshots_are_found_and_a_rebuild_orders_them_as_signed(
    signed: tuple[InlineFleet, list[str]], url: str, inline: Inline, storage: Storage
) -> None:
    """What is the newest decides what `restore` and `bootstrap` bring back."""
    fleet, ids = signed
    with fleet.fleet.catalog.engine.begin() as catalog:
        catalog.exec_driver_sql(f"update snapshot set sequence = 100 where id = '{ids[0]}'")
    found = checked(fleet)
    assert found.keys() == {"manifest_reordered"}

    standings = {id_: standing_key(NAME, id_) for id_ in ids}
    for id_, sequence in zip(ids, (9, 8, 7, 6), strict=True):
        body = json.loads(storage.get(standings[id_])) | {"sequence": sequence}
        del body["signature"]
        storage.put(standings[id_], json.dumps(body, indent=1).encode() + b"\n")
    later = anew(inline, url, storage, signs(key=None, knows=(PUBLIC_KEY,)))
    rebuilt(later)
    with later.fleet.catalog.transaction() as tx:
        listed = [s.id for s in tx.snapshots.listing(database=NAME)]
    assert listed == ids[::-1]
    assert not checked(later)


def test_an_altered_list_is_found_covered_up_by_nobody_and_stops_retention(
    signed: tuple[InlineFleet, list[str]], storage: Storage
) -> None:
    fleet, ids = signed
    body = json.loads(storage.get(f"{NAME}/chain.json"))
    del body["snapshots"][1], body["signature"]
    altered = json.dumps(body, indent=1).encode() + b"\n"
    storage.put(f"{NAME}/chain.json", altered)
    taken(fleet)
    schedule.housekeeping(fleet.fleet)
    assert storage.get(f"{NAME}/chain.json") == altered
    assert checked(fleet).keys() == {"chain_damaged"}
    with fleet.fleet.catalog.transaction() as tx:
        tx.snapshots.hide([ids[0]])
    refused(run(fleet, JobKind.PRUNE, {"after": None}), "chain_damaged")
    storage.delete(f"{NAME}/chain.json")
    schedule.housekeeping(fleet.fleet)
    assert not checked(fleet)


def test_old_unsigned_manifests_stay_readable_and_where_signatures_are_required_the_list_vouches_for_them(
    url: str, inline: Inline, storage: Storage
) -> None:
    fleet = inline(url, storage=storage)
    old = taken(fleet)
    assert cover.outline(storage.get(manifest_key(NAME, old))) is None
    strict = signs(required=True)
    holding(fleet, PLAIN, strict)
    refused(fleet.verify(old), "signature_missing", old)
    assert checked(fleet).keys() == {"signature_missing"}
    schedule.housekeeping(fleet.fleet)
    succeeded(fleet.verify(old))
    new = taken(fleet)
    assert not checked(fleet)
    reader = anew(inline, url, storage, signs(key=None, knows=(PUBLIC_KEY,), required=True))
    assert set(rebuilt(reader)) == {old, new}


def test_who_cannot_sign_takes_and_deletes_nothing_where_others_do(
    url: str, inline: Inline, storage: Storage
) -> None:
    fleet = holding(inline(url, storage=storage), PLAIN, signs())
    pinned = taken(fleet)
    before = {stat.key: storage.get(stat.key) for stat in storage.list("")}
    holding(fleet, PLAIN, signs(key=None, knows=(PUBLIC_KEY,)))
    refused(fleet.snapshot(), "signing_key_missing")
    refused(run(fleet, JobKind.PRUNE, {"after": None}), "signing_key_missing")
    requests.pin(fleet.fleet, pinned, pinned=True, by=TESTER)
    assert {stat.key: storage.get(stat.key) for stat in storage.list("")} == before
    holding(fleet, PLAIN, signs())
    schedule.housekeeping(fleet.fleet)
    standing = fleet.fleet.repository.get_standing(NAME, pinned)
    assert standing is not None
    assert standing.pinned


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
    assert (manifest.database, b"row_count" in body) == ("renamed", False)
