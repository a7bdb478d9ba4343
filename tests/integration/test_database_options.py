"""What a database is created with: its own tablespace, its flag as a template, the rules of its sort order."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from embedded.postgres import Postgres
from shared.operations.upkeep import schedule
from shared.postgres import databases, inspection
from shared.postgres.dsn import Dsn
from shared.postgres.session import connected
from tests.integration.comparison import assert_same, fingerprint, names
from tests.integration.conftest import Inline
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]
TABLESPACE = 'dis"k two'
OURS = (
    "select datname from pg_database d join pg_tablespace t on t.oid = dattablespace"
    " where spcname = %s or datname = %s"
)


@pytest.fixture
def url(postgres: Postgres, database: Maker) -> Generator[str]:
    """Of a template in a tablespace of its own."""
    made = database()
    name, space = sql.Identifier(Dsn.parse(made).dbname), sql.Identifier(TABLESPACE)
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("set allow_in_place_tablespaces = on")
        admin.execute(sql.SQL("create tablespace {} location ''").format(space))
        admin.execute(sql.SQL("alter database {} set tablespace {}").format(name, space))
        admin.execute(sql.SQL("alter database {} is_template true").format(name))
        yield made
        for (each,) in admin.execute(OURS, [TABLESPACE, Dsn.parse(made).dbname]).fetchall():
            for statement in ("alter database {} is_template false", "drop database {} with (force)"):
                admin.execute(sql.SQL(statement).format(sql.Identifier(each)))
        admin.execute(sql.SQL("drop tablespace {}").format(space))


def place(postgres: Postgres, name: str) -> tuple[str, bool]:
    query = (
        "select spcname, datistemplate from pg_database d"
        " join pg_tablespace t on t.oid = d.dattablespace where datname = %s"
    )
    with psycopg.connect(postgres.dsn()) as admin:
        row = admin.execute(query, [name]).fetchone()
    assert row is not None
    return row[0], row[1]


def test_a_restored_database_has_its_tablespace_and_is_a_template_again_and_the_parked_one_can_be_dropped(
    url: str, postgres: Postgres, inline: Inline
) -> None:
    name = Dsn.parse(url).dbname
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        role = sql.Identifier(Dsn.parse(url).user or "")
        admin.execute(sql.SQL("grant create on tablespace {} to {}").format(sql.Identifier(TABLESPACE), role))
    fill(url, "create table t as select 1 as n")
    before = fingerprint(postgres, name)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    fill(url, "drop table t")
    restored = succeeded(fleet.restore())
    assert_same(fingerprint(postgres, name), before)
    assert place(postgres, name) == (TABLESPACE, True)
    assert place(postgres, restored.result["parked"]) == (TABLESPACE, True)
    with fleet.fleet.catalog.engine.begin() as catalog:
        catalog.execute(text("update parked set expires_at = now() - interval '1 s'"))
    schedule.housekeeping(fleet.fleet)
    assert restored.result["parked"] not in names(postgres)


def test_without_a_right_to_its_tablespace_it_is_restored_into_the_default_one(
    url: str, postgres: Postgres, inline: Inline
) -> None:
    fleet = inline(url)
    succeeded(fleet.snapshot())
    succeeded(fleet.restore())
    assert place(postgres, Dsn.parse(url).dbname) == ("pg_default", True)


def test_rules_of_the_sort_order_are_asked_of_the_server(database: Maker) -> None:
    """The servers at hand are built without ICU, and say so only of a statement that they understand."""
    dsn = Dsn.parse(database())
    with connected(dsn, application_name="test") as session:
        like = inspection.source(session, tool_version="18")
        icu = replace(like, locale_provider="i", locale="und", icu_rules="&V << w <<< W")
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="ICU"):
            databases.create(session, "snapfleet_never", like=icu, owner=dsn.user or "")
