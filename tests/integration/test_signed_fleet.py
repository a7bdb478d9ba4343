"""A fleet that signs: who has gone, who was put in whose place, and who may not take or delete."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from shared.domain.job import JobKind
from shared.domain.snapshot import SnapshotState
from shared.operations.jobs import requests
from shared.operations.upkeep import deleting, schedule
from shared.operations.upkeep.rebuilding import What
from shared.storage import covers
from shared.storage.base import Storage
from shared.storage.encryption import PLAIN
from shared.storage.memory import MemoryStorage
from shared.storage.repository import manifest_key, standing_key
from shared.storage.signing import Signing
from tests.actors import TESTER
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet, refused
from tests.integration.keyed_fleet import (
    SAMPLE,
    checked,
    holding,
    rebuilt,
    snapshot,
    taken,
)
from tests.integration.test_round_trip import fill, succeeded
from tests.unit.given_keys import PUBLIC_KEY, signs

Maker = Callable[..., str]


@pytest.fixture
def url(database: Maker) -> str:
    made = database()
    fill(made, SAMPLE)
    return made


@pytest.fixture
def storage() -> Storage:
    return MemoryStorage()


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
    succeeded(fleet.run(JobKind.PRUNE, {"after": None}))


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
    changed = covers.unpacked(body).replace(b'"row_count": 6000', b'"row_count": 5999')
    storage.put(victim, covers.packed(changed))
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
    deletion = deleting.request(ids[0], plan_id=deleting.plan(fleet.fleet, ids[0]).id)
    refused(fleet.run(JobKind.PRUNE, deletion), "chain_damaged")
    assert snapshot(fleet, ids[0]).state is SnapshotState.SEALED
    with fleet.fleet.catalog.transaction() as tx:
        tx.snapshots.hide([ids[0]])
    refused(fleet.run(JobKind.PRUNE, {"after": None}), "chain_damaged")
    storage.delete(f"{NAME}/chain.json")
    schedule.housekeeping(fleet.fleet)
    assert not checked(fleet)


def test_old_unsigned_manifests_stay_readable_and_where_signatures_are_required_the_list_vouches_for_them(
    url: str, inline: Inline, storage: Storage
) -> None:
    fleet = inline(url, storage=storage)
    old = taken(fleet)
    assert covers.outline(storage.get(manifest_key(NAME, old))) is None
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
    refused(fleet.run(JobKind.PRUNE, {"after": None}), "signing_key_missing")
    requests.pin(fleet.fleet, pinned, pinned=True, by=TESTER)
    assert {stat.key: storage.get(stat.key) for stat in storage.list("")} == before
    holding(fleet, PLAIN, signs())
    schedule.housekeeping(fleet.fleet)
    standing = fleet.fleet.repository.get_standing(NAME, pinned)
    assert standing is not None
    assert standing.pinned
