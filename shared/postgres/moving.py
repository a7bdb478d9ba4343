"""Tables on their way from a side database into the live one: what comes along, under which names.

In the side database nothing is anybody's, so the renaming happens there. The live one only ever sees whole
tables under new names, each with a mark in its comment that says which job made it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from shared.domain.table_names import TableName
from shared.postgres.session import Session, statement

HAS_ROWS = frozenset({"r", "p"})
"""Kinds of relations that can be brought back on their own: tables, and partitioned ones as a whole."""

KINDS = {
    "r": "a table",
    "p": "a partitioned table",
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
    "I": "an index",
    "c": "a type",
}

MISSING = (
    psycopg.errors.UndefinedObject,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.WrongObjectType,
    psycopg.errors.InvalidParameterValue,
)

RENAME = {
    "table": "alter table {} rename to {}",
    "index": "alter index {} rename to {}",
    "sequence": "alter sequence {} rename to {}",
    "statistics": "alter statistics {} rename to {}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    oid: int
    schema: str
    name: str
    relkind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Something that moves. `listed` is how the list of an archive spells a table."""

    kind: str
    oid: int
    schema: str
    name: str
    relkind: str
    listed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something that what moves depends on, and that must be there already."""

    type: str
    object_names: list[str]
    object_args: list[str]
    said: str


def find(session: Session, wanted: TableName) -> tuple[Relation, ...]:
    """Everything of this name, whatever it is; in all schemas where none is given."""
    rows = session.execute(statement("find_tables").encode(), {"schema": wanted.schema, "name": wanted.name})
    return tuple(Relation(**row) for row in rows)


def members(session: Session, roots: Collection[int]) -> tuple[Member, ...]:
    """The tables, their partitions, and all that belongs to them alone."""
    rows = session.execute(statement("table_members").encode(), {"roots": list(roots)})
    return tuple(Member(**row | {"listed": bytes(row["listed"])}) for row in rows)


def cut_loose(session: Session, tables: Collection[int]) -> None:
    """Take them out of what they are a partition or an heir of, unless that comes along.

    Created anew beside its live parent a partition would become one of its partitions.
    """
    bonds = session.execute(
        "select i.inhrelid::regclass::text as child, i.inhparent::regclass::text as parent, c.relispartition"
        " from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid"
        " where c.relkind in ('r', 'p', 'f') and i.inhrelid = any(%s) and i.inhparent <> all(%s)",
        [list(tables), list(tables)],
    ).fetchall()
    for bond in bonds:
        # Spelt by the server itself, qualified and quoted.
        child, parent = sql.SQL(bond["child"]), sql.SQL(bond["parent"])
        if bond["relispartition"]:
            session.execute(sql.SQL("alter table {} detach partition {}").format(parent, child))
        else:
            session.execute(sql.SQL("alter table {} no inherit {}").format(child, parent))


def names_in(session: Session, schemas: Collection[str]) -> frozenset[tuple[str, str]]:
    """Every (schema, name) that a new table, index, sequence or statistics could collide with."""
    rows = session.execute(
        "select n.nspname as schema, taken.name from pg_catalog.pg_namespace n join ("
        " select relnamespace as space, relname as name from pg_catalog.pg_class"
        " union select typnamespace, typname from pg_catalog.pg_type"
        " union select stxnamespace, stxname from pg_catalog.pg_statistic_ext"
        ") taken on taken.space = n.oid where n.nspname = any(%s)",
        [list(schemas)],
    )
    return frozenset((row["schema"], row["name"]) for row in rows)


def rename(session: Session, moving: Sequence[Member], names: Iterable[tuple[int, str]]) -> None:
    """Give each its new name; what has it already is left as it is."""
    by_oid = {member.oid: member for member in moving}
    for oid, name in names:
        member = by_oid[oid]
        if member.name != name:
            session.execute(
                sql.SQL(RENAME[member.kind]).format(
                    sql.Identifier(member.schema, member.name), sql.Identifier(name)
                )
            )


def make_room(session: Session, schema: str, name: str, *, keep: Collection[int]) -> None:
    """Rename what has this name in the side database and does not move; the next to move gets it."""
    for found in find(session, TableName(schema=schema, name=name)):
        if found.oid not in keep:
            kind = "type" if found.relkind == "c" else "table"
            session.execute(
                sql.SQL("alter {} {} rename to {}").format(
                    sql.SQL(kind), sql.Identifier(schema, name), sql.Identifier(f"snapfleet_{found.oid}")
                )
            )


def mark(session: Session, schema: str, name: str, *, remark: str) -> None:
    """Add a line to a table's comment; once, however often."""
    table = sql.Identifier(schema, name)
    said = comment(session, schema, name)
    if said is None or not said.endswith(remark):
        text = remark if said is None else f"{said}\n{remark}"
        session.execute(sql.SQL("comment on table {} is {}").format(table, sql.Literal(text)))


def comment(session: Session, schema: str, name: str) -> str | None:
    """A table's comment; None where there is none, or no such table."""
    row = session.execute(
        "select pg_catalog.obj_description(c.oid, 'pg_class') as said from pg_catalog.pg_class c"
        " join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = %s and c.relname = %s",
        [schema, name],
    ).fetchone()
    return row["said"] if row else None


def schemas(session: Session) -> frozenset[str]:
    return frozenset(row["nspname"] for row in session.execute("select nspname from pg_catalog.pg_namespace"))


def analyze(session: Session, schema: str, name: str) -> None:
    """So that whatever is asked of a new table next is planned by what is in it."""
    session.execute(sql.SQL("analyze {}").format(sql.Identifier(schema, name)))


def needs(session: Session, relations: Collection[int]) -> tuple[Need, ...]:
    rows = session.execute(statement("table_needs").encode(), {"relations": list(relations)})
    return tuple(Need(**row) for row in rows)


def missing(session: Session, wanted: Iterable[Need]) -> tuple[str, ...]:
    """Of what is needed, what this database does not have; in words."""
    return tuple(need.said for need in wanted if not _is_there(session, need))


def _is_there(session: Session, need: Need) -> bool:
    values: list[Any] = [need.type, need.object_names, need.object_args]
    try:
        with session.transaction():
            session.execute("select pg_catalog.pg_get_object_address(%s, %s, %s)", values)
    except MISSING:
        return False
    return True


def drop(session: Session, tables: Sequence[tuple[str, str]]) -> None:
    """Drop them together: a foreign key between two of them is no obstacle."""
    if tables:
        names = sql.SQL(", ").join(sql.Identifier(schema, name) for schema, name in tables)
        session.execute(sql.SQL("drop table {}").format(names))
