"""Sessions on the databases that we look after, prepared as pg_dump prepares its own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from importlib.resources import files
from typing import Any

import psycopg
from psycopg.rows import dict_row

from shared.postgres.dsn import Dsn
from shared.postgres.failures import translated

Session = psycopg.Connection[dict[str, Any]]


# All at once, when the process starts: an upgrade under its feet must not mix two releases.
STATEMENTS = {
    file.name.removesuffix(".sql"): file.read_text("utf-8")
    for file in files("shared.postgres").joinpath("sql").iterdir()
    if file.name.endswith(".sql")
}


def statement(name: str) -> str:
    """The statement in `sql/<name>.sql`."""
    return STATEMENTS[name]


@contextmanager
def connected(dsn: Dsn, *, application_name: str) -> Generator[Session]:
    """A session in autocommit with the preamble set; closed at the end.

    Raises Unreachable, Refused or NotFound as `failures` tells them apart, for all that happens in it.
    """
    with (
        translated(dsn.where),
        psycopg.connect(
            dsn.conninfo(application_name),
            autocommit=True,
            row_factory=dict_row,
            prepare_threshold=None,
        ) as session,
    ):
        session.execute(statement("preamble").encode())
        yield session


def scan_in_parallel(session: Session) -> None:
    """As the server is set up to; for whom the order of rows is of no matter."""
    session.execute("reset max_parallel_workers_per_gather")


@contextmanager
def limited(session: Session, within: timedelta) -> Generator[None]:
    """No statement in here takes longer than that. Not inside a transaction."""
    milliseconds = max(1, round(within / timedelta(milliseconds=1)))
    session.execute("select pg_catalog.set_config('statement_timeout', %s, false)", [str(milliseconds)])
    try:
        yield
    finally:
        if not session.closed:
            session.execute("set statement_timeout = 0")


@contextmanager
def as_logged_in(session: Session) -> Generator[None]:
    """Ask as the role that has logged in, whatever role it takes on by itself: it sees and ends its own sessions."""
    with session.transaction():
        session.execute("set local role none")
        yield


@contextmanager
def consistent(session: Session) -> Generator[None]:
    """One read-only transaction that sees one moment from first to last."""
    session.execute("begin isolation level repeatable read, read only")
    try:
        yield
    finally:
        if not session.closed:
            session.execute("rollback")
