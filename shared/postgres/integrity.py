"""Look whether what a database promises is so: rows behind foreign keys, sequences, indexes. Changes nothing.

Each look at rows ends after a time that the caller gives; what was not looked at is said and not guessed.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import psycopg
from psycopg import sql

from shared.domain.manifest import parse
from shared.postgres.dsn import Dsn
from shared.postgres.inspection import row
from shared.postgres.session import Session, connected, limited, statement

ENOUGH = 1_000
"""Rows that are counted behind one foreign key; there may be more."""

SAMPLED_BYTES = 1_000_000_000
"""Of a larger table only a sample of about this size is looked at."""


DAMAGED = frozenset({"XX001", "XX002"})
"""Data, or an index, that contradicts itself."""


class NotSeen(Exception):
    """This was not looked at; the text says why."""


class Unreadable(NotSeen):
    """The server has found it damaged when it looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    oid: int
    name: str
    child_schema: str
    child_name: str
    child_is_tree: bool
    child_bytes: int | None
    parent_schema: str
    parent_name: str
    parent_is_tree: bool
    is_full: bool
    is_temporal: bool
    child_columns: tuple[str, ...]
    parent_columns: tuple[str, ...]
    operator_schemas: tuple[str, ...]
    operators: tuple[str, ...]
    is_disabled: bool

    @property
    def share(self) -> float | None:
        """The per cent of its rows to look at; None for all."""
        if (self.child_bytes or 0) <= SAMPLED_BYTES:
            return None
        return 100 * SAMPLED_BYTES / (self.child_bytes or SAMPLED_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceColumn:
    schema: str
    name: str
    table_schema: str
    table_name: str
    column_name: str
    increment: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    checksum_failures: int
    transactions: int
    multixacts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    oid: int
    name: str


@contextmanager
def looking(dsn: Dsn, *, application_name: str) -> Generator[Session]:
    """A session that can change nothing, waits for no lock for long, and shares its transactions with nobody."""
    with connected(dsn, application_name=application_name) as session:
        session.execute("set default_transaction_read_only = on")
        session.execute("set lock_timeout = '2s'")
        yield session


@contextmanager
def within(session: Session, patience: timedelta) -> Generator[None]:
    """Each statement in here may take so long. Raises NotSeen for what is too slow, or not for us to see."""
    try:
        with limited(session, patience):
            yield
    except psycopg.errors.QueryCanceled as exc:
        raise NotSeen(f"not within {patience.total_seconds():.0f} s") from exc
    except psycopg.errors.LockNotAvailable as exc:
        raise NotSeen("somebody holds a lock on it") from exc
    except psycopg.errors.InsufficientPrivilege as exc:
        raise NotSeen("this role may not read it") from exc
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedColumn,
        psycopg.errors.UndefinedObject,
    ) as exc:
        raise NotSeen("it is gone") from exc
    except psycopg.Error as exc:
        if session.closed or exc.sqlstate is None:
            raise
        kind = Unreadable if exc.sqlstate in DAMAGED else NotSeen
        raise kind(exc.diag.message_primary or exc.sqlstate) from exc


def uncounted_indexes(session: Session) -> tuple[str, ...]:
    """Those of partitioned tables that are invalid, though every partition has a valid one of its own in them."""
    query = """
        select i.indexrelid::regclass::text as name
          from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
         where not i.indisvalid and c.relkind = 'I'
           and not exists (
                select from pg_catalog.pg_inherits partition
                 where partition.inhparent = i.indrelid
                   and not exists (
                        select from pg_catalog.pg_inherits part
                          join pg_catalog.pg_index own on own.indexrelid = part.inhrelid
                         where part.inhparent = i.indexrelid
                           and own.indrelid = partition.inhrelid and own.indisvalid))
         order by 1"""
    return tuple(r["name"] for r in session.execute(query))


def unvalidated_constraints(session: Session) -> tuple[str, ...]:
    """As `table: constraint`; those that nobody enforces by their definition are left out."""
    query = """
        select conrelid::regclass || ': ' || conname as name
          from pg_catalog.pg_constraint con
         where not convalidated and conparentid = 0 and conrelid <> 0
           and coalesce((pg_catalog.to_jsonb(con) ->> 'conenforced')::bool, true)
         order by 1"""
    return tuple(r["name"] for r in session.execute(query))


