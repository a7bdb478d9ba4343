"""Databases of unusual size, how each is made, what must be the same afterwards, and how it must end."""

from __future__ import annotations

from dataclasses import dataclass, field

ROW_BYTES = 900 * 1000 * 1000
CHARACTERS = ROW_BYTES // 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`make` is run statement by statement; `same` is one query. `ends_with` is the code of the error that
    is right here, or None where the database has to come back. `server` are settings of its own.
    """

    name: str
    make: tuple[str, ...]
    same: str
    ends_with: str | None = None
    server: dict[str, str] = field(default_factory=dict)


def tables(count: int, *, at_once: int = 1000) -> tuple[str, ...]:
    """Each with one row; a tenth with an index and a sequence."""
    return tuple(
        f"""do $$ begin for i in {first} .. {min(count, first + at_once) - 1} loop
                execute format('create table t%1$s as select %1$s as v', i);
                if i % 10 = 0 then execute format('alter table t%s add id serial primary key', i); end if;
            end loop; end $$"""
        for first in range(0, count, at_once)
    )


LARGE_OBJECTS_SAME = "select count(*), sum(hashtextextended(encode(lo_get(oid), 'hex'), oid::bigint)) from pg_largeobject_metadata"
ROW_SAME = "select n, octet_length(body), encode(sha256(body), 'hex') from one order by n"
TEXT_SAME = "select n, octet_length(body), md5(body) from one order by n"
BYTEA = (
    "create table one (n int, body bytea{more})",
    "alter table one alter body set storage external",
    f"insert into one (n, body) select 1, convert_to(repeat(md5('a'), {CHARACTERS}), 'UTF8')",
    "insert into one (n, body) values (2, 'small')",
)
MOOD = "create type mood as enum ('a')"

CASES = (
    Case(
        name="10,000 tables",
        make=tables(10_000),
        same="select count(*), sum(reltuples) from pg_catalog.pg_class where relkind = 'r' and relnamespace = 2200",
        server={"max_locks_per_transaction": "256"},
    ),
    Case(
        name="10,000 tables, and locks for fewer",
        make=tables(10_000, at_once=200),
        same="select 1",
        ends_with="too_many_locks",
        server={"max_locks_per_transaction": "10", "max_connections": "100"},
    ),
    Case(
        name="50,000 large objects",
        make=(
            "select lo_from_bytea(0, convert_to('object ' || n, 'UTF8')) from generate_series(1, 50000) n",
        ),
        same=LARGE_OBJECTS_SAME,
        server={"max_locks_per_transaction": "1024"},
    ),
    Case(
        name="a row of 900 MB, bytea, in binary",
        make=tuple(statement.format(more="") for statement in BYTEA),
        same=ROW_SAME,
    ),
    Case(
        name="a row of 900 MB, text, in binary",
        make=(
            "create table one (n int, body text)",
            "alter table one alter body set storage external",
            f"insert into one (n, body) select 1, repeat(md5('a'), {CHARACTERS})",
        ),
        same=TEXT_SAME,
    ),
    Case(
        name="a row of 900 MB, bytea, beside an enum: as text",
        make=(MOOD, *(statement.format(more=", m mood") for statement in BYTEA)),
        same=ROW_SAME,
        ends_with="row_too_large",
    ),
)
