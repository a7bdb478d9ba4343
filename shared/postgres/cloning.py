"""Copies of whole databases that the server makes by itself, file by file, without a byte through a client."""

from __future__ import annotations

from collections.abc import Callable

from psycopg import sql

from shared.postgres.early import stoppable
from shared.postgres.session import Session

FIRST_WITH_STRATEGIES = 150000


def clone(session: Session, name: str, *, of: str, owner: str, while_running: Callable[[], None]) -> None:
    """A new database that holds what `of` holds; nobody may be in that one. Its settings and grants are not copied.

    Its transactions' ids stay what they are: rows are known by them in the copy, too. All of it is on disk when
    this returns. `while_running` stops it by raising, and then there is none.
    """
    statement = sql.SQL("create database {} template {} owner {}").format(
        sql.Identifier(name), sql.Identifier(of), sql.Identifier(owner)
    )
    if session.info.server_version >= FIRST_WITH_STRATEGIES:
        # The other one writes every page to the log as well, which is archived, and sent to standbys.
        statement += sql.SQL(" strategy file_copy")
    with stoppable(session, while_running):
        session.execute(statement)


def end_clones(session: Session, oid: int) -> None:
    """End whoever copies this database: until then it can be neither renamed nor changed."""
    session.execute(
        "select pg_catalog.pg_terminate_backend(pid, 10000) from pg_catalog.pg_locks"
        " where locktype = 'object' and classid = 'pg_catalog.pg_database'::pg_catalog.regclass and objid = %s"
        " and mode = 'ShareLock' and granted and pid <> pg_catalog.pg_backend_pid()",
        [oid],
    )
