"""The data that is copied, the same wherever and whenever it is made: every value follows from its row's number.

event      narrow, most of the rows      document   wide, jsonb, partly out of line
small_001  … one row in a thousand of the rest, with foreign keys to `kind`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

import psycopg
from psycopg import sql

SEED = 20_261_123

SCHEMA: LiteralString = """
create table kind (id int primary key, name text not null unique);
insert into kind select i, 'kind ' || i from generate_series(1, 500) i;
create table event (id bigint not null, kind_id int not null, at timestamptz not null, amount numeric(12, 2) not null,
    flag boolean not null, note text);
create table document (id bigint not null, event_id bigint not null, body jsonb not null);
"""

EVENTS: LiteralString = """
insert into event
select i, 1 + abs(hashint8(i # %(seed)s)) %% 500, '2026-01-01'::timestamptz + i * interval '7 s',
       (abs(hashint8(i + %(seed)s)) %% 10000000) / 100.0, i %% 3 = 0, 'event ' || i || ' ' || md5((i # %(seed)s)::text)
  from generate_series(%(first)s::bigint, %(last)s::bigint) i
"""

DOCUMENTS: LiteralString = """
insert into document
select i, i * 20,
       jsonb_build_object('id', i, 'title', 'document ' || i, 'words', (
           select jsonb_agg(md5((i * 100 + n + %(seed)s)::text) || ' of this and that')
             from generate_series(1, 10 + (case when i %% 50 = 0 then 60 else 0 end)) n))
  from generate_series(%(first)s::bigint, %(last)s::bigint) i
"""

KEYS: LiteralString = """
alter table event add primary key (id);
create index on event (kind_id, at);
alter table event add foreign key (kind_id) references kind;
alter table document add primary key (id);
create index on document using gin (body jsonb_path_ops) where id %% 20 = 0;
alter table document add foreign key (event_id) references event;
"""

CHANGES: Mapping[str, LiteralString] = {
    "unchanged": "select 1",
    "corner": "update event set amount = amount + 1 where id between %(rows)s / 2 and %(rows)s / 2 + %(rows)s / 100",
    "scattered": "update event set amount = amount + 1 where id %% 100 = %(round)s",
    "append": EVENTS,
}
"""What happens between two snapshots."""

ROWS_PER_BATCH = 500_000
ROWS_TO_A_DOCUMENT = 20


def fill(dsn: str, *, rows: int, small_tables: int) -> None:
    """Write it all into an empty database, tidied up and on disk at the end."""
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute("set synchronous_commit = off")
        session.execute("set timezone = 'UTC'")
        session.execute(SCHEMA)
        for first in range(1, rows + 1, ROWS_PER_BATCH):
            last = min(first + ROWS_PER_BATCH - 1, rows)
            session.execute(EVENTS, {"seed": SEED, "first": first, "last": last})
        session.execute(DOCUMENTS, {"seed": SEED, "first": 1, "last": rows // ROWS_TO_A_DOCUMENT})
        add_small_tables(session, small_tables, rows=100)
        session.execute(KEYS.replace("%%", "%"))
    tidy(dsn)


def add_small_tables(session: psycopg.Connection, count: int, *, rows: int, first: int = 1) -> None:
    for number in range(first, first + count):
        table = sql.Identifier(f"small_{number:03}")
        session.execute(
            sql.SQL("create table {} (id int primary key, kind_id int references kind, name text)").format(
                table
            )
        )
        session.execute(
            sql.SQL("insert into {} select i, 1 + i % 500, 'row ' || i from generate_series(1, {}) i").format(
                table, sql.Literal(rows)
            )
        )


def change(dsn: str, what: str, *, rows: int, number: int) -> None:
    """One of CHANGES to a hundredth of the events; `number` is the round's, counted from 1."""
    share = rows // 100
    first = rows + 1 + (number - 1) * share
    values = {"rows": rows, "round": number, "seed": SEED, "first": first, "last": first + share - 1}
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute(CHANGES[what], values)
    tidy(dsn, full=False)


def tidy(dsn: str, *, full: bool = True) -> None:
    """Nothing is left to do that would fall on whoever reads first."""
    with psycopg.connect(dsn, autocommit=True) as session:
        if full:
            session.execute("vacuum (freeze, analyze)")
        else:
            # Hint bits are set by the first reader of changed rows: by us, then.
            session.execute("select count(*), sum(amount) from event")


def size_bytes(dsn: str) -> int:
    with psycopg.connect(dsn) as session:
        row = session.execute("select pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0
