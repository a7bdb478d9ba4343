"""The catalog's two roles: the fleet works with the rights of deploy/sql/catalog.sql, and can change no audit."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from embedded.postgres import Postgres
from shared.catalog import catalog
from shared.catalog.migration import migrate
from shared.domain.job import JobKind, NewJob
from shared.errors import Refused
from shared.operations.jobs import requests
from shared.operations.upkeep import check
from shared.storage.folder import FolderStorage
from tests.integration.comparison import connect
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_bad_ids import BY
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]
SCRIPT = (Path(__file__).parents[2] / "deploy" / "sql" / "catalog.sql").read_bytes()
OWNER, FLEET = "snapfleet_owner", "snapfleet_fleet"


@pytest.fixture
def made(postgres: Postgres) -> Generator[str]:
    """The name of a catalog as the script's own words make it."""
    name = f"catalog_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        run_script(postgres, name)
        for role in (OWNER, FLEET):
            admin.execute(sql.SQL("alter role {} password 'secret'").format(sql.Identifier(role)))
        ours = catalog.connect(postgres.dsn(name, user=OWNER, password="secret"))
        migrate(ours)
        ours.close()
        run_script(postgres, name)
        yield name
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("drop role {}, {}").format(sql.Identifier(OWNER), sql.Identifier(FLEET)))


def run_script(postgres: Postgres, name: str) -> None:
    with connect(postgres, name) as admin:
        admin.execute(SCRIPT)


@pytest.fixture
def fleet(made: str, postgres: Postgres, database: Maker, tmp_path: Path) -> Generator[InlineFleet]:
    url = database()
    fill(url, "create table t as select n from generate_series(1, 1000) n")
    url_of_ours = postgres.dsn(made, user=FLEET, password="secret")
    fleet = InlineFleet(url, catalog_url=url_of_ours, storage=FolderStorage(tmp_path / "repository"))
    yield fleet
    fleet.close()


def test_the_fleet_works_with_these_rights(fleet: InlineFleet, made: str, postgres: Postgres) -> None:
    taken = succeeded(fleet.snapshot())
    succeeded(fleet.verify(str(taken.request["snapshot_id"])))
    restored = succeeded(fleet.restore(safeguard=True))
    succeeded(fleet.undo(restored))
    succeeded(fleet.run(JobKind.PRUNE, {}))
    succeeded(fleet.run(JobKind.CHECK, check.request()))
    requests.pin(fleet.fleet, str(taken.request["snapshot_id"]), pinned=True, by=BY)
    with connect(postgres, made) as admin:
        row = admin.execute("select count(*) from public.audit").fetchone()
    assert row is not None
    assert row[0] > 5


@pytest.mark.parametrize(
    "change",
    [
        "update audit set actor = 'somebody else'",
        "delete from audit",
        "truncate audit",
        "alter table audit disable trigger all",
        "drop trigger append_only on audit",
        "create or replace function audit_is_append_only() returns trigger language plpgsql as 'begin return null; end'",
        "drop table audit",
        "alter table audit owner to snapfleet_fleet",
        "set role snapfleet_owner",
        "create table mine ()",
        "drop table job",
        "alter table job add column mine int",
        "update alembic_version set version_num = '0001'",
        "create role mine",
        "create database mine",
        "copy job to program 'true'",
    ],
    ids=lambda change: change[:32].replace(" ", "_"),
)
def test_the_fleet_can_change_neither_the_audit_nor_the_tables(
    change: str, made: str, postgres: Postgres
) -> None:
    with (
        psycopg.connect(postgres.dsn(made, user=FLEET, password="secret"), autocommit=True) as session,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        session.execute(change.encode())


def test_nobody_else_gets_in(made: str, database: Maker) -> None:
    other = database()
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(other, dbname=made)


def test_one_grant_fewer_is_told_as_the_catalog_s(fleet: InlineFleet, made: str, postgres: Postgres) -> None:
    with connect(postgres, made) as admin:
        admin.execute(f"revoke insert on public.job from {FLEET}".encode())
    key = str(uuid.uuid4())
    new = NewJob(id=key, kind=JobKind.CHECK, database=NAME, request=check.request(), idempotency_key=key)
    with pytest.raises(Refused) as refusal:
        requests.submit(fleet.fleet, new, by=BY)
    assert refusal.value.code == "catalog_rights"
    assert "job" in refusal.value.message
    assert "deploy/sql/catalog.sql" in str(refusal.value.hint)
