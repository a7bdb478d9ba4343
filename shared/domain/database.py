"""A database that we look after, as the configuration declares it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from shared.domain.retention import Policy
from shared.domain.schedule import Schedule

PAGE_BYTES = 8192
"""PostgreSQL's block size as nearly every server is built; a server's own size is read when it matters."""


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
