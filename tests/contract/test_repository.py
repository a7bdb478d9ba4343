"""The repository over every place that objects can be in, plain and encrypted: the same promises."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace

import pytest

from shared.domain.chain import Chain
from shared.domain.cover import Link
from shared.errors import Damaged, Refused
from shared.storage import covers
from shared.storage.base import Storage
from shared.storage.encryption import PLAIN, Encryption
from shared.storage.repository import Repository, Sealed, chunk_key, manifest_key
from shared.storage.signing import UNSIGNED, Signing
from tests.unit.given_keys import ESCROW, FLEETS, PUBLIC_KEY, encrypting, signs
from tests.unit.test_manifest import EXAMPLE

NAME = EXAMPLE.database
RAW = os.urandom(50_000) + bytes(200_000)
SHA256 = hashlib.sha256(RAW).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """Who takes snapshots, who brings them back, and who holds no secret at all, over one storage."""

    writer: Repository
    reader: Repository
    watcher: Repository
    encrypted: bool


KINDS: dict[str, tuple[Encryption, Encryption, Signing, Signing]] = {
    "plain": (PLAIN, PLAIN, UNSIGNED, UNSIGNED),
    "encrypted": (
        encrypting(FLEETS, ESCROW),
        encrypting(holding=(ESCROW,)),
        signs(),
        signs(key=None, knows=(PUBLIC_KEY,), required=True),
    ),
}


@pytest.fixture(params=KINDS)
def hands(request: pytest.FixtureRequest, storage: Storage) -> Hands:
    writing, reading, signing, judging = KINDS[request.param]
    return Hands(
        writer=Repository(storage, encryption=writing, signing=signing),
        reader=Repository(storage, encryption=reading, signing=judging),
        watcher=Repository(storage, signing=judging),
        encrypted=writing.is_on,
    )


def stored(hands: Hands) -> Sealed:
    sealed = hands.writer.seal(RAW, sha256=SHA256, level=1)
    hands.writer.put_chunk(NAME, sealed)
    return sealed


def test_a_chunk_comes_back_and_its_name_tells_what_it_may(hands: Hands) -> None:
    chunk = stored(hands).chunk
    assert b"".join(hands.reader.read_chunk(NAME, chunk)) == RAW
    assert (chunk.sha256 == SHA256) is not hands.encrypted
    assert chunk.contents_sha256 == SHA256
    assert hands.writer.encryption.name_of(SHA256) == chunk.sha256, (
        "so it is found again, and not stored twice"
    )
    assert RAW[:50_000] not in hands.writer.storage.get(chunk_key(NAME, chunk.sha256)) or not hands.encrypted


def test_what_is_stored_is_judged_without_any_secret(hands: Hands) -> None:
    chunk = replace(stored(hands).chunk, raw_sha256=None)  # as the catalog knows it
    assert hands.watcher.check_chunk(NAME, chunk) is None
    assert hands.watcher.look_for(NAME, [chunk]) == ([chunk], [])
    assert hands.watcher.get_chunk(NAME, chunk).chunk == chunk
    key = chunk_key(NAME, chunk.sha256)
    body = hands.writer.storage.get(key)
    hands.writer.storage.put(key, body[:-1] + bytes([body[-1] ^ 1]))
    assert hands.watcher.check_chunk(NAME, chunk) == "has another hash"
    with pytest.raises(Damaged):
        hands.watcher.get_chunk(NAME, chunk)
    hands.writer.storage.put(key, body[:-1])
    assert hands.watcher.look_for(NAME, [chunk]) == ([], [chunk])


@pytest.mark.parametrize("cut_to", [None, 100])
def test_what_one_side_has_lost_is_told_and_mended_by_another_put(hands: Hands, cut_to: int | None) -> None:
    sealed = stored(hands)
    chunk, key = replace(sealed.chunk, raw_sha256=None), chunk_key(NAME, sealed.chunk.sha256)
    assert hands.watcher.lost_on_any_side(NAME, [chunk]) == []
    for side in hands.writer.storage.sides():
        if cut_to is None:
            side.delete(key)
        else:
            side.put(key, sealed.frame[:cut_to])
        assert hands.watcher.lost_on_any_side(NAME, [chunk]) == [chunk]
        hands.writer.put_chunk(NAME, sealed)
        assert hands.watcher.lost_on_any_side(NAME, [chunk]) == []


def test_lost_and_stored_again_it_is_read_by_what_it_holds(hands: Hands) -> None:
    """The same bytes are never encrypted alike, and older manifests tell of how they were stored then."""
    before = stored(hands).chunk
    again = hands.writer.seal(RAW, sha256=SHA256, level=9)
    hands.writer.put_chunk(NAME, again)
    assert (again.chunk.sha256, again.chunk.stored_sha256 == before.stored_sha256) == (before.sha256, False)
    assert b"".join(hands.reader.read_chunk(NAME, before)) == RAW
    assert hands.reader.check_chunk(NAME, before) is None
    assert hands.reader.lost_on_any_side(NAME, [before]) == []
    assert hands.reader.get_chunk(NAME, before).chunk == again.chunk


def test_another_chunk_in_its_place_is_damage(hands: Hands) -> None:
    chunk = stored(hands).chunk
    other = RAW[:-1] + b"x"
    swapped = hands.writer.seal(other, sha256=hashlib.sha256(other).hexdigest(), level=1)
    hands.writer.storage.put(chunk_key(NAME, chunk.sha256), swapped.frame)
    with pytest.raises(Damaged) as damaged:
        list(hands.reader.read_chunk(NAME, chunk))
    assert damaged.value.code == "chunk_damaged"


def test_a_manifest_comes_back_and_is_written_once(hands: Hands) -> None:
    sha256 = hands.writer.put_manifest(EXAMPLE, previous=Link(id="before", sha256="ab" * 32))
    assert hands.writer.put_manifest(EXAMPLE, previous=Link(id="before", sha256="ab" * 32)) == sha256
    assert hands.reader.get_manifest(NAME, EXAMPLE.id, sha256=sha256) == EXAMPLE
    assert hands.watcher.get_closed_manifest(NAME, EXAMPLE.id, sha256=sha256)
    assert hands.watcher.has_manifest(NAME, EXAMPLE.id)
    assert not hands.watcher.has_manifest(NAME, "another")
    with pytest.raises(Refused) as refused:
        hands.writer.put_manifest(replace(EXAMPLE, roles=("other",)))
    assert refused.value.code == "object_exists"
    if hands.encrypted:
        with pytest.raises(Refused) as refused:
            hands.watcher.get_manifest(NAME, EXAMPLE.id, sha256=sha256)
        assert refused.value.code == "identity_missing"


def test_a_manifest_cut_short_is_damaged_to_everybody(hands: Hands) -> None:
    hands.writer.put_manifest(EXAMPLE)
    key = manifest_key(NAME, EXAMPLE.id)
    body = hands.writer.storage.get(key)
    hands.writer.storage.put(key, body[: len(body) // 2])
    for repository in (hands.reader, hands.watcher):
        with pytest.raises(Damaged) as damaged:
            repository.read_manifest(NAME, EXAMPLE.id)
        assert damaged.value.code == "manifest_damaged"


def test_one_of_a_release_that_did_not_compress_is_as_good_as_a_new_one(hands: Hands) -> None:
    new = hands.writer.encoded(EXAMPLE, previous=None)
    old = covers.unpacked(new)
    assert (old[:2], len(new) < len(old)) == (b"{\n", True)
    hands.writer.storage.put(manifest_key(NAME, EXAMPLE.id), old)
    sha256 = hashlib.sha256(old).hexdigest()
    assert hands.watcher.manifests(NAME) == [EXAMPLE.id]
    assert hands.reader.get_manifest(NAME, EXAMPLE.id, sha256=sha256) == EXAMPLE
    assert hands.reader.read_manifest(NAME, EXAMPLE.id) == (EXAMPLE, old)
    assert hands.watcher.get_closed_manifest(NAME, EXAMPLE.id, sha256=sha256) == old
    assert hands.watcher.keys_of(NAME, EXAMPLE.id) == hands.writer.encryption.keys
    if not hands.encrypted:  # one sealed again by a release that compresses stays as it is
        assert hands.writer.put_manifest(EXAMPLE) == sha256
    with pytest.raises(Damaged) as damaged:
        hands.reader.get_manifest(NAME, EXAMPLE.id, sha256=hashlib.sha256(new).hexdigest())
    assert damaged.value.code == "manifest_damaged"
    hands.writer.delete_manifest(NAME, EXAMPLE.id)
    assert hands.watcher.manifests(NAME) == []


def test_the_list_of_snapshots_is_believed_only_from_who_may_sign_it(hands: Hands) -> None:
    listed = Chain(database=NAME, snapshots=(Link(id=EXAMPLE.id, sha256="ab" * 32),))
    assert hands.reader.get_chain(NAME) is None
    hands.writer.put_chain(listed)
    if not hands.encrypted:
        return
    assert hands.reader.get_chain(NAME) == hands.watcher.get_chain(NAME) == listed
    with pytest.raises(Refused):
        hands.watcher.put_chain(listed)
    body = hands.writer.storage.get(f"{NAME}/chain.json")
    hands.writer.storage.put(f"{NAME}/chain.json", body.replace(b"abab", b"cdcd", 1))
    with pytest.raises(Damaged) as damaged:
        hands.reader.get_chain(NAME)
    assert damaged.value.code == "chain_damaged"
