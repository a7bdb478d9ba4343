"""Signatures within the JSON that they sign."""

from __future__ import annotations

import itertools
import json
import subprocess
from base64 import b64decode
from pathlib import Path

import pytest

from shared.domain import signature
from shared.domain.keys import Keys
from shared.errors import Misconfigured, Refused
from shared.storage.ed25519 import PublicKey
from shared.storage.signing import UNSIGNED, Signing, Verdict
from tests.unit.given_keys import OTHER_PUBLIC_KEY, OTHER_SIGNING_KEY, PUBLIC_KEY, SIGNING_KEY, signs

DOCUMENT = b'{\n "kind": "a test",\n "list": [\n  {\n   "signature": {"key": "deep"}\n  }\n ]\n}\n'
OURS = signs()
SIGNED = OURS.sign(DOCUMENT)
READER = signs(key=None, knows=(PUBLIC_KEY,))


def test_it_is_still_json_with_one_field_more() -> None:
    found = json.loads(SIGNED)
    assert found.pop("signature").keys() == {"key", "ed25519"}
    assert found == json.loads(DOCUMENT)


def test_whoever_knows_the_public_key_finds_it_right() -> None:
    assert READER.verdict(SIGNED) is Verdict.RIGHT
    assert OURS.verdict(SIGNED) is Verdict.RIGHT
    assert OURS.sign(DOCUMENT) == SIGNED, "the same again"


def test_a_key_that_is_not_known_is_told_from_a_wrong_signature() -> None:
    assert READER.verdict(signs(key=OTHER_SIGNING_KEY).sign(DOCUMENT)) is Verdict.UNKNOWN
    assert signs(key=None, knows=(PUBLIC_KEY, OTHER_PUBLIC_KEY)).verdict(SIGNED) is Verdict.RIGHT
    assert READER.verdict(DOCUMENT) is Verdict.ABSENT
    assert UNSIGNED.verdict(SIGNED) is Verdict.UNKNOWN


def test_no_flipped_bit_leaves_it_right() -> None:
    for position, bit in itertools.product(range(len(SIGNED)), range(8)):
        changed = bytearray(SIGNED)
        changed[position] ^= 1 << bit
        assert READER.verdict(bytes(changed)) is not Verdict.RIGHT, (position, bit)


@pytest.mark.parametrize(
    "changed",
    [
        SIGNED.replace(b"a test", b"b test"),
        SIGNED.removesuffix(b"}\n") + b',\n "more": 1\n}\n',
        SIGNED + b" ",
        SIGNED.replace(b'{\n "kind"', b'{\n "first": 1,\n "kind"'),
        signature.join(signature.Signed(signed=SIGNED[:-3], key=str(OURS.key), value="A" * 86 + "==")),
    ],
)
def test_nothing_can_be_added_or_changed(changed: bytes) -> None:
    assert READER.verdict(changed) in (Verdict.WRONG, Verdict.ABSENT)


@pytest.mark.usefixtures("age")
def test_openssl_finds_it_right_too(tmp_path: Path) -> None:
    """As the page says: what stands before the signature is signed, and a public key is the line of its PEM."""
    found = signature.split(SIGNED)
    assert found is not None
    names = {"signed": found.signed, "value": b64decode(found.value)}
    for name, content in names.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "public.pem").write_text(
        f"-----BEGIN PUBLIC KEY-----\n{PUBLIC_KEY}\n-----END PUBLIC KEY-----\n"
    )
    argv = "openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in signed -sigfile value".split()
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_key_nothing_is_signed_and_nobody_is_held_up() -> None:
    assert UNSIGNED.sign(DOCUMENT) == DOCUMENT
    UNSIGNED.refuse_unable("a snapshot")
    assert not UNSIGNED.leaves_writing


def test_who_knows_only_public_keys_leaves_writing_to_others() -> None:
    with pytest.raises(Refused) as refused:
        READER.refuse_unable("a snapshot")
    assert (refused.value.code, bool(refused.value.hint)) == ("signing_key_missing", True)
    OURS.refuse_unable("a snapshot")


@pytest.mark.parametrize(
    "keys",
    [
        Keys(signing_key=SIGNING_KEY.replace("M", "N", 1)),
        Keys(signing_key="-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        Keys(public_keys=("MCowBQYDK2VwAyEA",)),
        Keys(public_keys=("not base64!",)),
    ],
)
def test_what_is_no_key_is_refused_and_a_secret_one_is_not_told(keys: Keys) -> None:
    with pytest.raises(Misconfigured) as refused:
        Signing.of(keys)
    assert refused.value.hint
    assert "AAAA" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_key_is_called_by_the_hash_of_its_public_half() -> None:
    assert PublicKey.parse(PUBLIC_KEY).id == OURS.key
    assert OURS.known == (OURS.key,)
