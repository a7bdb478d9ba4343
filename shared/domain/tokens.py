"""Tokens: what stands for a caller of the API. Only the hash of its secret is ever kept."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from shared.domain.access import Principal, Role

PREFIX = "snapfleet_"
"""By this scanners find a secret that was left in a repository or a log."""

SECRET_BYTES = 32
SECRET = re.compile(PREFIX + r"[0-9a-f]{64}")
"""The whole of a secret, for scanners too."""

NAME = r"[a-z0-9][a-z0-9._-]{0,62}"

OURS = frozenset({"anonymous", "schedule", "snapfleet"})
"""What the audit calls what nobody with a token has done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """`databases` is None where it reaches all of them."""

    name: str
    role: Role
    databases: tuple[str, ...] | None
    sha256: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    @property
    def principal(self) -> Principal:
        databases = None if self.databases is None else frozenset(self.databases)
        return Principal(name=self.name, role=self.role, databases=databases)

    def standing(self, now: datetime) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.has_expired(now) else "valid"

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


def is_name(text: str) -> bool:
    return re.fullmatch(NAME, text) is not None and text not in OURS


def secret_of(random: bytes) -> str:
    """The secret that these random bytes make."""
    if len(random) != SECRET_BYTES:
        raise ValueError(f"a secret takes {SECRET_BYTES} random bytes")
    return PREFIX + random.hex()


def looks_right(secret: str) -> bool:
    """Whether it could be one: what is not need not be looked for."""
    return SECRET.fullmatch(secret) is not None


def digest(secret: str) -> str:
    """What is kept of it. Of 256 random bits, so that nothing slower than one SHA-256 is called for."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def shown(name: str) -> str:
    """A name as a message may quote it: somebody may have pasted a secret in its place."""
    return repr(SECRET.sub("***", name)[:80])
