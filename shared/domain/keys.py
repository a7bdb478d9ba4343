"""The keys of a process, as text: for whom it encrypts, what it opens, with what it signs, and whom it believes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What an entry point was told. `repr` shows no secret. Whether a key is one is found out where it is used."""

    recipients: tuple[str, ...] = ()
    """age public keys: each alone opens what is written from now on. Without any, nothing is encrypted."""
    name_key: str | None = field(default=None, repr=False)
    """Hex digits. Chunks are named with it, so that their names tell nothing of what is in them."""
    identities: tuple[str, ...] = field(default=(), repr=False)
    """age private keys: only where snapshots are restored and proven."""
    signing_key: str | None = field(default=None, repr=False)
    """An Ed25519 private key in PEM: only where snapshots are taken and pruned."""
    public_keys: tuple[str, ...] = ()
    """Ed25519 public keys, each the one line of its PEM: whose signatures count."""
    signing_required: bool = False
    """Whether a manifest that nobody known has signed is refused."""


NO_KEYS = Keys()


def id_of(public: bytes) -> str:
    """What a key is called wherever it is only meant: 16 hex digits of the hash of its public half."""
    return hashlib.sha256(public).hexdigest()[:16]
