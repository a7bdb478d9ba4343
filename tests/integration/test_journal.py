"""The sample database: large enough, the same each time, and whole or not there."""

from __future__ import annotations

from contextlib import closing

import psycopg

from embedded import databases, fingerprint, journal
from embedded.postgres import Postgres
from tests.integration.sample import sample

SHARE = 10
MB = 1024 * 1024


def test_it_is_the_same_each_time(postgres: Postgres) -> None:
    found = []
    for _ in range(2):
        with sample(postgres, thoughts=200) as dsn:
            found.append(fingerprint.take(dsn))
    assert found[0].differences(found[1]) == ()
    assert found[0].rows > 200 * 8


def test_a_tenth_of_it_is_large_enough_for_a_tenth(postgres: Postgres) -> None:
    with sample(postgres, thoughts=journal.THOUGHTS // SHARE) as dsn, psycopg.connect(dsn) as session:
        empty = journal.size_bytes(postgres.dsn("template1"))
        assert journal.size_bytes(dsn) - empty > 300 * MB / SHARE
        row = session.execute("select pg_table_size('journal.thought')").fetchone()
        assert row is not None
        assert row[0] > 150 * MB / SHARE
        row = session.execute("select count(*) from journal.signal").fetchone()
        assert row is not None
        assert row[0] > 2_000_000 / SHARE


def test_writing_that_is_broken_off_leaves_nothing(postgres: Postgres) -> None:
    with sample(postgres, thoughts=1) as dsn:
        with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
            admin.execute("drop database journal with (force)")
        databases.journal(postgres)
        assert journal.is_empty(dsn)
        with closing(journal.fill(dsn, thoughts=100)) as writing:
            for share in writing:
                if share > 1 / 2:
                    break
        assert journal.is_empty(dsn)
