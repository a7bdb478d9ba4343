"""Manifests with what stands around them: read back, refused, and told apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.domain import manifest
from shared.domain.cover import Link
from shared.domain.manifest import Manifest
from shared.errors import Damaged, Refused
from shared.storage import covers
from shared.storage.encryption import PLAIN, Encryption
from shared.storage.frames import frame_of
from shared.storage.memory import MemoryStorage
from shared.storage.repository import Repository, manifest_key
from shared.storage.signing import UNSIGNED, Signing
from tests.unit.given_keys import (
    ESCROW,
    FLEETS,
    OTHER,
    OTHER_SIGNING_KEY,
    PUBLIC_KEY,
    encrypting,
    signs,
)
from tests.unit.test_manifest import EXAMPLE, ODD

PREVIOUS = Link(id="20261121T195500Z-aaaaaa", sha256="ab" * 32)
FOR_BOTH = encrypting(FLEETS, ESCROW, holding=(FLEETS,))


def repository(
    storage: MemoryStorage | None = None, *, encryption: Encryption = PLAIN, signing: Signing = UNSIGNED
) -> Repository:
    return Repository(storage or MemoryStorage(), encryption=encryption, signing=signing)


def shown(by: Repository, sealed: Manifest) -> dict[str, Any]:
    """What anybody can read of it."""
    found: dict[str, Any] = json.loads(covers.unpacked(by.encoded(sealed, previous=None)))
    return found


def test_without_keys_a_manifest_is_its_json_and_takes_a_fraction_of_it() -> None:
    body = covers.encode(EXAMPLE, previous=PREVIOUS, encryption=PLAIN, signing=UNSIGNED)
    assert covers.unpacked(body) == manifest.encode(EXAMPLE)
    assert len(body) < len(manifest.encode(EXAMPLE)) / 2
    assert covers.outline(body) is None


@pytest.mark.parametrize(
    ("encryption", "signing"), [(PLAIN, signs()), (FOR_BOTH, UNSIGNED), (FOR_BOTH, signs())]
)
def test_it_is_read_back_as_it_was(encryption: Encryption, signing: Signing) -> None:
    ours = repository(encryption=encryption, signing=signing)
    sha256 = ours.put_manifest(EXAMPLE, previous=PREVIOUS)
    assert ours.get_manifest(EXAMPLE.database, EXAMPLE.id, sha256=sha256) == EXAMPLE
    found, body = ours.read_manifest(EXAMPLE.database, EXAMPLE.id)
    outline = covers.outline(body)
    assert outline is not None
    assert (found, outline.previous) == (EXAMPLE, PREVIOUS)


def test_who_knows_no_covers_tells_one_from_damage() -> None:
    body = covers.encode(EXAMPLE, previous=None, encryption=FOR_BOTH, signing=signs())
    with pytest.raises(Damaged) as refused:
        manifest.decode(covers.unpacked(body))
    assert refused.value.code == "manifest_too_new"


def test_nothing_of_an_encrypted_one_shows_but_whose_it_is() -> None:
    stored = covers.encode(EXAMPLE, previous=PREVIOUS, encryption=FOR_BOTH, signing=signs())
    body = covers.unpacked(stored)
    fields = json.loads(body)
    assert fields.keys() == {
        "kind",
        "format",
        "id",
        "database",
        "previous",
        "keys",
        "contents_id",
        "contents",
        "signature",
    }
    assert fields["keys"] == sorted([FLEETS.id, ESCROW.id])
    assert not any(word in body.decode() for word in (ODD[-4:], "row_count", EXAMPLE.archive[0].sha256))


def test_writing_the_same_again_is_fine_though_it_is_never_encrypted_alike() -> None:
    ours = repository(encryption=encrypting(FLEETS), signing=signs())
    once = ours.put_manifest(EXAMPLE, previous=PREVIOUS)
    assert ours.put_manifest(EXAMPLE, previous=PREVIOUS) == once
    with pytest.raises(Refused, match="manifest") as refused:
        ours.put_manifest(replace(EXAMPLE, roles=()), previous=PREVIOUS)
    assert refused.value.code == "object_exists"
    with pytest.raises(Refused):
        ours.put_manifest(EXAMPLE, previous=None)


def test_what_was_adopted_from_who_does_not_sign_may_be_written_again() -> None:
    ours = repository(signing=signs())
    body = manifest.encode(EXAMPLE)
    for _ in range(2):
        assert ours.put_manifest_body(EXAMPLE.database, EXAMPLE.id, body) == body


def test_what_looks_like_ours_and_is_not_signed_by_us_is_not_taken_for_ours() -> None:
    """Whoever writes to the bucket could put our cover around other contents before we write."""
    storage = MemoryStorage()
    ours = repository(storage, encryption=encrypting(FLEETS), signing=signs())
    body = shown(ours, EXAMPLE)
    del body["signature"]
    body["contents"] = "AAAA"
    storage.put(manifest_key(EXAMPLE.database, EXAMPLE.id), json.dumps(body, indent=1).encode() + b"\n")
    with pytest.raises(Refused) as refused:
        ours.put_manifest(EXAMPLE, previous=None)
    assert refused.value.code == "object_exists"


def test_who_has_no_identity_for_it_is_told_so_and_not_that_it_is_damaged() -> None:
    storage = MemoryStorage()
    sha256 = repository(storage, encryption=encrypting(FLEETS)).put_manifest(EXAMPLE)
    for holding in ((), (OTHER,)):
        other = repository(storage, encryption=encrypting(holding=holding))
        with pytest.raises(Refused) as refused:
            other.get_manifest(EXAMPLE.database, EXAMPLE.id, sha256=sha256)
        assert refused.value.code == "identity_missing"
        assert other.get_closed_manifest(EXAMPLE.database, EXAMPLE.id, sha256=sha256)
        assert other.keys_of(EXAMPLE.database, EXAMPLE.id) == (FLEETS.id,)


ALTERED: dict[str, Callable[[bytes], bytes]] = {
    "another name": lambda body: body.replace(b'"database": "orders"', b'"database": "others"'),
    "another link": lambda body: body.replace(b"abababab", b"cdcdcdcd"),
    "other keys": lambda body: body.replace(FLEETS.id.encode(), b"0123456789abcdef"),
    "other contents": lambda body: body.replace(b'"contents": "YWdl', b'"contents": "YWdk'),
}


@pytest.mark.parametrize("how", ALTERED)
def test_whatever_is_altered_of_a_signed_one_is_refused_though_nobody_requires_signatures(how: str) -> None:
    storage = MemoryStorage()
    writer = repository(storage, encryption=encrypting(FLEETS), signing=signs())
    text = covers.unpacked(writer.encoded(EXAMPLE, previous=PREVIOUS))
    changed = ALTERED[how](text)
    assert changed != text
    storage.put(manifest_key(EXAMPLE.database, EXAMPLE.id), covers.packed(changed))
    reader = repository(
        storage, encryption=encrypting(holding=(FLEETS,)), signing=signs(key=None, knows=(PUBLIC_KEY,))
    )
    with pytest.raises(Damaged) as damaged:
        reader.read_manifest(EXAMPLE.database, EXAMPLE.id)
    assert (damaged.value.code, bool(damaged.value.hint)) == ("signature_wrong", True)


@pytest.mark.parametrize("signer", [UNSIGNED, signs(key=OTHER_SIGNING_KEY)])
def test_where_a_signature_is_required_nobody_elses_counts(signer: Signing) -> None:
    storage = MemoryStorage()
    repository(storage, signing=signer).put_manifest(EXAMPLE)
    strict = repository(storage, signing=signs(key=None, knows=(PUBLIC_KEY,), required=True))
    with pytest.raises(Refused) as refused:
        strict.read_manifest(EXAMPLE.database, EXAMPLE.id)
    assert (refused.value.code, bool(refused.value.hint)) == ("signature_missing", True)
    lenient = repository(storage, signing=signs(key=None, knows=(PUBLIC_KEY,)))
    assert lenient.read_manifest(EXAMPLE.database, EXAMPLE.id)[0] == EXAMPLE


def test_the_manifest_of_another_snapshot_in_its_place_is_refused() -> None:
    storage = MemoryStorage()
    ours = repository(storage, encryption=encrypting(FLEETS, holding=(FLEETS,)), signing=signs())
    storage.put(manifest_key(EXAMPLE.database, "another"), ours.encoded(EXAMPLE, previous=None))
    with pytest.raises(Damaged, match="holds the manifest of"):
        ours.read_manifest(EXAMPLE.database, "another")


def test_contents_of_another_snapshot_under_a_cover_are_refused() -> None:
    storage = MemoryStorage()
    ours = repository(storage, encryption=encrypting(FLEETS, holding=(FLEETS,)))
    body = shown(ours, EXAMPLE)
    body["contents"] = shown(ours, replace(EXAMPLE, id="another"))["contents"]
    storage.put(manifest_key(EXAMPLE.database, EXAMPLE.id), json.dumps(body, indent=1).encode())
    with pytest.raises(Damaged, match="its contents are of another"):
        ours.read_manifest(EXAMPLE.database, EXAMPLE.id)


@pytest.mark.parametrize(("encryption", "signing"), [(PLAIN, UNSIGNED), (FOR_BOTH, signs())])
def test_one_that_another_release_has_packed_otherwise_is_the_same(
    encryption: Encryption, signing: Signing
) -> None:
    for otherwise in (bytes, lambda text: frame_of(text, level=19)):
        ours = repository(encryption=encryption, signing=signing)
        text = covers.unpacked(ours.encoded(EXAMPLE, previous=PREVIOUS))
        there = otherwise(text)
        ours.storage.put(manifest_key(EXAMPLE.database, EXAMPLE.id), there)
        sha256 = ours.put_manifest(EXAMPLE, previous=PREVIOUS)
        assert sha256 == hashlib.sha256(there).hexdigest()
        assert ours.storage.get(manifest_key(EXAMPLE.database, EXAMPLE.id)) == there
        assert ours.get_manifest(EXAMPLE.database, EXAMPLE.id, sha256=sha256) == EXAMPLE
        with pytest.raises(Refused) as refused:
            ours.put_manifest(replace(EXAMPLE, roles=()), previous=PREVIOUS)
        assert refused.value.code == "object_exists"


def test_no_more_is_unpacked_than_a_manifest_may_have_and_no_more_is_packed() -> None:
    bomb = covers.packed(bytes(1_000_000))
    assert len(bomb) < 1000
    assert covers.unpacked(bomb, at_most=1_000_000) == bytes(1_000_000)
    with pytest.raises(Damaged) as damaged:
        covers.unpacked(bomb, at_most=999_999)
    assert (damaged.value.code, bool(damaged.value.hint)) == ("manifest_damaged", True)
    with pytest.raises(Refused) as refused:
        covers.packed(bytes(1_000_001), at_most=1_000_000)
    assert (refused.value.code, bool(refused.value.hint)) == ("manifest_too_large", True)


def test_a_frame_that_is_not_whole_is_damage_and_never_a_shorter_manifest() -> None:
    body = covers.encode(EXAMPLE, previous=None, encryption=PLAIN, signing=UNSIGNED)
    for wrong in (body[:-1], body[:4], body + b"x", body * 2, body[:40] + b"x" + body[41:]):
        with pytest.raises(Damaged) as damaged:
            covers.unpacked(wrong)
        assert damaged.value.code == "manifest_damaged"
