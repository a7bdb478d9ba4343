"""Load parts into a side database, each exactly once.

A part and its row in the marker table commit together: a part delivered twice, or done by a worker
that died before it could say so, is found in the marker and left alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from shared import failpoints
from shared.domain.manifest import Part
from shared.errors import Damaged
from shared.postgres.copying import load_query
from shared.postgres.session import Session


def prepare(session: Session) -> None:
    """Create the marker table: the first thing in a new side database."""
    session.execute("create schema snapfleet_load")
    session.execute("create table snapfleet_load.part (number integer primary key)")


def finish(session: Session) -> None:
    """Remove the marker: nothing of ours stays in a restored database."""
    session.execute("drop schema if exists snapfleet_load cascade")


def load(session: Session, part: Part, pieces: Iterable[bytes]) -> bool:
    """Load one part from its raw bytes; False when it was loaded before.

    Raises Damaged when the server counts other rows than were recorded, and whatever `pieces` raises;
    then nothing is loaded.
    """
    with session.transaction():
        take_over(session, part.spec.number)
        marked = session.execute(
            "insert into snapfleet_load.part values (%s) on conflict do nothing",
            [part.spec.number],
        )
        if marked.rowcount == 0:
            return False
        # The bytes are in the database's own encoding, as they were read.
        session.execute("select set_config('client_encoding', getdatabaseencoding(), true)")
        encoding = str(session.info.parameter_status("server_encoding"))
        with session.cursor() as cursor:
            with cursor.copy(load_query(part.spec, encoding=encoding)) as copy:
                for piece in pieces:
                    copy.write(piece)
            failpoints.reach("load.part_loaded")
            if cursor.rowcount != part.row_count:
                name = sql.Identifier(part.spec.schema, part.spec.table).as_string()
                raise Damaged(
                    f"part {part.spec.number} of {name} gave {cursor.rowcount} rows instead of {part.row_count}",
                    code="rows_differ",
                )
    return True


def take_over(session: Session, number: int) -> None:
    """Hold a part alone until the transaction ends, and end the session of whoever held it before.

    The part's row in the catalog is ours now, so that worker was superseded: it sleeps, or its machine is
    gone, and the server would keep its half-loaded part, and us waiting for it, until it is heard of again.
    """
    held = session.execute("select pg_try_advisory_xact_lock(%s::bigint) as ours", [number]).fetchone()
    if held and held["ours"]:
        return
    session.execute(
        "select pg_catalog.pg_terminate_backend(pid, 10000) from pg_catalog.pg_locks"
        " where locktype = 'advisory' and classid = 0 and objid::bigint = %s and objsubid = 1 and granted"
        " and database = (select oid from pg_catalog.pg_database where datname = current_database())",
        [number],
    )
    session.execute("select pg_advisory_xact_lock(%s::bigint)", [number])
