"""What pg_restore commits without waiting for the disk is on it before a step says that it is done."""

from __future__ import annotations

from collections.abc import Generator

import psycopg
import pytest

from embedded.postgres import Postgres
from shared.errors import Unreachable
from shared.postgres import loading
from shared.postgres.dsn import Dsn
from shared.postgres.session import connected
from tests.conftest import FAST


@pytest.fixture(scope="module")
def slow_writer(tmp_path_factory: pytest.TempPathFactory) -> Generator[Postgres]:
    """A server that writes its log only when somebody waits for it."""
    server = Postgres(tmp_path_factory.mktemp("slow"), settings={**FAST, "wal_writer_delay": "10s"})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def unhurried(slow_writer: Postgres) -> Generator[psycopg.Connection]:
    """A session that waits for nothing, as pg_restore's does."""
    with psycopg.connect(slow_writer.dsn(), autocommit=True) as session:
        session.execute("set synchronous_commit = off")
        session.execute("create table if not exists item (id int)")
        yield session


def is_on_disk(session: psycopg.Connection, lsn: str) -> bool:
    row = session.execute("select pg_current_wal_flush_lsn() >= %s::pg_lsn", [lsn]).fetchone()
    return bool(row and row[0])


def test_hardening_waits_for_what_others_have_committed(
    slow_writer: Postgres, unhurried: psycopg.Connection
) -> None:
    with connected(Dsn.parse(slow_writer.dsn()), application_name="test") as session:
        unhurried.execute("insert into item values (1)")
        row = unhurried.execute("select pg_current_wal_insert_lsn()::text").fetchone()
        assert row is not None
        assert not is_on_disk(unhurried, row[0])
        loading.harden(session)
        assert is_on_disk(unhurried, row[0])


def harden_after_a_crash(server: Postgres) -> None:
    with connected(Dsn.parse(server.dsn()), application_name="test") as session:
        server.kill()
        server.start()
        loading.harden(session)


def test_hardening_fails_where_the_server_has_crashed_meanwhile(slow_writer: Postgres) -> None:
    """What the crash has lost nobody could tell: the step that asks must begin again."""
    with pytest.raises(Unreachable):
        harden_after_a_crash(slow_writer)
