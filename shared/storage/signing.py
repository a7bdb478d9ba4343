"""Who vouches for what lies in the repository: Ed25519 signatures, by a key that storage's credentials do not give."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from shared.domain import signature
from shared.domain.keys import Keys
from shared.domain.signature import Signed
from shared.errors import Refused

if TYPE_CHECKING:
    from shared.storage.ed25519 import PrivateKey, PublicKey


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
        private: PrivateKey | None = None,
        public: Mapping[str, PublicKey] | None = None,
        required: bool = False,
    ) -> None:
        self._private = private
        self._public = dict(public or {})
        self.required = required
        """Whether what nobody known has signed is refused."""
        self.key: str | None = None
        """The id of the key that it signs with."""
        if private is not None:
            self.key = private.public.id
            self._public[self.key] = private.public

    @classmethod
    def of(cls, keys: Keys) -> Self:
        """From text. Misconfigured where one of them is no key; the secret one is not told."""
        if keys.signing_key is None and not keys.public_keys:
            return cls(required=keys.signing_required)
        from shared.storage.ed25519 import PrivateKey, PublicKey  # noqa: PLC0415 - 8 MB, where there is a key

        known = [PublicKey.parse(each) for each in keys.public_keys]
        return cls(
            private=None if keys.signing_key is None else PrivateKey.parse(keys.signing_key),
            public={each.id: each for each in known},
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
        except ValueError:
            return Verdict.WRONG
        # Base64 has several texts for the same bytes; only the one that is written counts.
        is_right = key.has_signed(found.signed, value) and b64encode(value).decode() == found.value
        return Verdict.RIGHT if is_right else Verdict.WRONG


UNSIGNED = Signing()
"""Nothing is signed, and no signature is looked at."""
