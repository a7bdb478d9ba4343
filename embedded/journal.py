"""The sample database of `snapfleet demo` and `snapfleet up`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg

THOUGHTS = 340_000
"""At this size the database has about 400 MB; everything in it grows with this number."""

_SCRIPT = Path(__file__).with_name("journal.sql")


def is_empty(dsn: str) -> bool:
    """Whether nobody has made a table there yet."""
    with psycopg.connect(dsn) as session:
        return not _one(
            session, "select exists (select from pg_tables where schemaname !~ '^(pg_|information_schema)')"
        )


def fill(dsn: str, *, thoughts: int = THOUGHTS) -> Iterator[float]:
    """Write the journal into an empty database, in one transaction; yields the share done, up to 1.

    Whoever stops iterating leaves the database empty.
    """
    statements = _SCRIPT.read_text().split("\n\n")
    with psycopg.connect(dsn) as session:
        session.execute("set local synchronous_commit = off")
        session.execute("select set_config('journal.thoughts', %s, true)", (str(thoughts),))
        for number, statement in enumerate(statements, start=1):
            session.execute(statement)
            yield number / len(statements)


def size_bytes(dsn: str) -> int:
    """What `pg_database_size` says."""
    with psycopg.connect(dsn) as session:
        return int(str(_one(session, "select pg_database_size(current_database())")))


def _one(session: psycopg.Connection[tuple[object, ...]], query: LiteralString) -> object:
    row = session.execute(query).fetchone()
    return row[0] if row else None
