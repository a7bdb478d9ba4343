"""The sample database on the session's server, gone afterwards."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager

import psycopg

from embedded import databases, journal
from embedded.postgres import Postgres


@contextmanager
def sample(postgres: Postgres, *, thoughts: int) -> Generator[str]:
    """Its owner's DSN."""
    dsn = databases.journal(postgres)
    try:
        with closing(journal.fill(dsn, thoughts=thoughts)) as writing:
            for _ in writing:
                pass
        yield dsn
    finally:
        with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
            admin.execute("drop database journal with (force)")
            for role in (databases.JOURNAL_OWNER, databases.JOURNAL_READER):
                admin.execute(f"drop role {role}")
