"""Code and names in a snapshot that attack whoever restores it: a role that is no superuser has nothing to lose.

What such code can do is what the restoring role can do by itself: docs/guarantees.md says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from embedded.postgres import Postgres
from shared.domain.job import JobKind
from shared.operations.upkeep import check
from shared.postgres.dsn import Dsn
from tests.integration.comparison import assert_same, fingerprint
from tests.integration.conftest import Inline
from tests.integration.test_round_trip import succeeded

HOSTILE, TRAPS = (
    (Path(__file__).parent / f"hostile{name}.sql").read_text("utf-8") for name in ("", "_traps")
)
SOURCE = (Path(__file__).parents[2] / "deploy" / "sql" / "source.sql").read_bytes()
ROLES = """
    create role attacker;
    create role victim login password 'victims own';
    alter role victim set work_mem = '5MB';
    create database victims owner victim;
    alter database victims set work_mem = '6MB';
    create role restorer login createdb password 'secret';
    grant attacker to restorer;
    create database shop owner restorer;
"""
PLACES = {
    "check",
    "security definer",
    "generated column",
    "domain",
    "index",
    "materialized view",
    "predicate",
    "partition key",
    "statistics",
}
"""Where code of the attacker's runs in a restore. Triggers, rules and policies are only made after the rows."""


@pytest.fixture
def folder_of_traces(own_postgres: Postgres) -> Path:
    """The server's user may write into it."""
    made = own_postgres.data / "traces"
    made.mkdir()
    owner = own_postgres.data.stat()
    os.chown(made, owner.st_uid, owner.st_gid)
    return made


@pytest.fixture
def attacked(own_postgres: Postgres, folder_of_traces: Path) -> str:
    """The URL of a database with tables of an attacker's, for a role that may only make databases."""
    with psycopg.connect(own_postgres.dsn(), autocommit=True) as admin:
        for statement in ROLES.split(";")[:-1]:
            admin.execute(statement.encode())
    with psycopg.connect(own_postgres.dsn("shop"), autocommit=True) as admin:
        admin.execute("grant create on database shop to attacker")
        admin.execute("grant create on schema public to attacker")
    url = own_postgres.dsn("shop", user="restorer", password="secret")
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("set role attacker")
        for script in (HOSTILE, TRAPS):
            session.execute(script.replace("FOLDER", str(folder_of_traces)).encode())
    return url


def cluster(server: Postgres) -> list[Any]:
    """Everything outside of databases that a role could rise by."""
    queries = (
        "select to_jsonb(r) from pg_authid r order by oid",
        "select to_jsonb(m) from pg_auth_members m order by oid",
        "select to_jsonb(s) from pg_db_role_setting s order by setdatabase, setrole",
        "select datname, datdba from pg_database where datname in ('victims', 'postgres', 'template1') order by 1",
        "select spcname from pg_tablespace order by 1",
        "select name, setting from pg_file_settings order by 1, 2",
    )
    with psycopg.connect(server.dsn()) as admin:
        return [admin.execute(query.encode()).fetchall() for query in queries]


# The planner computes what is constant in an index's expression, whoever it plans for.
PLANNED = """
    set search_path = evil;
    create table planned (n int, pad text);
    create index on planned ((evil.attack_unnoticed('plan')));
    insert into planned select n, repeat(md5(n::text), 20) from generate_series(1, 8000) n;
"""


def new_lines(server: Postgres, since: int) -> list[str]:
    return server.log.read_bytes()[since:].decode(errors="replace").splitlines()


def attacked_in(said: list[str]) -> set[str]:
    """Where it was tried, whichever row it was tried for."""
    places = (line.partition("attacked in: ")[2] for line in said if "attacked in: " in line)
    return {re.sub(r" \d+$", "", place) for place in places}


def went_through(said: list[str]) -> list[str]:
    return [line.partition("went through: ")[2] for line in said if "attack went through: " in line]


@pytest.mark.parametrize("act", ["verify", "restore"])
def test_attacks_are_made_and_come_to_nothing(
    act: str, attacked: str, own_postgres: Postgres, inline: Inline, folder_of_traces: Path
) -> None:
    fleet = inline(attacked)
    before, content = cluster(own_postgres), fingerprint(own_postgres, "shop")
    snapshot_id = str(succeeded(fleet.snapshot()).request["snapshot_id"])
    since = own_postgres.log.stat().st_size
    acts: dict[str, Callable[[], object]] = {
        "verify": lambda: succeeded(fleet.verify(snapshot_id)),
        "restore": lambda: succeeded(fleet.restore()),
    }
    acts[act]()
    said = new_lines(own_postgres, since)
    assert attacked_in(said) == PLACES
    assert went_through(said) == []
    assert cluster(own_postgres) == before
    assert list(folder_of_traces.iterdir()) == []
    assert_same(fingerprint(own_postgres, "shop"), content)
    with psycopg.connect(attacked) as session:
        row = session.execute(
            "select rolsuper, rolcreaterole from pg_roles where rolname = current_user"
        ).fetchone()
    assert row == (False, False)


def test_the_same_attacks_go_through_where_a_superuser_is_attacked(
    attacked: str, own_postgres: Postgres, folder_of_traces: Path
) -> None:
    """Or else that they come to nothing would say nothing."""
    since = own_postgres.log.stat().st_size
    with psycopg.connect(own_postgres.dsn("shop")) as superuser:
        superuser.execute("select evil.attack('nowhere')")
        superuser.rollback()
    done = went_through(new_lines(own_postgres, since))
    assert len(done) > 15, done
    assert set(done) >= {
        "alter role attacker superuser",
        "create role pwned superuser login",
        "grant pg_execute_server_program to attacker",
        "alter role victim set search_path = evil",
        "alter database victims set search_path = evil",
    }
    assert {path.name for path in folder_of_traces.iterdir()} >= {"programmed", "copied"}
    assert Dsn.parse(attacked).user == "restorer"


def test_code_that_runs_while_a_snapshot_is_read_runs_as_the_source_role_which_can_change_nothing(
    attacked: str, own_postgres: Postgres, inline: Inline, folder_of_traces: Path
) -> None:
    """Nobody who may do more should ever ask for rows of a stranger's tables: not even for a comparison here."""
    with psycopg.connect(attacked, autocommit=True) as session:
        session.execute("set role attacker")
        session.execute(PLANNED)
    with psycopg.connect(own_postgres.dsn("shop"), autocommit=True) as admin:
        admin.execute(SOURCE)
        admin.execute("alter role snapfleet_source bypassrls password 'secret'")
    before = cluster(own_postgres)
    since = own_postgres.log.stat().st_size
    fleet = inline(own_postgres.dsn("shop", user="snapfleet_source", password="secret"))
    succeeded(fleet.snapshot())
    succeeded(fleet.run(JobKind.CHECK, check.request()))
    said = new_lines(own_postgres, since)
    assert attacked_in(said) == {"plan"}
    assert went_through(said) == []
    assert cluster(own_postgres) == before
    assert list(folder_of_traces.iterdir()) == []
