"""Keys of Ed25519, and what they do. Imported where there is one: its library takes 8 MB of a process."""

from __future__ import annotations

from base64 import b64decode, b64encode
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

from shared.domain.keys import id_of
from shared.errors import Misconfigured

MAKE_ONE = "`snapfleet keys create` makes one"


class PublicKey:
    """Judges signatures."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.id = id_of(der)
        self.line = b64encode(der).decode()
        """As it stands in settings: the one line of its PEM."""

    @classmethod
    def parse(cls, line: str) -> Self:
        try:
            found = load_der_public_key(b64decode(line, validate=True))
        except (ValueError, UnsupportedAlgorithm):
            found = None
        if not isinstance(found, Ed25519PublicKey):
            raise Misconfigured(
                f"signing.public_keys: {line!r} is no Ed25519 public key",
                hint=f"give the line of its PEM, MCowBQYDK2VwAyEA…; {MAKE_ONE}",
            )
        return cls(found)

    def has_signed(self, text: bytes, signature: bytes) -> bool:
        try:
            self._key.verify(signature, text)
        except InvalidSignature:
            return False
        return True


class PrivateKey:
    """Makes signatures. Nothing that it says or raises tells of it."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def new(cls) -> Self:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, pem: str) -> Self:
        try:
            found = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # the cause might tell of the key
            found = None
        if not isinstance(found, Ed25519PrivateKey):
            raise Misconfigured(
                "signing.key_file: it holds no Ed25519 private key in PEM without a passphrase", hint=MAKE_ONE
            )
        return cls(found)

    def pem(self) -> str:
        """The secret."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def sign(self, text: bytes) -> bytes:
        return self._key.sign(text)
