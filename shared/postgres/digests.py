"""Digests of rows, computed by the server: a sum of 64-bit hashes, so that the order of rows is of no matter.

How one row is hashed is told in `row_hashes`. The text of values is the one that the session's preamble fixes.
A digest tells content that differs by an accident; against somebody who would forge one stand the SHA-256s of
what is stored. Where a text is larger than the server can hold (1 GB) there is no digest, and None stands for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from shared.domain.manifest import TableCount
from shared.domain.parts import Table
from shared.postgres import inspection, row_hashes
from shared.postgres.session import Session, statement

AT_ONCE = 200
"""How many tables are asked for in one round trip: they are small."""

TOO_LARGE = (
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.OutOfMemory,
    psycopg.errors.InternalError_,
)

XIDS = 2**32
"""A row knows the transaction that brought it by the last 32 bits of its id."""

Expressions = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """How many, and their digest."""

    count: int
    digest: str | None


NO_ROWS = Rows(count=0, digest="0")


def expressions(session: Session, *, method: int) -> Expressions:
    """For each table, by schema and name, the hash of one of its rows as SQL, in ASCII."""
    encoding = str(session.info.parameter_status("server_encoding"))
    return {
        (r["schema"], r["name"]): row_hashes.hash_of_row(
            tuple(zip(r["names"], r["types"], strict=True)), encoding=encoding, method=method
        )
        for r in session.execute(statement("digest_columns").encode())
    }


def count(session: Session, tables: Sequence[Table], known: Expressions) -> tuple[TableCount, ...]:
    """Exact rows of each table, and the digest of those for which an expression is known.

    Call it inside a transaction: what the server cannot digest is only counted, at the price of a savepoint.
    """
    found: list[TableCount] = []
    for first in range(0, len(tables), AT_ONCE):
        found += count_batch(session, tables[first : first + AT_ONCE], known)
    return tuple(found)


def count_batch(session: Session, tables: Sequence[Table], known: Expressions) -> Sequence[TableCount]:
    queries = [count_query(table, known.get((table.schema, table.name))) for table in tables]
    try:
        with session.transaction(), session.pipeline():
            cursors = [session.execute(query) for query in queries]
            rows = [next(iter(cursor)) for cursor in cursors]
    except TOO_LARGE:
        if len(tables) == 1:
            return count_batch(session, tables, {})
        return [found for table in tables for found in count_batch(session, [table], known)]
    return [
        TableCount(schema=table.schema, name=table.name, row_count=r["n"], digest=r["digest"])
        for table, r in zip(tables, rows, strict=True)
    ]


def count_query(table: Table, expression: str | None) -> sql.Composed:
    return sql.SQL("select count(*) as n, {digest} as digest from {rows}").format(
        digest=total(expression) if expression else sql.NULL, rows=inspection.rows_of(table)
    )


def total(expression: str) -> sql.SQL:
    return sql.SQL(f"coalesce(sum({expression}), 0)::pg_catalog.text")


def by_transaction(
    session: Session, schema: str, name: str, expression: str, xids: Collection[str]
) -> tuple[int, Mapping[str, Rows] | None]:
    """How many rows a table has, and which ones each of these transactions brought, in one scan.

    `xids` are of `pg_current_xact_id`, as text; one that brought nothing is not answered. None where the
    server cannot make the digests. Call it inside a transaction.
    """
    table = sql.Identifier(schema, name)
    by_xmin = {str(int(xid) % XIDS): xid for xid in xids}
    query = sql.SQL(
        "select case when xmin = any({xids}::pg_catalog.xid[]) then xmin::pg_catalog.text end as xmin,"
        " count(*) as n,"
        " coalesce(sum(case when xmin = any({xids}::pg_catalog.xid[]) then {hash} end), 0)::pg_catalog.text as digest"
        " from only {table} group by 1"
    ).format(xids=sql.Literal(list(by_xmin)), hash=sql.SQL(expression), table=table)
    try:
        with session.transaction():
            rows = session.execute(query).fetchall()
    except TOO_LARGE:
        counted = session.execute(sql.SQL("select count(*) as n from only {}").format(table)).fetchone()
        return int(counted["n"]) if counted else 0, None
    brought = {
        by_xmin[r["xmin"]]: Rows(count=r["n"], digest=r["digest"]) for r in rows if r["xmin"] is not None
    }
    return sum(r["n"] for r in rows), brought
