"""What the tests of pg_dump and pg_restore share: a source worth dumping, and one call for each direction."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import IO, Any, Final, Literal

import psycopg
from psycopg import sql

from embedded.postgres import Postgres
from shared.postgres import dump, tools
from shared.postgres.dsn import Dsn
from shared.postgres.tools import Tools

Maker = Callable[..., str]
Section = Literal["pre-data", "data", "post-data"]
SECTIONS: Final[tuple[Section, ...]] = ("pre-data", "data", "post-data")
HOSTILE_TABLE: Final = 'x.*?$+|(y\n"'
QUOTED_TABLE: Final = sql.Identifier(HOSTILE_TABLE).as_string()
FILL: Final = (
    "create table a (id serial primary key, t text unique)",
    "insert into a (t) select 'row ' || g from generate_series(1, 20000) g",
    "create table b (id int references a)",
    "insert into b select 7",
    "create view v as select count(*) from a",
    f"create table {QUOTED_TABLE} (n int)",
    f"insert into {QUOTED_TABLE} values (1)",
    "create table xAByz (n int)",
    "insert into xAByz values (1)",
    "select lo_from_bytea(0, 'large')",
)


class Stop(Exception):
    """The caller has lost its lease."""


def connect(dsn: Dsn) -> psycopg.Connection:
    return psycopg.connect(dsn.conninfo("test"), autocommit=True)


def execute(dsn: Dsn, *statements: str) -> None:
    with connect(dsn) as session:
        for statement in statements:
            session.execute(statement.encode())


def value(dsn: Dsn, query: str) -> Any:
    with connect(dsn) as session:
        row = session.execute(query.encode()).fetchone()
    return row and row[0]


def tools_for(server: Postgres) -> Tools:
    return tools.choose(tools.find(bin_dir=None), server_major=server.major, tls_required=False)


@contextmanager
def exported(dsn: Dsn) -> Generator[str]:
    with connect(dsn) as session:
        session.execute("set idle_in_transaction_session_timeout = 0")
        session.execute("begin isolation level repeatable read, read only")
        row = session.execute("select pg_export_snapshot()").fetchone()
        assert row is not None
        yield row[0]


@contextmanager
def dumping(
    using: Tools,
    dsn: Dsn,
    *,
    snapshot: str | None = None,
    without: Sequence[tuple[str, str]] = (),
    name: str = "snap:dump",
    while_running: Callable[[], None] | None = None,
) -> Generator[Iterator[bytes]]:
    with (
        exported(dsn) if snapshot is None else nullcontext(snapshot) as held,
        dump.dump(
            using,
            dsn,
            snapshot=held,
            without_data_of=without,
            encoding="UTF8",
            application_name=name,
            lock_wait=timedelta(milliseconds=300),
            while_running=while_running,
        ) as pieces,
    ):
        yield pieces


def dumped(using: Tools, dsn: Dsn, **more: Any) -> bytes:
    with dumping(using, dsn, **more) as pieces:
        return b"".join(pieces)


@contextmanager
def kept(archive: bytes) -> Generator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        file.write(archive)
        file.flush()
        yield file


def restored(
    using: Tools,
    dsn: Dsn,
    archive: bytes,
    *,
    sections: Sequence[Section] = SECTIONS,
    name: str = "snap:restore",
    while_running: Callable[[], None] | None = None,
) -> None:
    with kept(archive) as file:
        for section in sections:
            dump.restore(
                using,
                dsn,
                archive_fd=file.fileno(),
                section=section,
                jobs=2,
                application_name=name,
                while_running=while_running,
            )


def side(dsn: Dsn, name: str = "side") -> Dsn:
    """A new empty database beside that of `dsn`."""
    name = f"{name} {time.monotonic_ns()}"
    with connect(dsn) as session:
        session.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
    return dsn.for_database(name)


@contextmanager
def locked(dsn: Dsn, table: str) -> Generator[None]:
    with connect(dsn) as session:
        session.execute(f"begin; lock table {table} in access exclusive mode".encode())
        yield


def sessions(dsn: Dsn, application_name: str, *, waiting: bool = False) -> int:
    condition = "and wait_event_type = 'Lock'" if waiting else ""
    found = value(
        dsn,
        f"select count(*) from pg_stat_activity where application_name = '{application_name}' {condition}",
    )
    assert isinstance(found, int)
    return found
