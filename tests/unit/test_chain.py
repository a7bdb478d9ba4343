"""The signed list of snapshots: what it forgets, what it does not, and how order is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.domain import chain
from shared.domain.chain import Chain
from shared.domain.cover import Link
from shared.domain.snapshot import Reason, Snapshot, SnapshotState
from shared.errors import Damaged
from shared.storage import vouching
from shared.storage.memory import MemoryStorage
from tests.unit.given_keys import OTHER_PUBLIC_KEY, OTHER_SIGNING_KEY, PUBLIC_KEY, signs

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SEALED, DELETING, DELETED, COPYING = (
    SnapshotState.SEALED,
    SnapshotState.DELETING,
    SnapshotState.DELETED,
    SnapshotState.COPYING,
)


def snapshot(id_: str, sequence: int, state: SnapshotState = SEALED) -> Snapshot:
    return Snapshot(
        id=id_,
        database="orders",
        sequence=sequence,
        state=state,
        reason=Reason.MANUAL,
        labels={},
        pinned=False,
        created_at=NOW,
        manifest_sha256=None if state is COPYING else f"of {id_}",
    )


def made_of(*ids: str) -> Chain:
    return Chain(database="orders", snapshots=tuple(Link(id=id_, sha256=f"of {id_}") for id_ in ids))


def ids(found: Chain) -> list[str]:
    return [link.id for link in found.snapshots]


def test_it_lists_what_is_sealed_in_the_order_of_the_catalog() -> None:
    found = chain.renewed(None, "orders", [snapshot("b", 2), snapshot("c", 3, COPYING), snapshot("a", 1)])
    assert found == made_of("a", "b")


def test_what_is_being_deleted_goes_first_of_all() -> None:
    snapshots = [snapshot("a", 1, DELETED), snapshot("b", 2, DELETING), snapshot("c", 3)]
    assert ids(chain.renewed(made_of("a", "b", "c"), "orders", snapshots)) == ["c"]


def test_what_an_empty_catalog_does_not_know_stays_where_it_was() -> None:
    assert chain.renewed(made_of("a", "b"), "orders", []) == made_of("a", "b")
    found = chain.renewed(
        made_of("x", "a", "y", "b", "z"), "orders", [snapshot("a", 1), snapshot("b", 2), snapshot("c", 3)]
    )
    assert ids(found) == ["x", "a", "y", "b", "z", "c"]


def test_what_came_after_one_that_was_deleted_stays_too() -> None:
    found = chain.renewed(made_of("a", "x", "b"), "orders", [snapshot("a", 1, DELETED), snapshot("b", 2)])
    assert ids(found) == ["x", "b"]


def test_nothing_that_it_has_said_changes_though_the_catalog_says_otherwise() -> None:
    meddled = [replace(snapshot("a", 9), manifest_sha256="another"), snapshot("b", 2), snapshot("c", 3)]
    assert chain.renewed(made_of("a", "b"), "orders", meddled) == made_of("c", "a", "b")


def test_one_that_was_adopted_comes_where_the_catalog_has_it() -> None:
    snapshots = [snapshot("a", 1), snapshot("adopted", 2), snapshot("b", 3)]
    assert ids(chain.renewed(made_of("a", "b"), "orders", snapshots)) == ["a", "adopted", "b"]


def test_it_is_read_back_as_it_was() -> None:
    assert chain.decode(chain.encode(made_of("a", "b")), "orders") == made_of("a", "b")


def test_a_list_that_another_key_of_ours_has_signed_is_signed_anew_and_else_left_alone() -> None:
    storage = Counting()
    both = (PUBLIC_KEY, OTHER_PUBLIC_KEY)
    old, new = signs(knows=both), signs(key=OTHER_SIGNING_KEY, knows=both)
    for signing, puts in ((old, 1), (old, 1), (new, 2), (new, 2)):
        vouching.put_chain(storage, signing, made_of("a"))
        assert storage.puts == puts
    assert vouching.get_chain(storage, signs(key=OTHER_SIGNING_KEY), "orders") == made_of("a")


class Counting(MemoryStorage):
    def __init__(self) -> None:
        super().__init__()
        self.puts = 0

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        self.puts += 1
        super().put(key, body, create_only=create_only)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        chain.encode(made_of("a"))[:-3],
        chain.encode(made_of("a")).replace(b"orders", b"others"),
        chain.encode(made_of("a")).replace(b'"format": 1', b'"format": 2'),
        chain.encode(made_of("a")).replace(b"snapfleet chain", b"snapfleet manifest"),
    ],
)
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(Damaged) as damaged:
        chain.decode(body, "orders")
    assert (damaged.value.code, bool(damaged.value.hint)) == ("chain_damaged", True)


def test_order_is_told_as_far_as_it_is_known() -> None:
    listed = made_of("a", "b", "c")
    assert chain.is_in_order(["a", "new", "c"], listed)
    assert not chain.is_in_order(["c", "new", "a"], listed)
    assert chain.in_its_order(["c", "new", "a"], listed) == ["a", "new", "c"]
    assert chain.in_its_order(["new", "b"], made_of()) == ["new", "b"]
