"""One chunk in another frame than its manifest says: lost once, and stored again at another level."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from shared.errors import Damaged
from shared.storage.frames import frame_of, raw_of
from shared.storage.memory import MemoryStorage
from shared.storage.repository import Repository, chunk_key, compress

NAME = "orders"
RAW = b"".join(hashlib.sha256(b"%d" % number).digest()[:3] * 7 for number in range(10_000))
SHA256 = hashlib.sha256(RAW).hexdigest()
AS_RECORDED = compress(RAW, sha256=SHA256, level=1).chunk
AGAIN = compress(RAW, sha256=SHA256, level=9)


@pytest.fixture
def repository() -> Repository:
    made = Repository(MemoryStorage())
    made.put_chunk(NAME, AGAIN)
    return made


def test_it_is_read_by_the_hash_of_its_raw_bytes(repository: Repository) -> None:
    assert AGAIN.chunk.stored_sha256 != AS_RECORDED.stored_sha256
    assert b"".join(repository.read_chunk(NAME, AS_RECORDED)) == RAW
    assert repository.get_chunk(NAME, AS_RECORDED) == AGAIN


def test_it_is_found_as_it_is_stored_now(repository: Repository) -> None:
    assert repository.look_for(NAME, [AS_RECORDED]) == ([AGAIN.chunk], [])
    assert repository.check_chunk(NAME, AS_RECORDED) is None


def test_one_that_is_missing_is_lost(repository: Repository) -> None:
    absent = replace(AS_RECORDED, sha256="ab" * 32)
    assert repository.look_for(NAME, [absent, AGAIN.chunk]) == ([AGAIN.chunk], [absent])


def test_a_frame_is_opened_whole_and_never_to_more_than_is_allowed() -> None:
    frame = frame_of(RAW, level=1)
    assert raw_of(frame, at_most=len(RAW)) == RAW
    for wrong, at_most in (
        (frame, len(RAW) - 1),
        (frame[:-1], 2 * len(RAW)),
        (frame * 2, 2 * len(RAW)),
        (b"x", 9),
    ):
        with pytest.raises(ValueError, match="it is no"):
            raw_of(wrong, at_most=at_most)


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"x", lambda b: b[:99] + b"x" + b[100:]])
def test_damage_is_still_found(repository: Repository, damage: object) -> None:
    assert callable(damage)
    key = chunk_key(NAME, SHA256)
    repository.storage.put(key, damage(repository.storage.get(key)))
    with pytest.raises(Damaged):
        list(repository.read_chunk(NAME, AS_RECORDED))
    assert repository.look_for(NAME, [AS_RECORDED]) == ([], [AS_RECORDED])
    assert repository.check_chunk(NAME, AS_RECORDED) is not None
