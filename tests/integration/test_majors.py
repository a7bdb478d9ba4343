"""The same on every supported server, and between majors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from embedded.postgres import Postgres
from shared.domain.job import JobState
from shared.domain.parts import CopyFormat
from shared.postgres import floors
from shared.postgres.dsn import Dsn
from tests.extent import WHOLE
from tests.integration import rich_types
from tests.integration.comparison import assert_same, connect, fingerprint, names, schema_text
from tests.integration.conftest import Inline, RoleMaker
from tests.integration.test_round_trip import fill, rich, succeeded

Maker = Callable[..., str]

EXTENSIONS = """
    create extension pg_trgm;
    comment on extension pg_trgm is 'trusted';
    create index big_trgm on shop.big using gin (filler gin_trgm_ops);
    create extension hstore schema shop;
    create table shop.tags (id int primary key, tags shop.hstore);
    insert into shop.tags select n, shop.hstore('k', repeat('v', 400) || n) from generate_series(1, 20000) n;
    create extension citext;
    create table name (name citext primary key, check (name <> 'Nobody'));
    insert into name values ('Ünï'), ('a');
    create sequence fast as smallint cache 20;
    create table promised (n int unique nulls not distinct, check (n > 0) no inherit);
"""
WITH_TLS = """
    create extension pgcrypto;
    create table sealed as select pgp_sym_encrypt('text', 'key') as body, crypt('x', gen_salt('bf', 4)) as hash;
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


# The name in rich_objects.sql that has every ASCII character which is no letter, digit or blank.
HOSTILE = "".join(c for c in map(chr, range(1, 127)) if not c.isalnum() and c != " ")
SPLIT = {
    ("stable_large", CopyFormat.BINARY),
    ("other_large", CopyFormat.TEXT),
    (HOSTILE, CopyFormat.TEXT),
    ("big", CopyFormat.BINARY),
    ('T a.b "q"\nx ', CopyFormat.TEXT),
    ("event_2026", CopyFormat.BINARY),
    ("wide", CopyFormat.BINARY),
}


def not_built_into(server: Postgres) -> list[str]:
    """Types that PostgreSQL has and this build of it does not."""
    with connect(server, "postgres") as session:
        try:
            session.execute("select '<a/>'::xml")
        except psycopg.errors.FeatureNotSupported:
            return ["xml"]
    return []


def assert_it_comes_back(
    server: Postgres, other: str, url: str, inline: Inline, *, more: str = ""
) -> dict[str, Any]:
    """Everything that an owner can make, and `more`; what the database was found to hold."""
    rich(server, url, other, without=not_built_into(server))
    with connect(server, "postgres") as session:
        built_in = {name for (name,) in session.execute(rich_types.ALL_TYPES).fetchall()}
    assert built_in - rich_types.NOT_STORABLE == rich_types.EXTREMES.keys()
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
    more = EXTENSIONS + WITH_TLS
    assert_it_comes_back(postgres15, role(postgres15), database(postgres15), inline, more=more)


@WHOLE
def test_a_database_of_17_comes_back(
    role: RoleMaker, database: Maker, postgres17: Postgres, inline: Inline
) -> None:
    more = EXTENSIONS + WITH_TLS
    found = assert_it_comes_back(postgres17, role(postgres17), database(postgres17), inline, more=more)
    assert any(line.startswith("CREATE EXTENSION IF NOT EXISTS pg_trgm") for line in found["schema"])


def test_a_database_of_18_comes_back_with_what_is_new_there(
    role: RoleMaker, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    found = assert_it_comes_back(
        postgres, role(postgres), database(postgres), inline, more=EXTENSIONS + FROM_18
    )
    assert found["rows shop.virtual_one"][0] == 50_000


def test_what_was_taken_on_15_is_restored_on_18(
    role: RoleMaker, database: Maker, postgres15: Postgres, postgres: Postgres, inline: Inline
) -> None:
    old, new, same = (Dsn.parse(database(server)) for server in (postgres15, postgres, postgres))
    other = role(postgres15)
    role(postgres, name=other)
    role(postgres, "login createdb password 'secret'", name=old.user)
    for name in (new.dbname, same.dbname):
        with connect(postgres, "postgres") as admin:
            admin.execute(f"alter database {name} owner to {old.user}")
    urls = {
        name: server.dsn(name, user=old.user, password="secret")
        for server, name in ((postgres15, old.dbname), (postgres, new.dbname), (postgres, same.dbname))
    }
    without = not_built_into(postgres)
    rich(postgres15, urls[old.dbname], other, without=without)
    before = fingerprint(postgres15, old.dbname)
    # Newer servers spell views in another way: as they spell those that were made there.
    rich(postgres, urls[same.dbname], other, without=without)
    before["schema"] = unnamed(schema_text(postgres, same.dbname, bin_dir=postgres.bin_dir))
    fleet = inline(urls[old.dbname])
    succeeded(fleet.snapshot())
    fleet.point_at(urls[new.dbname])
    succeeded(fleet.restore())
    found = fingerprint(postgres, new.dbname)
    assert_same(found | {"schema": unnamed(found["schema"])}, before)


def unnamed(schema: list[str]) -> list[str]:
    """Without the names of NOT NULL, which servers before 18 do not have."""
    named = r'CONSTRAINT (?:"(?:[^"]|"")*"|\w+) NOT NULL'
    return re.sub(named, "NOT NULL", "\n".join(schema)).split("\n")


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


def test_a_snapshot_tells_of_tools_and_servers_with_known_holes(
    database: Maker, postgres17: Postgres, postgres: Postgres, inline: Inline
) -> None:
    """The servers at hand are what they are: what is told of them follows from their versions alone."""
    for server in (postgres17, postgres):
        job = succeeded(inline(database(server)).snapshot())
        with psycopg.connect(server.dsn()) as session:
            version = session.info.parameter_status("server_version") or ""
        expected = floors.warnings(tool_version=version, server_version=version)
        assert job.result["warnings"] == list(expected)
