"""What only a superuser can make: brought back by one who is asked to, refused by name otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg import sql

from embedded.postgres import Postgres
from shared.domain.job import JobState
from shared.postgres.dsn import Dsn
from tests.extent import WHOLE
from tests.integration.comparison import assert_same, connect, fingerprint, nothing_changes
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import refused
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]
OBJECTS = (Path(__file__).parent / "superuser_objects.sql").read_text("utf-8")
LOSE = """
    drop event trigger refuses_all;
    drop event trigger "noticed ""it"" twice";
    drop publication everything;
    drop table t cascade"""


def test_a_superuser_brings_back_on_18_what_only_a_superuser_can_make(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    assert_it_comes_back(postgres, database(), inline)


@WHOLE
def test_a_superuser_brings_back_on_15_what_only_a_superuser_can_make(
    database: Maker, postgres15: Postgres, inline: Inline
) -> None:
    assert_it_comes_back(postgres15, database(postgres15), inline)


def assert_it_comes_back(server: Postgres, url: str, inline: Inline) -> None:
    name = Dsn.parse(url).dbname
    url = server.dsn(name)
    fill(url, OBJECTS)
    before = fingerprint(server, name)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    fill(url, LOSE)
    restored = succeeded(fleet.restore(as_superuser=True))
    assert_same(fingerprint(server, name), before)
    succeeded(fleet.undo(restored))
    with connect(server, name) as session:
        assert session.execute("select to_regclass('public.t')").fetchone() == (None,)


@pytest.mark.parametrize(
    "made",
    [
        "create event trigger e on ddl_command_start execute function f()",
        "create publication everything for all tables",
        "create type base; create function base_in(cstring) returns base language internal strict as 'textin'",
        "create extension postgres_fdw",
    ],
)
def test_another_role_is_told_what_it_cannot_bring_back(
    made: str, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    dsn = Dsn.parse(url)
    fill(url, "create function f() returns event_trigger language plpgsql as 'begin end'; create table t ()")
    fill(postgres.dsn(dsn.dbname), made)
    with connect(postgres, dsn.dbname) as admin:
        admin.execute(sql.SQL("grant all on schema public to {}").format(sql.Identifier(dsn.user)))
    fleet = inline(url)
    succeeded(fleet.snapshot())
    with nothing_changes(postgres, dsn.dbname):
        job = fleet.restore()
        refused(job, "insufficient_rights")
    assert job.state is JobState.ROLLED_BACK
    assert job.error is not None
    assert "--as-superuser" in str(job.error["hint"])
