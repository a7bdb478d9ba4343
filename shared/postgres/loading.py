"""Load parts into a side database, each exactly once.

A part and its row in the marker table commit together: a part delivered twice, or done by a worker
that died before it could say so, is found in the marker and left alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from psycopg import sql

from shared import failpoints
from shared.domain.manifest import Part
from shared.domain.wording import counted
from shared.errors import Damaged, Transient
from shared.postgres.copying import load_query
from shared.postgres.failures import NAME_NOT_FOUND, constraint_violated, name_not_found
from shared.postgres.session import Session


def prepare(session: Session) -> None:
    """Create the marker table: the first thing in a new side database."""
    session.execute("create schema snapfleet_load")
    session.execute("create table snapfleet_load.part (number integer primary key, brought_by xid8 not null)")


def harden(session: Session) -> None:
    """Everything that was committed on this server until now is on its disk when this returns.

    Fails where the server has crashed since the session began: that may have lost some of it.
    """
    # A commit that has something to write waits for all that was written before it.
    session.execute("select pg_catalog.pg_logical_emit_message(true, 'snapfleet', '')")


def finish(session: Session) -> None:
    """Remove the marker: nothing of ours stays in a restored database."""
    session.execute("drop schema if exists snapfleet_load cascade")


def load(session: Session, part: Part, pieces: Iterable[bytes]) -> str:
    """Load one part from its raw bytes, unless it was loaded before: the id of the transaction that did it.

    By that id its rows are known as long as nobody changes them. Raises Damaged when the server counts other rows
    than were recorded, Permanent (`constraint_violated`, `name_not_found`) when it takes none of them, and whatever
    `pieces` raises; then nothing is loaded.
    """
    with session.transaction():
        take_over(session, part.spec.number)
        is_new = mark(session, part.spec.number)
        brought_by = brought(session, part.spec.number)
        if not is_new:
            return brought_by
        # The bytes are in the database's own encoding, as they were read.
        session.execute("select set_config('client_encoding', getdatabaseencoding(), true)")
        encoding = str(session.info.parameter_status("server_encoding"))
        with session.cursor() as cursor:
            try:
                with cursor.copy(load_query(part.spec, encoding=encoding)) as copy:
                    for piece in pieces:
                        copy.write(piece)
            except NAME_NOT_FOUND as exc:
                raise name_not_found(exc, session.info.dbname) from exc
            except psycopg.IntegrityError as exc:
                raise constraint_violated(exc, session.info.dbname) from exc
            failpoints.reach("load.part_loaded")
            if cursor.rowcount != part.row_count:
                name = sql.Identifier(part.spec.schema, part.spec.table).as_string()
                raise Damaged(
                    f"part {part.spec.number} of {name} gave {counted(cursor.rowcount, 'row')} instead of {part.row_count}",
                    code="rows_differ",
                )
    return brought_by


def mark(session: Session, number: int) -> bool:
    """Note what this transaction does, to commit with it; False where that was done before."""
    marked = session.execute(
        "insert into snapfleet_load.part values (%s, pg_current_xact_id()) on conflict do nothing", [number]
    )
    return marked.rowcount == 1


def brought(session: Session, number: int) -> str:
    marked = session.execute(
        "select brought_by::text from snapfleet_load.part where number = %s", [number]
    ).fetchone()
    if marked is None:
        raise Transient(f"part {number} has lost its mark", code="serialization")
    return str(marked["brought_by"])


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
