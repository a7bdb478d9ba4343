"""What a database holds: tables, sequences, identity, settings. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import sql

from shared.domain.manifest import Properties, SequencePosition, Source, TableCount, parse
from shared.domain.parts import Column, Table
from shared.errors import NotFound
from shared.postgres.session import Session, statement

NAMED = 5
"""Of many things that are wrong alike so many are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One database under any name or alias."""

    system_identifier: str
    oid: int


def row(session: Session, query: str, **values: Any) -> dict[str, Any]:
    found = session.execute(query.encode(), values or None).fetchone()
    if found is None:
        raise NotFound("the database is gone", code="database_missing")
    return found


def identity(session: Session) -> Identity:
    found = row(session, statement("source"), name=None)
    return Identity(system_identifier=found["system_identifier"], oid=found["oid"])


def size_bytes(session: Session) -> int:
    """Of the session's own database on disk."""
    return int(row(session, "select pg_catalog.pg_database_size(pg_catalog.current_database()) as n")["n"])


def server_version(session: Session) -> int:
    """As `server_version_num`: 180006 is 18.6."""
    return session.info.server_version


def source(session: Session, *, tool_version: str, name: str | None = None) -> Source:
    """Of the session's own database, or of the one with this name beside it."""
    found = row(session, statement("source"), name=name)
    return parse({k: v for k, v in found.items() if k != "oid"} | {"tool_version": tool_version}, Source)


def locale_of(session: Session, name: str) -> tuple[str, str, str, str] | None:
    """Encoding, locale provider, collation and character class of a database beside this one, if it is there."""
    found = session.execute(
        "select pg_catalog.pg_encoding_to_char(d.encoding)::text as encoding, d.datcollate::text as collate,"
        " d.datctype::text as ctype, coalesce(row ->> 'datlocprovider', 'c') as provider"
        " from pg_catalog.pg_database d, lateral pg_catalog.to_jsonb(d) row where d.datname = %s",
        [name],
    ).fetchone()
    return (found["encoding"], found["provider"], found["collate"], found["ctype"]) if found else None


def properties(session: Session, name: str) -> Properties:
    return parse(row(session, statement("properties"), name=name), Properties)


def roles(session: Session) -> tuple[str, ...]:
    return tuple(r["rolname"] for r in session.execute(statement("roles").encode()))


def extensions(session: Session) -> tuple[str, ...]:
    query = "select extname || ' ' || extversion as extension from pg_catalog.pg_extension order by 1"
    return tuple(r["extension"] for r in session.execute(query))


def tables(session: Session) -> tuple[Table, ...]:
    """Every table with rows of its own, by schema and name, with the sizes of this moment."""
    return tuple(
        Table(
            schema=r["schema"],
            name=r["name"],
            is_tree=r["is_tree"],
            columns=tuple(
                Column(name=name, type_name=type_name)
                for name, type_name in zip(r["column_names"], r["column_types"], strict=True)
            ),
            heap_pages=r["heap_pages"],
            page_bytes=r["page_bytes"],
            heap_bytes=r["heap_bytes"],
            toast_bytes=r["toast_bytes"],
            splittable=r["splittable"],
        )
        for r in session.execute(statement("tables").encode())
    )


def encoding(session: Session) -> str:
    """The database's own, as the server names it. In SQL_ASCII nothing has characters, only bytes."""
    return str(session.info.parameter_status("server_encoding"))


def limit_lock_wait(session: Session, wait: timedelta) -> None:
    """Until the transaction ends: whoever waits longer for a lock is told Busy."""
    milliseconds = int(wait / timedelta(milliseconds=1))
    session.execute(sql.SQL("set local lock_timeout = {}").format(milliseconds))


def lock(session: Session, found: Iterable[Table]) -> None:
    """Keep every table from being dropped or rewritten until the transaction ends.

    Raises Busy when a conflicting lock outlasts the limit, Refused naming the table where the role may
    not read it.
    """
    names = [rows_of(table) for table in found]
    if not names:
        return
    tables_sql = sql.SQL(", ").join(names)
    session.execute(sql.SQL("lock table {} in access share mode").format(tables_sql))


def rows_of(table: Table) -> sql.Composed:
    """The table as FROM and LOCK name it: without its heirs, unless it is counted with its partitions."""
    only = sql.SQL("" if table.is_tree else "only ")
    return only + sql.Identifier(table.schema, table.name)


def row_counts(session: Session, found: Sequence[Table]) -> tuple[TableCount, ...]:
    """Exact counts, in one round trip for many."""
    with session.pipeline():
        cursors = [
            session.execute(sql.SQL("select count(*) as n from {}").format(rows_of(table))) for table in found
        ]
        counts = [next(iter(cursor))["n"] for cursor in cursors]
    return tuple(
        TableCount(schema=table.schema, name=table.name, row_count=n)
        for table, n in zip(found, counts, strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceState:
    position: SequencePosition
    ascending: bool
    cycles: bool


def sequences(session: Session) -> tuple[SequenceState, ...]:
    found = session.execute(statement("sequences").encode()).fetchall()
    with session.pipeline():
        cursors = [
            session.execute(
                sql.SQL("select last_value, is_called from {}").format(sql.Identifier(r["schema"], r["name"]))
            )
            for r in found
        ]
        positions = [next(iter(cursor)) for cursor in cursors]
    return tuple(
        SequenceState(
            position=SequencePosition(schema=r["schema"], name=r["name"], **position),
            ascending=r["ascending"],
            cycles=r["cycles"],
        )
        for r, position in zip(found, positions, strict=True)
    )


def first_content(session: Session) -> str | None:
    """Something that somebody has put here, by name; None in an empty database.

    Relations and large objects count. What belongs to an extension does not, nor does a schema or a type.
    """
    found = session.execute(statement("first_content").encode()).fetchone()
    return str(found["what"]) if found else None


def invalid_indexes(session: Session) -> tuple[str, ...]:
    """Without those of partitioned tables: such a one is invalid until every partition has its own."""
    query = """
        select indexrelid::regclass::text as name
          from pg_catalog.pg_index join pg_catalog.pg_class c on c.oid = indexrelid
         where not indisvalid and c.relkind = 'i' order by 1"""
    return tuple(r["name"] for r in session.execute(query))


def is_superuser(session: Session) -> bool:
    return bool(
        row(session, "select rolsuper from pg_catalog.pg_roles where rolname = current_user")["rolsuper"]
    )


def hidden_by_row_security(session: Session) -> tuple[str, ...]:
    """Tables that row-level security would filter for this role: it must not copy them."""
    query = """
        select oid::regclass::text as name from pg_catalog.pg_class
         where relkind in ('r', 'p') and relrowsecurity and pg_catalog.row_security_active(oid)
         order by 1"""
    return tuple(r["name"] for r in session.execute(query))


def unreadable(session: Session) -> tuple[str, ...]:
    """What a snapshot needs and the session's role may not read, each with its kind."""
    return tuple(r["what"] for r in session.execute(statement("unreadable").encode()))


def first_of(names: Sequence[str]) -> str:
    """For people: a few of many names."""
    more = f", and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a swap of a database needs. `out_of_reach` are roles whose sessions we may not end."""

    may_create: bool
    may_rename: bool
    out_of_reach: tuple[str, ...]


def rights(session: Session, name: str) -> Rights:
    """Of the session's role over the database `name`, which need not exist."""
    return parse(row(session, statement("rights"), name=name), Rights)
