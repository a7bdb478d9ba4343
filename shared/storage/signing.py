"""Who vouches for what lies in the repository: Ed25519 signatures, by a key that storage's credentials do not give."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from shared.domain import keys as domain
from shared.domain import signature
from shared.domain.keys import Keys
from shared.domain.signature import Signed
from shared.errors import Misconfigured, Refused

MAKE_ONE = "`snapfleet keys create` makes one"


class Verdict(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    """Of a key that is known, and not of this text: it was altered."""
    UNKNOWN = "unknown"
    """Of a key that nobody here knows."""
    ABSENT = "absent"


class Signing:
    """Signs where there is a private key; judges by the public keys that it knows, its own among them."""

    def __init__(
        self,
        *,
        private: Ed25519PrivateKey | None = None,
        public: Mapping[str, Ed25519PublicKey] | None = None,
        required: bool = False,
    ) -> None:
        self._private = private
        self._public = dict(public or {})
        self.required = required
        """Whether what nobody known has signed is refused."""
        self.key: str | None = None
        """The id of the key that it signs with."""
        if private is not None:
            own = private.public_key()
            self.key = key_id(own)
            self._public[self.key] = own

    @classmethod
    def of(cls, keys: Keys) -> Self:
        """From text. Misconfigured where one of them is no key; the secret one is not told."""
        known = [public_key(each) for each in keys.public_keys]
        return cls(
            private=None if keys.signing_key is None else private_key(keys.signing_key),
            public={key_id(each): each for each in known},
            required=keys.signing_required,
        )

    @property
    def can_sign(self) -> bool:
        return self._private is not None

    @property
    def judges(self) -> bool:
        """Whether signatures matter here at all."""
        return bool(self._public)

    @property
    def known(self) -> tuple[str, ...]:
        """Ids of the keys whose signatures count."""
        return tuple(sorted(self._public))

    @property
    def leaves_writing(self) -> bool:
        """Whether others sign and this process cannot: it must not write what they would have signed."""
        return self.judges and not self.can_sign

    def refuse_unable(self, what: str) -> None:
        """Refused(signing_key_missing) where what is written would have to be signed, and cannot be."""
        if self.leaves_writing:
            raise Refused(
                f"{what} must be signed, and this process holds no signing key",
                code="signing_key_missing",
                hint="give it signing.key_file, or let a worker do this that has one",
            )

    def sign(self, document: bytes) -> bytes:
        """The document with its signature; as it is where there is no key to sign with."""
        if self._private is None or self.key is None:
            return document
        signed = signature.payload(document)
        value = b64encode(self._private.sign(signed)).decode()
        return signature.join(Signed(signed=signed, key=self.key, value=value))

    def verdict(self, document: bytes) -> Verdict:
        found = signature.split(document)
        if found is None:
            return Verdict.ABSENT
        key = self._public.get(found.key)
        if key is None:
            return Verdict.UNKNOWN
        try:
            value = b64decode(found.value, validate=True)
            key.verify(value, found.signed)
        except (ValueError, InvalidSignature):
            return Verdict.WRONG
        # Base64 has several texts for the same bytes; only the one that is written counts.
        return Verdict.RIGHT if b64encode(value).decode() == found.value else Verdict.WRONG


UNSIGNED = Signing()
"""Nothing is signed, and no signature is looked at."""


def key_id(public: Ed25519PublicKey) -> str:
    return domain.id_of(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def line_of(public: Ed25519PublicKey) -> str:
    """A public key as it stands in settings: the one line of its PEM."""
    return b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def public_key(line: str) -> Ed25519PublicKey:
    try:
        found = load_der_public_key(b64decode(line, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, Ed25519PublicKey):
        raise Misconfigured(
            f"signing.public_keys: {line!r} is no Ed25519 public key",
            hint=f"give the line of its PEM, MCowBQYDK2VwAyEA…; {MAKE_ONE}",
        )
    return found


def private_key(pem: str) -> Ed25519PrivateKey:
    try:
        found = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # the cause might tell of the key
        found = None
    if not isinstance(found, Ed25519PrivateKey):
        raise Misconfigured(
            "signing.key_file: it holds no Ed25519 private key in PEM without a passphrase", hint=MAKE_ONE
        )
    return found


def new_key() -> tuple[str, str]:
    """A new private key in PEM, which is secret, and its public half as settings take it."""
    made = Ed25519PrivateKey.generate()
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return pem, line_of(made.public_key())
