"""The data that is copied, the same wherever and whenever it is made: every value follows from its row's number.

event      narrow, most of the rows      document   wide, jsonb, partly out of line
small_000001 …   a hundred rows each, with foreign keys to `kind`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import LiteralString

import psycopg
from psycopg import sql

from benchmarks.speed.measure import Cost, without_peak
from shared.storage import frames

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

SMALL_TABLES: LiteralString = """
do $$ begin
    for number in {first} .. {last} loop
        execute format(
            'create table %I (id int primary key, kind_id int%s, name varchar(40))',
            'small_' || to_char(number, 'FM000000'), {key}
        );
        execute format(
            'insert into %I select i, 1 + i %% 500, ''row '' || i from generate_series(1, %s) i',
            'small_' || to_char(number, 'FM000000'), {rows}
        );
    end loop;
end $$
"""

CHANGES: Mapping[str, LiteralString] = {
    "unchanged": "select 1",
    "corner": "update event set amount = amount + 1 where id between %(rows)s / 2 and %(rows)s / 2 + %(rows)s / 100",
    "scattered": "update event set amount = amount + 1 where id %% 100 = %(round)s",
    "append": EVENTS,
}
"""What happens between two snapshots."""

CHANGED: Mapping[str, LiteralString] = {
    "corner": "select * from event where id between {rows} / 2 and {rows} / 2 + {rows} / 100",
    "scattered": "select * from event where id % 100 = {round}",
    "append": "select * from event where id between {first} and {last}",
}
"""The rows that were."""

ROWS_PER_BATCH = 500_000
ROWS_TO_A_DOCUMENT = 20


def fill(dsn: str, *, rows: int, small_tables: int) -> None:
    """Write it all into an empty database, tidied up and on disk at the end."""
    begin(dsn)
    with psycopg.connect(dsn, autocommit=True) as session:
        add_small_tables(session, small_tables, rows=100)
    add_rows(dsn, first=1, last=rows)
    build_keys(dsn)
    tidy(dsn)


def begin(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute(SCHEMA)


def add_rows(dsn: str, *, first: int, last: int) -> None:
    """Events of these numbers and the documents that belong to them. Each table by one session, in order."""
    documents = {"first": (first - 1) // ROWS_TO_A_DOCUMENT + 1, "last": last // ROWS_TO_A_DOCUMENT}
    wanted = ((EVENTS, {"first": first, "last": last}), (DOCUMENTS, documents))
    with ThreadPoolExecutor(len(wanted)) as pool:
        for done in [pool.submit(_insert, dsn, query, **numbers) for query, numbers in wanted]:
            done.result()


def _insert(dsn: str, query: LiteralString, *, first: int, last: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute("set synchronous_commit = off")
        session.execute("set timezone = 'UTC'")
        for begins in range(first, last + 1, ROWS_PER_BATCH):
            ends = min(begins + ROWS_PER_BATCH - 1, last)
            session.execute(query, {"seed": SEED, "first": begins, "last": ends})


def build_keys(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute(KEYS.replace("%%", "%"))


def add_small_tables(
    session: psycopg.Connection, count: int, *, rows: int, first: int = 1, with_keys: bool = True
) -> None:
    """With foreign keys to `kind`, if wanted, which take as long to make as the tables."""
    key = " references kind" if with_keys else ""
    numbers = {"first": first, "last": first + count - 1, "rows": rows, "key": key}
    values = {name: sql.Literal(value) for name, value in numbers.items()}
    session.execute(sql.SQL(SMALL_TABLES).format(**values))


def change(dsn: str, what: str, *, rows: int, number: int) -> None:
    """One of CHANGES to a hundredth of the events; `number` is the round's, counted from 1."""
    values = {"seed": SEED} | _numbers(rows, number)
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute(CHANGES[what], values)
    tidy(dsn, full=False)


def changed_rows(dsn: str, what: str, *, rows: int, number: int) -> Cost:
    """How little could be stored: what `change` has changed, read and compressed by itself."""
    numbers = {name: sql.Literal(value) for name, value in _numbers(rows, number).items()}
    copy = sql.SQL("copy ({}) to stdout (format binary)").format(sql.SQL(CHANGED[what]).format(**numbers))
    return without_peak(_compressed(dsn, copy))


def _compressed(dsn: str, copy: sql.Composed) -> Callable[[], int]:
    def act() -> int:
        with psycopg.connect(dsn) as session, session.cursor() as cursor, cursor.copy(copy) as rows:
            return len(frames.frame_of(b"".join(rows), level=1))

    return act


def _numbers(rows: int, number: int) -> dict[str, int]:
    share = rows // 100
    first = rows + 1 + (number - 1) * share
    return {"rows": rows, "round": number, "first": first, "last": first + share - 1}


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