def unlogged_tables(session: Session) -> tuple[str, ...]:
    query = """
        select oid::regclass::text as name from pg_catalog.pg_class
         where relkind in ('r', 'p') and relpersistence = 'u' order by 1"""
    return tuple(r["name"] for r in session.execute(query))


def health(session: Session) -> Health:
    return parse(row(session, statement("health")), Health)


def foreign_keys(session: Session) -> tuple[ForeignKey, ...]:
    return parse(session.execute(statement("foreign_keys").encode()).fetchall(), tuple[ForeignKey, ...])


def orphans(session: Session, key: ForeignKey) -> int:
    """Rows that refer to none, up to `ENOUGH`; of a very large table, those in a sample."""
    pairs = zip(key.child_columns, key.parent_columns, key.operator_schemas, key.operators, strict=True)
    match = sql.SQL(" and ").join(
        sql.SQL("p.{} operator({}.{}) c.{}").format(
            sql.Identifier(parent), sql.Identifier(schema), sql.SQL(operator), sql.Identifier(child)
        )
        for child, parent, schema, operator in pairs
    )
    # MATCH FULL allows no row that refers with some columns only: one that does has no match either.
    refers = sql.SQL(" or " if key.is_full else " and ").join(
        sql.SQL("c.{} is not null").format(sql.Identifier(child)) for child in key.child_columns
    )
    sample = (
        sql.SQL("")
        if key.share is None
        else sql.SQL("tablesample system ({})").format(sql.Literal(key.share))
    )
    query = sql.SQL(
        "select count(*) as n from (select 1 from {child} c {sample} where ({refers})"
        " and not exists (select 1 from {parent} p where {match}) limit {enough}) orphan"
    ).format(
        child=named(key.child_schema, key.child_name, is_tree=key.child_is_tree),
        sample=sample,
        refers=refers,
        parent=named(key.parent_schema, key.parent_name, is_tree=key.parent_is_tree),
        match=match,
        enough=ENOUGH,
    )
    found = session.execute(query).fetchone()
    return int(found["n"]) if found else 0


def named(schema: str, name: str, *, is_tree: bool) -> sql.Composed:
    """Without its heirs: a foreign key is not theirs, unless they are partitions."""
    return sql.SQL("" if is_tree else "only ") + sql.Identifier(schema, name)


def sequence_columns(session: Session) -> tuple[SequenceColumn, ...]:
    return parse(
        session.execute(statement("sequence_columns").encode()).fetchall(), tuple[SequenceColumn, ...]
    )


def behind(session: Session, filling: SequenceColumn) -> int | None:
    """How many values that lie ahead of the sequence its column has passed already; None if none."""
    position = session.execute(
        sql.SQL("select last_value, is_called from {}").format(sql.Identifier(filling.schema, filling.name))
    ).fetchone()
    outermost = sql.SQL("max" if filling.increment > 0 else "min")
    query = sql.SQL("select {}({})::bigint as value from {}").format(
        outermost,
        sql.Identifier(filling.column_name),
        sql.Identifier(filling.table_schema, filling.table_name),
    )
    reached = session.execute(query).fetchone()
    if position is None or reached is None or reached["value"] is None:
        return None
    next_value = position["last_value"] + (filling.increment if position["is_called"] else 0)
    ahead = (reached["value"] - next_value) * (1 if filling.increment > 0 else -1)
    return ahead + 1 if ahead >= 0 else None


def amcheck_schema(session: Session) -> str | None:
    """Where amcheck is installed in this database; None where it is not."""
    query = "select extnamespace::regnamespace::text as name from pg_catalog.pg_extension where extname = 'amcheck'"
    found = session.execute(query).fetchone()
    return str(found["name"]) if found else None


def btree_indexes(session: Session) -> tuple[Index, ...]:
    return parse(session.execute(statement("btree_indexes").encode()).fetchall(), tuple[Index, ...])


def damage(session: Session, index: Index, *, schema: str) -> str | None:
    """What amcheck says of an index; None where it is sound."""
    query = sql.SQL("select {}.bt_index_check({}::oid::regclass)").format(
        sql.SQL(schema), sql.Literal(index.oid)
    )
    try:
        session.execute(query)
    except psycopg.Error as exc:
        # Whatever contradicts itself is told by one of the class of internal errors.
        if exc.sqlstate is None or not exc.sqlstate.startswith("XX"):
            raise
        return exc.diag.message_primary or exc.sqlstate
    return None
