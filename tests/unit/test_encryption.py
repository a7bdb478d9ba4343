"""Age files as we write and read them, and the names that tell nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.domain.keys import Keys
from shared.errors import Damaged, Misconfigured, Refused
from shared.storage.encryption import PLAIN, Encryption
from tests.unit.given_keys import ESCROW, FLEETS, NAME_KEY, OTHER, Pair, encrypting

BODY = os.urandom(200_000)
RAW_SHA256 = hashlib.sha256(b"raw").hexdigest()
BOTH = encrypting(FLEETS, ESCROW)


@pytest.mark.parametrize("holder", [FLEETS, ESCROW])
def test_each_recipient_alone_opens_what_was_encrypted_for_several(holder: Pair) -> None:
    ours = encrypting(holding=(holder,))
    assert ours.decrypt(BOTH.encrypt(BODY), what="it", code="damaged") == BODY
    assert ours.opens(BOTH.keys)


@pytest.mark.usefixtures("age")
def test_the_age_tool_opens_what_we_encrypt_and_we_what_it_encrypts(tmp_path: Path) -> None:
    identity, stored = tmp_path / "identity.txt", tmp_path / "stored"
    identity.write_text(f"# a comment\n{ESCROW.identity}\n")
    stored.write_bytes(BOTH.encrypt(BODY))
    opened = subprocess.run(["age", "-d", "-i", identity, stored], capture_output=True, check=True)
    assert opened.stdout == BODY
    theirs = subprocess.run(["age", "-r", FLEETS.recipient], input=BODY, capture_output=True, check=True)
    assert encrypting(holding=(FLEETS,)).decrypt(theirs.stdout, what="it", code="damaged") == BODY


def test_the_same_is_never_encrypted_to_the_same() -> None:
    assert len({BOTH.encrypt(b"same") for _ in range(1000)}) == 1000


def test_what_no_identity_here_opens_is_refused_with_the_keys_that_would() -> None:
    for ours, held in ((encrypting(holding=(OTHER,)), f"only {OTHER.id}"), (PLAIN, "no identity at all")):
        assert not ours.opens(BOTH.keys)
        with pytest.raises(Refused, match=held) as refused:
            ours.refuse_unopened(BOTH.keys, "snapshot s1")
        assert refused.value.code == "identity_missing"
        assert FLEETS.id in refused.value.message
        assert ESCROW.id in refused.value.message
        assert refused.value.hint


def test_what_is_not_encrypted_anybody_opens() -> None:
    assert PLAIN.opens(())
    PLAIN.refuse_unopened((), "snapshot s1")


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut at the end": (lambda b: b[:-1], "its end is missing"),
    "the last 64 KiB dropped": (lambda b: b[: -(len(b) % 65536) or -65536], "its end is missing"),
    "cut in the header": (lambda b: b[:60], "within its header"),
    "something behind it": (lambda b: b + b"x", "it was altered"),
    "nothing at all": (lambda b: b[:0], "does not begin as an age file"),
    "another file": (lambda b: b"\x28\xb5\x2f\xfd" + b, "does not begin as an age file"),
    "one bit in the middle": (lambda b: flipped(b, len(b) // 2), "it was altered"),
    "one bit in the last chunk": (lambda b: flipped(b, len(b) - 9), "it was altered"),
    "one bit in the header's own hash": (lambda b: flipped(b, b.index(b"\n---") + 9), "cannot be decrypted"),
    "one bit of a key in the header": (lambda b: flipped(b, b.index(b"X25519") + 12), "cannot be decrypted"),
}


def flipped(body: bytes, position: int) -> bytes:
    return body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_in_a_sentence(damage: str) -> None:
    change, said = DAMAGES[damage]
    ours = encrypting(holding=(FLEETS,))
    with pytest.raises(Damaged, match=said) as damaged:
        ours.decrypt(change(encrypting(FLEETS).encrypt(BODY)), what="chunk ab", code="chunk_damaged")
    assert damaged.value.code == "chunk_damaged"
    assert damaged.value.message.startswith("chunk ab cannot be decrypted: ")
    assert damaged.value.hint


def test_a_name_depends_on_the_bytes_the_key_and_for_whom_they_are() -> None:
    ours = encrypting(FLEETS, ESCROW)
    name = ours.name_of(RAW_SHA256)
    assert encrypting(ESCROW, FLEETS).name_of(RAW_SHA256) == name, "in whatever order they are named"
    others = [
        ours.name_of(hashlib.sha256(b"other").hexdigest()),
        encrypting(FLEETS).name_of(RAW_SHA256),
        encrypting(FLEETS, ESCROW, name_key="00" * 32).name_of(RAW_SHA256),
        ours.contents_id(bytes.fromhex(RAW_SHA256)),
        RAW_SHA256,
    ]
    assert len({name, *others}) == 6
    assert len(name) == 64


def test_without_recipients_names_are_the_hashes() -> None:
    assert PLAIN.name_of(RAW_SHA256) == RAW_SHA256
    assert not PLAIN.is_on


@pytest.mark.parametrize(
    "keys",
    [
        Keys(
            recipients=(FLEETS.recipient[:-1] + ("q" if FLEETS.recipient[-1] != "q" else "p"),),
            name_key=NAME_KEY,
        ),
        Keys(identities=(FLEETS.identity[:-1] + ("Q" if FLEETS.identity[-1] != "Q" else "P"),)),
    ],
)
def test_a_mistyped_key_is_refused_and_a_secret_one_is_not_told(keys: Keys) -> None:
    with pytest.raises(Misconfigured) as refused:
        Encryption.of(keys)
    assert refused.value.hint
    told = repr(refused.value.__cause__) + str(refused.value) + str(refused.value.hint)
    assert not any(identity[16:30] in told for identity in keys.identities)


def test_no_secret_shows_in_a_repr() -> None:
    keys = Keys(
        recipients=(FLEETS.recipient,), name_key=NAME_KEY, identities=(FLEETS.identity,), signing_key="PEM"
    )
    assert not any(secret in repr(keys) for secret in (NAME_KEY, FLEETS.identity, "PEM"))
