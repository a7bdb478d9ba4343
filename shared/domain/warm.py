"""A warm copy: the side database of a proof, kept ready to become the live one, and what tells that it is untouched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What the server says of a database that nobody is in, and nobody can get into.

    `entry` is the version of its row in pg_database: it changes with whatever ALTER DATABASE or GRANT do to it.
    `sessions` is how many clients have ever been in it. The server forgets that when it crashes, and then what
    was unlogged in it is gone too: None, or fewer than before.
    """

    system_identifier: str
    oid: int
    role: str
    """Who asked: it may be another's to rename."""
    entry: str
    is_closed: bool
    sessions: int | None
    counted_since: str | None
    server_version: int
    collation_version: str | None
    settings: int
    """How many settings it has of its own: none of a copy's."""


def doubts(then: Seal, now: Seal, *, renamed: bool = False) -> Iterator[str]:
    """What there is to be said against a database that was sealed then. `renamed` is by ourselves, since then."""
    if (now.system_identifier, now.oid) != (then.system_identifier, then.oid):
        yield "it is on another server"
        return
    if now.role != then.role:
        yield f"it was made by {then.role}, and not by {now.role}"
    if not now.is_closed:
        yield "it lets sessions in"
    if now.entry != then.entry and not renamed:
        yield "it was altered"
    if not then.sessions or (now.sessions, now.counted_since) != (then.sessions, then.counted_since):
        yield "somebody was in it, or its server has crashed"
    if now.settings:
        yield "it has settings of its own"
    if now.server_version != then.server_version:
        yield "its server is of another release"
    if now.collation_version != then.collation_version:
        yield "its server sorts otherwise"
