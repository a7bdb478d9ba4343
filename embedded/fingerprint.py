"""What a database is, in so few characters that two of them can be compared by eye.

A reader of its own: it shares no code with what takes snapshots and brings them back, so that a
mistake there cannot hide itself here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

_STRUCTURE = Path(__file__).with_name("fingerprint.sql")
_SHOWN = 12
# What decides how a value is written. Fixed, since the database's own settings are among what is compared.
_PREAMBLE: tuple[LiteralString, ...] = (
    "set local search_path = ''",
    "set local timezone = 'UTC'",
    "set local datestyle = 'ISO, YMD'",
    "set local intervalstyle = 'postgres'",
    "set local extra_float_digits = 1",
    "set local bytea_output = 'hex'",
    "set local row_security = off",
)
# A sum does not depend on the order of the rows, and counts those that are there twice.
_ROWS = "select count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) from only {} t"
_LARGE_OBJECTS = "select oid, length(lo_get(oid)), md5(lo_get(oid)) from pg_largeobject_metadata order by oid"
_WITH_ROWS = """
    select nspname, relname from pg_class c join pg_namespace n on n.oid = relnamespace
     where relkind = any(%s) and relispopulated and nspname !~ '^pg_' and nspname <> 'information_schema'
     order by nspname, relname"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """One digest per table, materialized view, sequence and large object, and per kind of definition."""

    items: Mapping[str, str]
    rows: int

    def __str__(self) -> str:
        """All of it in twelve characters."""
        return _digest(f"{name} {digest}" for name, digest in self.items.items())

    def differences(self, other: Fingerprint) -> tuple[str, ...]:
        """Names of what differs, is missing, or is there only in the other."""
        names = sorted(self.items.keys() | other.items.keys())
        return tuple(name for name in names if self.items.get(name) != other.items.get(name))


def take(dsn: str) -> Fingerprint:
    """Read everything in the database, in one moment. For an owner of all that is in it, or a superuser."""
    with psycopg.connect(dsn) as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.read_only = True
        return read(session)


def read(session: psycopg.Connection[tuple[object, ...]]) -> Fingerprint:
    """The same within a transaction of the caller's; for as long as it lasts its settings are ours."""
    for statement in _PREAMBLE:
        session.execute(statement)
    items: dict[str, str] = {}
    total = 0
    for name, table in _named(session, ["r", "m"]):
        count, digest = _row(session, sql.SQL(_ROWS).format(table))
        items[name] = f"{count} {digest}"
        total += int(str(count))
    for name, sequence in _named(session, ["S"]):
        items[f"position of {name}"] = str(
            _row(session, sql.SQL("select last_value, is_called from {}").format(sequence))
        )
    for oid, length, digest in session.execute(_LARGE_OBJECTS):
        items[f"large object {oid}"] = f"{length} {digest}"
    return Fingerprint(items=items | _structure(session), rows=total)


def _structure(session: psycopg.Connection[tuple[object, ...]]) -> dict[str, str]:
    lines: dict[str, list[str]] = {}
    for kind, line in session.execute(_STRUCTURE.read_text()):
        lines.setdefault(str(kind), []).append(str(line))
    return {kind: _digest(found) for kind, found in lines.items()}


def _named(
    session: psycopg.Connection[tuple[object, ...]], kinds: list[str]
) -> list[tuple[str, sql.Identifier]]:
    found = session.execute(_WITH_ROWS, (kinds,)).fetchall()
    return [(f"{schema}.{name}", sql.Identifier(str(schema), str(name))) for schema, name in found]


def _row(session: psycopg.Connection[tuple[object, ...]], query: sql.Composed) -> tuple[object, ...]:
    row = session.execute(query).fetchone()
    if row is None:
        raise RuntimeError("an aggregate answered nothing")
    return row


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:_SHOWN]
