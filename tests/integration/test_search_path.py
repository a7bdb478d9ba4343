"""Databases whose objects find what they name only under a search_path: brought back, or named."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from embedded.postgres import Postgres
from shared.domain.job import JobState
from shared.postgres.dsn import Dsn
from tests.integration.comparison import assert_same, connect, fingerprint, nothing_changes
from tests.integration.conftest import Inline, RoleMaker
from tests.integration.inline_fleet import refused
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]

# The last view is filled from the first one, and sorts before it; names are as odd as they may be.
VIEWS = """
    create schema app;
    set search_path = app, public;
    create table word (w text);
    insert into word select 'word ' || n from generate_series(1, 50) n;
    create function words() returns bigint language plpgsql stable as 'begin return (select count(*) from word); end';
    create materialized view "z "";
REFRESH MATERIALIZED VIEW app.unfilled;
ü" as select words() as n;
    create unique index on "z "";
REFRESH MATERIALIZED VIEW app.unfilled;
ü" (n);
    create materialized view a as select n + 1 as n, words() as again from "z "";
REFRESH MATERIALIZED VIEW app.unfilled;
ü";
    create materialized view plain as select count(*) from word;
    create materialized view unfilled as select words() as n with no data;
"""


@pytest.mark.parametrize("of", ["database", "role", "role {user} in database"])
def test_views_are_filled_under_the_search_path_of_the_database_or_the_role(
    of: str, database: Maker, postgres15: Postgres, inline: Inline
) -> None:
    url = database(postgres15)
    dsn = Dsn.parse(url)
    fill(url, VIEWS)
    what = f"{of.format(user=dsn.user)} {dsn.user if of == 'role' else dsn.dbname}"
    fill(url, f"alter {what} set search_path = app, public")
    before = fingerprint(postgres15, dsn.dbname)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    fill(url, "drop schema app cascade")
    succeeded(fleet.restore())
    assert_same(fingerprint(postgres15, dsn.dbname), before)
    with connect(postgres15, dsn.dbname) as session:
        assert session.execute("select n, again from app.a").fetchall() == [(51, 50)]
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            session.execute("select * from app.unfilled")


def test_a_view_that_no_search_path_helps_is_named(
    database: Maker, postgres15: Postgres, inline: Inline
) -> None:
    url = database(postgres15)
    fill(url, VIEWS)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    with nothing_changes(postgres15, Dsn.parse(url).dbname):
        refused(fleet.restore(), "view_not_filled", "app.", 'relation "word" does not exist')


def test_a_view_that_needs_a_search_path_is_named_where_the_server_allows_none(
    role: RoleMaker, database: Maker, postgres15: Postgres, postgres: Postgres, inline: Inline
) -> None:
    """From 17 on PostgreSQL itself fills views under a search_path of its own."""
    old, new = Dsn.parse(database(postgres15)), Dsn.parse(database(postgres))
    role(postgres, "login createdb password 'secret'", name=old.user)
    url = postgres15.dsn(old.dbname, user=old.user, password="secret")
    fill(url, VIEWS)
    fill(url, f"alter database {old.dbname} set search_path = app, public")
    with connect(postgres, "postgres") as admin:
        admin.execute(f"alter database {new.dbname} owner to {old.user}")
    fleet = inline(url)
    succeeded(fleet.snapshot())
    fleet.point_at(postgres.dsn(new.dbname, user=old.user, password="secret"))
    with nothing_changes(postgres, new.dbname):
        refused(fleet.restore(), "view_not_filled", "app.")
    fill(url, "alter function app.words() set search_path = app")
    fleet.point_at(url)
    succeeded(fleet.snapshot())
    fleet.point_at(postgres.dsn(new.dbname, user=old.user, password="secret"))
    succeeded(fleet.restore())


def test_a_function_in_an_index_that_needs_a_search_path_is_named(
    database: Maker, postgres15: Postgres, inline: Inline
) -> None:
    url = database(postgres15)
    fill(
        url,
        """create function half(int) returns int language sql immutable as 'select $1 / 2';
        create function quarter(int) returns int language plpgsql immutable as 'begin return half(half($1)); end';
        create table t as select 4 as n;
        create index by_quarter on t (quarter(n))""",
    )
    fleet = inline(url)
    succeeded(fleet.snapshot())
    with nothing_changes(postgres15, Dsn.parse(url).dbname):
        job = fleet.restore()
        refused(job, "name_not_found", "half(integer) does not exist", "public.quarter(integer)")
    assert job.state is JobState.ROLLED_BACK


def test_a_function_in_a_constraint_of_a_large_table_that_needs_a_search_path_is_named(
    database: Maker, postgres15: Postgres, inline: Inline
) -> None:
    url = database(postgres15)
    fill(
        url,
        """create table allowed as select 7 as n;
        create function is_allowed(int) returns bool language plpgsql as
            'begin return exists (select 1 from allowed where n = $1); end';
        create table large (n int check (is_allowed(n)), filler text);
        alter table large alter filler set storage external;
        insert into large select 7, repeat(n::text, 1000000) from generate_series(1, 9) n""",
    )
    fleet = inline(url)
    succeeded(fleet.snapshot())
    with nothing_changes(postgres15, Dsn.parse(url).dbname):
        refused(fleet.restore(), "name_not_found", 'relation "allowed" does not exist')
