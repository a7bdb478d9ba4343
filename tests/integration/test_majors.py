"""The same on every supported server, between majors, and whatever settings hurt a plain client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg import sql

from embedded.postgres import Postgres
from shared.domain.job import JobState
from shared.domain.parts import CopyFormat
from shared.postgres.dsn import Dsn
from tests.integration.comparison import assert_same, connect, fingerprint, names
from tests.integration.conftest import Inline, RoleMaker
from tests.integration.test_round_trip import fill, rich, succeeded

Maker = Callable[..., str]

FROM_17 = """
    create extension pg_trgm;
    comment on extension pg_trgm is 'trusted';
    create index big_trgm on shop.big using gin (filler gin_trgm_ops);
    create extension hstore schema shop;
    create table shop.tags (id int primary key, tags shop.hstore);
    insert into shop.tags select n, shop.hstore('k', repeat('v', 400) || n) from generate_series(1, 20000) n;
    create sequence fast as smallint cache 20;
    create table promised (n int unique nulls not distinct, check (n > 0) no inherit);
"""
FROM_18 = """
    create table virtual_one (a int, b int generated always as (a * 2) virtual, c text not null);
    insert into virtual_one (a, c) select n, repeat(md5(n::text), 6) from generate_series(1, 50000) n;
    create table only_virtual (b int generated always as (2) virtual);
    insert into only_virtual default values;
    create table periods (id int4range, during daterange, primary key (id, during without overlaps));
    insert into periods values ('[1,2)', '[2026-01-01,2026-02-01)');
    alter table virtual_one add constraint late not null a not valid, add check (a > 0) not enforced;
"""


SPLIT = {
    ("big", CopyFormat.BINARY),
    ('T a.b "q"\nx ', CopyFormat.TEXT),
    ("event_2026", CopyFormat.BINARY),
    ("wide", CopyFormat.BINARY),
}


def assert_it_comes_back(
    server: Postgres, other: str, url: str, inline: Inline, *, more: str = ""
) -> dict[str, Any]:
    """Everything that an owner can make, and `more`; what the database was found to hold."""
    rich(server, url, other)
    fill(url, more)
    name = Dsn.parse(url).dbname
    before = fingerprint(server, name)
    fleet = inline(url)
    manifest = fleet.manifest(succeeded(fleet.snapshot()))
    assert {(part.spec.table, part.spec.format) for part in manifest.parts} >= SPLIT
    fill(url, "drop schema shop cascade; drop publication if exists changes; create table stray (n int)")
    with connect(server, name) as session:
        session.execute(sql.SQL("alter database {} reset all").format(sql.Identifier(name)))
    succeeded(fleet.restore())
    assert_same(fingerprint(server, name), before)
    return before


def test_a_database_of_15_comes_back(
    role: RoleMaker, database: Maker, postgres15: Postgres, inline: Inline
) -> None:
    assert_it_comes_back(postgres15, role(postgres15), database(postgres15), inline)


def test_a_database_of_17_comes_back_with_its_extensions(
    role: RoleMaker, database: Maker, postgres17: Postgres, inline: Inline
) -> None:
    found = assert_it_comes_back(postgres17, role(postgres17), database(postgres17), inline, more=FROM_17)
    assert any(line.startswith("CREATE EXTENSION IF NOT EXISTS pg_trgm") for line in found["schema"])


def test_a_database_of_18_comes_back_with_what_is_new_there(
    role: RoleMaker, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    found = assert_it_comes_back(postgres, role(postgres), database(postgres), inline, more=FROM_17 + FROM_18)
    assert found["rows shop.virtual_one"][0] == 50_000


def test_what_was_taken_on_15_is_restored_on_18(
    role: RoleMaker, database: Maker, postgres15: Postgres, postgres: Postgres, inline: Inline
) -> None:
    old, new = Dsn.parse(database(postgres15)), Dsn.parse(database(postgres))
    other = role(postgres15)
    role(postgres, name=other)
    role(postgres, "login createdb password 'secret'", name=old.user)
    with connect(postgres, "postgres") as admin:
        admin.execute(f'grant set on parameter my_app."Odd" to {old.user}')
        admin.execute(f"alter database {new.dbname} owner to {old.user}")
    rich(postgres15, postgres15.dsn(old.dbname, user=old.user, password="secret"), other)
    before = fingerprint(postgres15, old.dbname, bin_dir=postgres.bin_dir)
    fleet = inline(postgres15.dsn(old.dbname, user=old.user, password="secret"))
    succeeded(fleet.snapshot())
    fleet.point_at(postgres.dsn(new.dbname, user=old.user, password="secret"))
    succeeded(fleet.restore())
    after = fingerprint(postgres, new.dbname)
    for found in (before, after):  # servers before 16 name a view's table in front of each of its columns
        found["schema"] = [line.replace("big.", "") for line in found["schema"]]
    assert_same(after, before)


def test_what_was_taken_on_18_is_not_restored_on_15(
    database: Maker, postgres15: Postgres, postgres: Postgres, inline: Inline
) -> None:
    new, old = database(postgres), database(postgres15)
    fleet = inline(new)
    succeeded(fleet.snapshot())
    fill(old, "create table mine as select 1 as n")
    before, there = fingerprint(postgres15, Dsn.parse(old).dbname), names(postgres15)
    fleet.point_at(old)
    job = fleet.restore()
    assert job.state is JobState.ROLLED_BACK
    assert job.error is not None
    assert job.error["code"] == "server_older"
    assert job.error["hint"]
    assert_same(fingerprint(postgres15, Dsn.parse(old).dbname), before)
    assert names(postgres15) == there


HURTFUL = {
    "statement_timeout": "20ms",
    "lock_timeout": "20ms",
    "idle_in_transaction_session_timeout": "20ms",
    "idle_session_timeout": "20ms",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "row_security": "off",
    "search_path": 'no such, schema"',
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "TimeZone": "Asia/Kathmandu",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "default_toast_compression": "pglz",
    "constraint_exclusion": "on",
    "check_function_bodies": "on",
    "client_min_messages": "debug5",
    "xmloption": "document",
    "default_tablespace": "pg_default",
    "plan_cache_mode": "force_generic_plan",
    "enable_tidscan": "off",
    "max_parallel_workers_per_gather": "4",
}


def test_settings_of_a_database_do_not_hurt(
    role: RoleMaker, database: Maker, postgres15: Postgres, inline: Inline
) -> None:
    assert_unhurt("database", postgres15, role(postgres15), database(postgres15), inline)


def test_settings_of_a_role_do_not_hurt(
    role: RoleMaker, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    assert_unhurt("role", postgres, role(postgres), database(postgres), inline)


def assert_unhurt(of: str, server: Postgres, other: str, url: str, inline: Inline) -> None:
    dsn = Dsn.parse(url)
    rich(server, url, other)
    what, name = sql.SQL(of), sql.Identifier(dsn.user if of == "role" else dsn.dbname)
    hurtful = HURTFUL | ({"transaction_timeout": "20ms"} if server.major >= 17 else {})
    with connect(server, "postgres") as admin:
        for setting, value in hurtful.items():
            admin.execute(
                sql.SQL("alter {} {} set {} to {}").format(what, name, sql.Identifier(setting), value)
            )
    before = fingerprint(server, dsn.dbname)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    with connect(server, dsn.dbname) as admin:
        admin.execute("drop schema shop cascade")
    succeeded(fleet.restore())
    assert_same(fingerprint(server, dsn.dbname), before)
