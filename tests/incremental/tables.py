"""The tables that the statements are about: each larger than what a snapshot leaves in one piece.

rows      plain, with room on its pages for updates in place
docs      a short row with a long value out of line
typed     an enum and a composite: copied as text, which their definitions decide too
metrics   partitioned; `metrics_1` holds what is there at first
loose     of the same shape as `twin`: rewritten, unlogged, swapped, dropped and made anew;
              at times each of its rows names `named`
"""

from __future__ import annotations

MANY = 26_000
LONG = 480
"""Rows of `docs`: each has some 20 kB out of line."""
ENOUGH_BYTES = 8_900_000
"""What has become smaller is filled up again before it would leave the tables that are split."""

TABLES = ("rows", "docs", "typed", "metrics_1", "loose", "twin")
SHORT = "repeat(md5(i::text), 10)"
PAIR = """jsonb_populate_record(null::pair, '{"a": 1, "b": "two"}')"""

FILLS = {
    "rows": f"insert into rows (id, v, n) select i, {SHORT}, i from generate_series(1, {MANY}) i",
    "docs": "insert into docs (id, n, body)"
    f" select i, i, repeat(md5(i::text), 640) from generate_series(1, {LONG}) i",
    "typed": "insert into typed (id, s, p, at, c)"
    f" select i, (enum_range(null::mood))[1 + i % 2], {PAIR},"
    f" timestamp '2026-01-01' + i * interval '1 s', left({SHORT}, 290) from generate_series(1, {MANY}) i",
    "metrics_1": f"insert into metrics (id, v) select i, {SHORT} from generate_series(1, {MANY}) i",
    "loose": f"insert into loose (id, v) select i, {SHORT} from generate_series(1, {MANY}) i",
    "twin": f"insert into twin (id, v) select i, 'twin ' || {SHORT} from generate_series(1, {MANY}) i",
}

MAKE_LOOSE = "create table loose (id int primary key, v text)"

MAKE = (
    "create table rows (id int primary key, v text, n int) with (fillfactor = 80)",
    "create table docs (id int primary key, n int, body text)",
    "alter table docs alter body set storage external",
    "create type mood as enum ('glad', 'sad')",
    "create type pair as (a int, b text)",
    "create table named ()",
    "create table typed (id int primary key, s mood, p pair, at timestamp, c varchar(300))",
    "create table metrics (id int primary key, v text) partition by range (id)",
    "create table metrics_1 partition of metrics for values from (0) to (1000000)",
    "create table metrics_2 partition of metrics for values from (1000000) to (maxvalue)",
    MAKE_LOOSE,
    "create table twin (id int primary key, v text)",
)


def fill(table: str) -> str:
    """What is missing of the rows that it began with."""
    return f"{FILLS[table]} on conflict do nothing"
