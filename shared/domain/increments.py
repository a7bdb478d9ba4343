"""What a snapshot says of how it was read, so that the next one need not read it all again.

The log summaries of PostgreSQL 17 and later say which pages changed between two places in the log. A page range
that none of them names since a base has the rows that it had; `reuse` decides which ranges those are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Origin(StrEnum):
    """How a part came into its snapshot."""

    UNREAD = "unread"
    """Taken over from an earlier snapshot; the server was not asked for its rows."""
    KNOWN = "known"
    """Read, and every chunk of it was stored already."""
    NEW = "new"
    """Read, and something of it had to be stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One life of one server, and the database: places in the log mean nothing in another."""

    system_identifier: str
    database_oid: int
    timeline: int
    started_at: datetime
    """A server that was started again may have lost the end of its log, or be a copy of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """What must be the same of a table for its pages to mean the same."""

    schema: str
    name: str
    filenode: int
    definition: str
    """A hash of what decides how its rows read: columns, and every type that they are made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What later snapshots can be built on. Places in the log are numbers of bytes.

    Every transaction that had written before `lsn` had ended when the snapshot was taken.
    """

    server: Server
    lsn: int
    summarized_to: int
    """The end of the summary that reached the snapshot: a server with another history has none that ends there."""
    chunk_bytes: int
    """How large a part's chunks were cut: cut otherwise, the same rows are in chunks of other names."""
    tables: tuple[TableState, ...]
    """Of the tables that are copied in parts, those whose pages tell all that can change of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Increment:
    """How a snapshot was read, and whether the next one can be built on it."""

    built_on: str | None
    """The snapshot that unread parts were taken over from, by its id."""
    unchecked: int
    """How many snapshots in a row, this one included, have taken parts over and read none of them to compare."""
    reason: str | None = None
    """Why everything was read; None where something was taken over, or could have been."""
    base: Base | None = None
    not_base: str | None = None
    """Why later ones cannot be built on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """So many parts of a snapshot, and their raw bytes."""

    parts: int
    raw_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HowRead:
    """What the catalog keeps of it, for people."""

    unread: Share
    known: Share
    new: Share
    built_on: str | None
    unchecked: int
    is_base: bool
    reason: str | None
    not_base: str | None
