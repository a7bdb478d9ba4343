"""For whom objects are encrypted, and with what they are opened: age files, which the `age` tool opens as well.

Whoever writes needs only public keys. Each of them alone opens what was written for it, so one of them can belong
to an identity that lies in a safe.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Self

import pyrage
from pyrage import x25519

from shared.domain import keys as domain
from shared.domain.keys import Keys
from shared.errors import Damaged, Misconfigured, Refused

MAGIC = b"age-encryption.org/"
IDENTITY = re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]+")
DAMAGED_HINT = "restore another snapshot; `snapfleet snapshot list` shows them"

FAULTS: Mapping[str, str] = {
    "No matching keys found": "its header is of no key that it should be encrypted for",
    "Header MAC is invalid": "its header was altered",
    "failed to fill whole buffer": "it ends within its header",
    "last chunk has been processed": "something stands behind its end",
    "decryption error": "it was altered, or its end is missing",
}
"""What the library says, in our words."""


class Encryption:
    """Encrypts what is written, where there are recipients, and opens what was, where there are identities."""

    def __init__(
        self,
        *,
        recipients: Sequence[x25519.Recipient] = (),
        name_key: bytes | None = None,
        identities: Sequence[x25519.Identity] = (),
    ) -> None:
        if recipients and not name_key:
            raise ValueError("names of encrypted chunks need a key")
        self._recipients = sorted(recipients, key=str)
        self._name_key = name_key or b""
        self._identities = {key_id(each.to_public()): each for each in identities}
        self.keys = tuple(sorted(key_id(each) for each in self._recipients))
        """Ids of the keys of which each alone opens what is written now; none where nothing is encrypted."""

    @classmethod
    def of(cls, keys: Keys) -> Self:
        """From text. Misconfigured where one of them is no key; a secret is not told."""
        return cls(
            recipients=[recipient(each) for each in dict.fromkeys(keys.recipients)],
            name_key=None if keys.name_key is None else bytes.fromhex(keys.name_key),
            identities=[identity(each) for each in keys.identities],
        )

    @property
    def is_on(self) -> bool:
        return bool(self._recipients)

    @property
    def held(self) -> tuple[str, ...]:
        """Ids of the keys whose identities are here."""
        return tuple(sorted(self._identities))

    def opens(self, keys: Collection[str]) -> bool:
        """Whether what was encrypted for these can be read here; what was for none can."""
        return not keys or not self._identities.keys().isdisjoint(keys)

    def refuse_unopened(self, keys: Collection[str], what: str) -> None:
        """Refused(identity_missing) where none of its keys is held here."""
        if self.opens(keys):
            return
        held = f"only {', '.join(self.held)}" if self._identities else "no identity at all"
        raise Refused(
            f"{what} is encrypted for {' and '.join(sorted(keys))}, and this process holds {held}",
            code="identity_missing",
            hint="do this where its identity is (encryption.identity_files); `snapfleet keys show` tells what is held",
        )

    def name_of(self, sha256: str) -> str:
        """What the chunk whose raw bytes have this digest is called.

        Another name for other recipients: what was encrypted for a key that is retired is not used again.
        """
        if not self.is_on:
            return sha256
        return self._keyed("chunk", bytes.fromhex(sha256))

    def contents_id(self, contents: bytes) -> str:
        """By which a writer, who cannot open what he has encrypted, knows it again."""
        return self._keyed("manifest", contents)

    def _keyed(self, what: str, data: bytes) -> str:
        told = "\n".join(["snapfleet", what, *map(str, self._recipients), ""])
        return hmac.digest(self._name_key, told.encode() + data, "sha256").hex()

    def encrypt(self, body: bytes) -> bytes:
        encrypted: bytes = pyrage.encrypt(body, self._recipients)
        return encrypted

    def decrypt(self, body: bytes, *, what: str, code: str) -> bytes:
        """Whole or not at all. Damaged; its keys were looked at before, by `refuse_unopened`."""
        if not is_encrypted(body):
            raise unreadable(what, "it does not begin as an age file does", code=code)
        try:
            opened: bytes = pyrage.decrypt(body, list(self._identities.values()))
        except pyrage.DecryptError as exc:
            said = str(exc)
            raise unreadable(what, FAULTS.get(said, f"age says: {said}"), code=code) from exc
        return opened


PLAIN = Encryption()
"""Nothing is encrypted, and nothing encrypted is opened."""


def unreadable(what: str, why: str, *, code: str) -> Damaged:
    return Damaged(f"{what} cannot be decrypted: {why}", code=code, hint=DAMAGED_HINT)


def is_encrypted(body: bytes) -> bool:
    return body.startswith(MAGIC)


def key_id(public: x25519.Recipient) -> str:
    return domain.id_of(str(public).encode())


def recipient(text: str) -> x25519.Recipient:
    try:
        return x25519.Recipient.from_str(text)
    except pyrage.RecipientError as exc:
        raise Misconfigured(
            f"encryption.recipients: {text!r} is no age public key",
            hint="copy it again, all of age1… and 62 characters; `snapfleet keys create` makes one",
        ) from exc


def identity(text: str) -> x25519.Identity:
    try:
        return x25519.Identity.from_str(text)
    except pyrage.IdentityError:
        # Without the cause, which might tell of the text.
        raise Misconfigured(
            "encryption.identity_files: a line in one of them is no age identity",
            hint="take the file as `snapfleet keys create` or age-keygen has written it",
        ) from None


def new_identity() -> tuple[str, str]:
    """A new identity, which is secret, and the recipient that belongs to it."""
    made = x25519.Identity.generate()
    return str(made), str(made.to_public())
