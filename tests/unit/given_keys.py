"""Keys for tests: made once, as text, as an entry point would hand them on."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.keys import Keys
from shared.storage import encryption
from shared.storage.ed25519 import PrivateKey
from shared.storage.encryption import Encryption
from shared.storage.signing import Signing

NAME_KEY = "5e" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An identity and its recipient."""

    identity: str
    recipient: str

    @property
    def id(self) -> str:
        [found] = Encryption.of(Keys(recipients=(self.recipient,), name_key=NAME_KEY)).keys
        return found


def pair() -> Pair:
    identity, recipient = encryption.new_identity()
    return Pair(identity=identity, recipient=recipient)


FLEETS, ESCROW, OTHER = pair(), pair(), pair()
OURS, OTHERS = PrivateKey.new(), PrivateKey.new()
SIGNING_KEY, PUBLIC_KEY = OURS.pem(), OURS.public.line
OTHER_SIGNING_KEY, OTHER_PUBLIC_KEY = OTHERS.pem(), OTHERS.public.line


def encrypting(*pairs: Pair, holding: tuple[Pair, ...] = (), name_key: str = NAME_KEY) -> Encryption:
    """For these, with the identities of those."""
    return Encryption.of(
        Keys(
            recipients=tuple(each.recipient for each in pairs),
            name_key=name_key,
            identities=tuple(each.identity for each in holding),
        )
    )


def signs(*, key: str | None = SIGNING_KEY, knows: tuple[str, ...] = (), required: bool = False) -> Signing:
    return Signing.of(Keys(signing_key=key, public_keys=knows, signing_required=required))
