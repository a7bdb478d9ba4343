"""A chunk is put while the next one is read, and nothing is said to be stored before it is."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from shared.domain.manifest import Chunk
from shared.errors import SnapfleetError, Unreachable
from shared.operations.snapshots.chunking import ChunkStore
from shared.storage.memory import MemoryStorage
from shared.storage.repository import chunk_key
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.waiting import until

PATIENCE_SECONDS = 90.0
ONE, TWO, THREE = (bytearray(text) for text in (b"one", b"two", b"three"))


class Gated(MemoryStorage):
    """Puts no chunk before it is let through, or fails to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.trouble: SnapfleetError | None = None

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        if "/chunks/" in key:
            assert self.gate.wait(PATIENCE_SECONDS)
            if self.trouble is not None:
                raise self.trouble
        super().put(key, body, create_only=create_only)

    def holds(self, chunk: Chunk) -> bool:
        return any(stat.key == chunk_key(NAME, chunk.sha256) for stat in self.list(f"{NAME}/"))


@pytest.fixture
def storage() -> Gated:
    return Gated()


@pytest.fixture
def fleet(inline: Inline, database: Callable[..., str], storage: Gated) -> InlineFleet:
    made = inline(database(), storage=storage)
    with made.fleet.catalog.transaction() as tx:
        tx.schedules.know([NAME])
    return made


@pytest.fixture
def store(fleet: InlineFleet) -> ChunkStore:
    return ChunkStore(fleet.fleet, database=NAME, level=1, check=lambda: None)


def is_known(fleet: InlineFleet, chunk: Chunk) -> bool:
    with fleet.fleet.catalog.transaction() as tx:
        return chunk.sha256 in tx.chunks.known(NAME, [chunk.sha256])


def test_the_next_chunk_is_read_while_one_is_put(
    fleet: InlineFleet, storage: Gated, store: ChunkStore
) -> None:
    with store.ahead() as put_ahead:
        first = put_ahead(ONE)
        assert not storage.holds(first)
        assert not is_known(fleet, first)
        storage.gate.set()
        second, again = put_ahead(TWO), put_ahead(ONE)
    assert again == first
    for chunk in (first, second):
        assert storage.holds(chunk)
        assert is_known(fleet, chunk)
    assert store.new_bytes == first.stored_bytes + second.stored_bytes


def test_what_is_the_same_as_the_chunk_in_hand_is_not_put_again(storage: Gated, store: ChunkStore) -> None:
    with store.ahead() as put_ahead:
        first, again = put_ahead(ONE), put_ahead(ONE)
        storage.gate.set()
    assert again == first
    assert store.new_bytes == first.stored_bytes


@pytest.mark.parametrize("more", [(), (ONE,), (TWO,), (TWO, THREE)])
def test_what_putting_a_chunk_raised_is_raised_at_the_latest_in_the_end(
    fleet: InlineFleet, storage: Gated, store: ChunkStore, more: tuple[bytearray, ...]
) -> None:
    storage.trouble = Unreachable("it is gone", code="storage_unreachable")
    storage.gate.set()
    found: list[Chunk] = []
    with pytest.raises(Unreachable, match="it is gone"), store.ahead() as put_ahead:
        found += map(put_ahead, (ONE, *more))
    assert not any(is_known(fleet, chunk) for chunk in found)
    assert store.new_bytes == 0


def test_whoever_has_to_leave_waits_for_no_storage_and_what_it_takes_later_is_known(
    fleet: InlineFleet, storage: Gated, store: ChunkStore
) -> None:
    stored: list[Chunk] = []

    def read() -> None:
        with store.ahead() as put_ahead:
            stored.append(put_ahead(ONE))
            raise SystemExit

    with pytest.raises(SystemExit):
        read()
    assert not storage.holds(*stored)
    storage.gate.set()
    until(lambda: is_known(fleet, *stored))
    assert storage.holds(*stored)
