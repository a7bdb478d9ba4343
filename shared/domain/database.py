"""A database that we look after, as the configuration declares it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta

from shared.domain.proof import Assertion, Digests, VerifyPolicy
from shared.domain.retention import Policy
from shared.domain.schedule import Schedule

NAME = r"[a-z0-9][a-z0-9_-]{0,62}"
"""What a database may be called here: a folder's name, and a word in a command."""

PAGE_BYTES = 8192
"""PostgreSQL's block size as nearly every server is built; a server's own size is read when it matters."""


def is_name(text: str) -> bool:
    return re.fullmatch(NAME, text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    name: str
    url: str = field(repr=False)
    """A DSN with its password: never in a log, a message or argv."""
    schedule: Schedule
    policy: Policy
    part_bytes: int
    compression_level: int
    parallelism: int
    undo_window: timedelta
    verify: VerifyPolicy = VerifyPolicy.SIZE
    verify_url: str | None = field(default=None, repr=False)
    """Where scratch databases are made, as a DSN with its password; None: on the database's own server."""
    digests: Digests = Digests.SAMPLE
    """Of which rows a snapshot records the content, for its proofs to compare."""
    assertions: tuple[Assertion, ...] = ()
    checked_daily: bool = True
    restore_objective: timedelta = timedelta(minutes=5)
    """How long a restore may take; nothing but an alert comes of it."""
    warm: bool = False
    """Whether the side database of its newest proof is kept, ready to be swapped in."""
    incremental: bool = True
    """Whether parts that have not changed are taken over from an earlier snapshot without being read."""
    base_wait: timedelta = timedelta(seconds=5)
    """How long transactions are awaited that have written, so that the next snapshot can be built on this one."""
    verify_incremental: int = 100
    """After so many snapshots in a row what could be taken over is read and compared; 0: never."""
