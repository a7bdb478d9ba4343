"""The sample database of `snapfleet demo` and `snapfleet up`."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import LiteralString

import psycopg

THOUGHTS = 310_000
"""At this size the database has about 400 MB; everything in it grows with this number."""

# Small enough that a second does not pass without news.
_BATCH = 20_000
_SCRIPT = Path(__file__).with_name("journal.sql")


def is_empty(dsn: str) -> bool:
    """Whether nobody has made a table there yet."""
    with psycopg.connect(dsn) as session:
        return not _one(
            session, "select exists (select from pg_tables where schemaname !~ '^(pg_|information_schema)')"
        )


def fill(dsn: str, *, thoughts: int = THOUGHTS) -> Generator[float]:
    """Write the journal into an empty database, in one transaction; yields the share done, up to 1.

    Whoever stops iterating leaves the database empty.
    """
    rounds = list(_rounds(_SCRIPT.read_text().split("\n\n"), thoughts))
    with psycopg.connect(dsn) as session:
        session.execute("set local synchronous_commit = off")
        for number, (statement, first, last) in enumerate(rounds, start=1):
            for name, value in (("thoughts", thoughts), ("first", first), ("last", last)):
                session.execute("select set_config('journal.' || %s, %s, true)", (name, str(value)))
            session.execute(statement)
            yield number / len(rounds)


def _rounds(statements: Iterable[str], thoughts: int) -> Iterator[tuple[str, int, int]]:
    for statement in statements:
        step = _BATCH if "journal.first" in statement and not statement.startswith("--") else thoughts
        for first in range(1, thoughts + 1, step):
            yield statement, first, min(first + step - 1, thoughts)


def size_bytes(dsn: str) -> int:
    """What `pg_database_size` says."""
    with psycopg.connect(dsn) as session:
        return int(str(_one(session, "select pg_database_size(current_database())")))


def _one(session: psycopg.Connection[tuple[object, ...]], query: LiteralString) -> object:
    row = session.execute(query).fetchone()
    return row[0] if row else None
