"""The roles of deploy/sql/: with exactly these grants everything goes, with one fewer it is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from embedded.postgres import Postgres
from shared.domain.increments import Origin
from shared.domain.job import Job, JobKind
from shared.operations.upkeep import check
from shared.postgres.dsn import Dsn
from tests.integration.comparison import assert_same, connect, fingerprint, nothing_changes
from tests.integration.conftest import Inline, RoleMaker
from tests.integration.inline_fleet import InlineFleet, refused
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]

SCRIPTS = Path(__file__).parents[2] / "deploy" / "sql"
SOURCE, RESTORE = "snapfleet_source", "snapfleet_restore"
CONTENT = """
    create table small (id serial primary key, v text);
    insert into small (v) select 'row ' || n from generate_series(1, 100) n;
    create table large as select n, repeat(md5(n::text), 12) as v from generate_series(1, 12000) n;
    create schema side;
    create table side.thing (id bigint generated always as identity primary key, small int references small);
    insert into side.thing (small) values (1);
    create table side.split (n int) partition by list (n);
    create table side.split_1 partition of side.split for values in (1);
    insert into side.split values (1);
    create sequence loose start 40;
    select nextval('loose');
    create view seen as select * from small;
    create materialized view counted as select count(*) from large;
    create function twice(n int) returns int language sql as 'select 2 * n';
    select lo_from_bytea(4711, 'large object');
"""


@pytest.fixture
def _roles(postgres: Postgres) -> Generator[None]:
    """The roles of the scripts go again, after the databases in which they were granted something."""
    yield
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        for name in (SOURCE, RESTORE):
            if admin.execute("select from pg_roles where rolname = %s", [name]).fetchone() is not None:
                admin.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(name)))


@pytest.fixture
def other(_roles: None, role: RoleMaker, postgres: Postgres) -> str:
    """A role that owns some of it too."""
    return role(postgres)


@pytest.fixture
def url(other: str, database: Maker, postgres: Postgres) -> str:
    """Of a database with a bit of everything, for its owner."""
    made = database()
    fill(made, CONTENT)
    dsn = Dsn.parse(made)
    with connect(postgres, dsn.dbname) as admin:
        admin.execute(
            sql.SQL("grant create, usage on schema side to {0}; alter table side.thing owner to {0}").format(
                sql.Identifier(other)
            )
        )
        admin.execute(sql.SQL("grant select on public.small to {}").format(sql.Identifier(other)))
        grant = sql.SQL("grant select on side.thing, side.thing_id_seq to {}")
        admin.execute(grant.format(sql.Identifier(dsn.user)))
    return made


def run_script(postgres: Postgres, dbname: str, name: str) -> None:
    """As a superuser would, in the database; and a password for whoever it makes."""
    with connect(postgres, dbname) as admin:
        admin.execute((SCRIPTS / f"{name}.sql").read_bytes())
        for role in (SOURCE, RESTORE):
            if admin.execute("select from pg_roles where rolname = %s", [role]).fetchone() is not None:
                admin.execute(sql.SQL("alter role {} password 'secret'").format(sql.Identifier(role)))


def as_role(postgres: Postgres, url: str, role: str) -> str:
    return postgres.dsn(Dsn.parse(url).dbname, user=role, password="secret")


@pytest.mark.parametrize("script", ["source", "source-by-schema"])
def test_the_source_role_takes_snapshots_that_its_owner_can_restore(
    script: str, url: str, postgres: Postgres, inline: Inline
) -> None:
    name = Dsn.parse(url).dbname
    for _ in range(2):  # as after each change of the database
        run_script(postgres, name, script)
    before = fingerprint(postgres, name)
    fleet = inline(as_role(postgres, url, SOURCE))
    job = succeeded(fleet.snapshot())
    assert {t.name for t in fleet.manifest(job).tables} >= {"small", "large", "thing", "split_1"}
    run_script(postgres, name, "restore")
    fleet.point_at(as_role(postgres, url, RESTORE))
    fill(url, "drop table large cascade; update small set v = 'x'")
    succeeded(fleet.restore())
    assert_same(fingerprint(postgres, name), before)


def test_with_one_right_more_the_source_role_need_not_read_what_did_not_change(
    url: str, postgres: Postgres, inline: Inline
) -> None:
    name = Dsn.parse(url).dbname
    fill(url, "insert into large select n, repeat(md5(n::text), 12) from generate_series(1, 20000) n")
    # A vacuum that comes by itself notes on pages what it has seen.
    fill(url, "alter table large set (autovacuum_enabled = off)")
    run_script(postgres, name, "source")
    fleet = inline(as_role(postgres, url, SOURCE))
    without = fleet.manifest(succeeded(fleet.snapshot())).increment
    assert without is not None
    assert without.reason == "the role may not ask for a checkpoint"
    for _ in range(2):
        run_script(postgres, name, "source-incremental")
    base = fleet.manifest(succeeded(fleet.snapshot()))
    # What the first reader of a row notes on its page is a change of the page.
    read = fleet.manifest(succeeded(fleet.snapshot()))
    assert base.parts == read.parts
    unread = fleet.manifest(succeeded(fleet.snapshot()))
    assert {part.origin for part in unread.parts} == {Origin.UNREAD}
    assert unread.parts == base.parts


CHANGES = (
    "insert into small (v) values ('x')",
    "delete from large",
    "create table mine ()",
    "create temp table mine ()",
    "select setval('loose', 1)",
    "select lo_put(4711, 0, 'x')",
    "select lo_unlink(4711)",
    "create database mine",
    "create role mine",
    "alter role snapfleet_source createdb",
    "set role pg_write_all_data",
    "copy small to program 'true'",
    "copy small to '/tmp/x'",
    "alter table small add column x int",
    "select pg_read_file('/etc/hostname')",
    "refresh materialized view counted",
)
TEMPORARY = "create temp table mine ()"
"""Which everybody may who may connect, unless that was taken from all: it changes nothing that is there."""


def test_the_source_role_can_change_nothing(url: str, postgres: Postgres) -> None:
    for script in ("source", "source-by-schema"):
        run_script(postgres, Dsn.parse(url).dbname, script)
    went_through = []
    with psycopg.connect(as_role(postgres, url, SOURCE), autocommit=True) as session:
        for change in CHANGES:
            try:
                session.execute(change.encode())
            except psycopg.errors.InsufficientPrivilege:
                continue
            went_through.append(change)
    assert went_through == [TEMPORARY]


@pytest.mark.parametrize(
    ("script", "revoke", "told"),
    [
        ("source", f"revoke pg_read_all_data from {SOURCE}", "large"),
        ("source", f"revoke select on large object 4711 from {SOURCE}", "4711"),
        ("source-by-schema", f"revoke usage on schema side from {SOURCE}", "side"),
        ("source-by-schema", f"revoke select on large from {SOURCE}", "large"),
        ("source-by-schema", f"revoke select on side.split_1 from {SOURCE}", "split_1"),
        ("source-by-schema", f"revoke select on sequence loose from {SOURCE}", "loose"),
        ("source-by-schema", "create table since ()", "since"),  # by a role that owned nothing before
        ("source-by-schema", "alter table side.thing enable row level security", "thing"),
    ],
    ids=lambda value: str(value).replace(" ", "_")[:40],
)
def test_one_grant_fewer_and_a_snapshot_is_refused_by_the_name_of_what_it_lacks(  # noqa: PLR0917 - three are fixtures
    script: str, revoke: str, told: str, url: str, postgres: Postgres, inline: Inline
) -> None:
    name = Dsn.parse(url).dbname
    run_script(postgres, name, script)
    with connect(postgres, name) as admin:
        admin.execute("set search_path = public")
        admin.execute(revoke.encode())
    fleet = inline(as_role(postgres, url, SOURCE))
    looked = succeeded(fleet.run(JobKind.CHECK, check.request()))
    told_of = [f.what for f in check.findings_in(looked.result) if f.code == "not_readable"]
    assert len(told_of) == 1
    assert told in told_of[0]
    refused(fleet.snapshot(), "insufficient_rights", told)


def test_what_an_owner_makes_later_may_be_read_too(url: str, postgres: Postgres, inline: Inline) -> None:
    run_script(postgres, Dsn.parse(url).dbname, "source-by-schema")
    fill(url, "create table since (id serial)")
    fleet = inline(as_role(postgres, url, SOURCE))
    assert "since" in {table.name for table in fleet.manifest(succeeded(fleet.snapshot())).tables}


def test_what_a_role_may_not_read_is_in_the_plan_of_a_restore_that_would_take_a_safety_snapshot(
    url: str, postgres: Postgres, inline: Inline
) -> None:
    name = Dsn.parse(url).dbname
    fleet = inline(url)
    succeeded(fleet.snapshot())
    with connect(postgres, name) as admin:
        admin.execute("create table public.closed (); create sequence public.shut")
    with nothing_changes(postgres, name):
        job = fleet.restore(safeguard=True)
    refused(job, "no_safeguard", "table public.closed, sequence public.shut", "no safety snapshot")
    assert job.next_seq == 1


@pytest.fixture
def restorable(url: str, postgres: Postgres, inline: Inline) -> InlineFleet:
    """A fleet with a snapshot, that restores as the restore role."""
    run_script(postgres, Dsn.parse(url).dbname, "restore")
    fleet = inline(url)
    succeeded(fleet.snapshot())
    fleet.point_at(as_role(postgres, url, RESTORE))
    return fleet


def test_the_restore_role_proves_restores_and_takes_back(
    url: str, postgres: Postgres, restorable: InlineFleet
) -> None:
    name = Dsn.parse(url).dbname
    before = fingerprint(postgres, name)
    succeeded(restorable.verify(restorable.snapshots()[0].id))
    fill(url, "update small set v = 'changed'")
    changed = fingerprint(postgres, name)
    with psycopg.connect(url):  # the application's own session, which it may end
        restored = succeeded(restorable.restore(safeguard=True))
    assert_same(fingerprint(postgres, name), before)
    succeeded(restorable.undo(restored))
    assert_same(fingerprint(postgres, name), changed)
    with connect(postgres, name) as admin:
        row = admin.execute(
            "select rolsuper, rolcreaterole, rolreplication, rolbypassrls from pg_roles where rolname = %s",
            [RESTORE],
        ).fetchone()
    assert row == (False, False, False, False)


@pytest.mark.parametrize(
    ("fewer", "told"),
    [
        ("alter role {role} nocreatedb", "may not create databases"),
        ("revoke {owner} from {role}", "does not own"),
        ("revoke {other} from {role}", "{other}"),
        ("revoke pg_signal_backend from {role}", "sessions"),
    ],
)
def test_one_right_fewer_and_a_restore_is_refused_by_its_name(  # noqa: PLR0917 - five are fixtures
    fewer: str, told: str, url: str, other: str, role: RoleMaker, postgres: Postgres, restorable: InlineFleet
) -> None:
    dsn = Dsn.parse(url)
    words = {"role": RESTORE, "owner": dsn.user, "other": other}
    stranger = role(postgres, "login password 'secret'")
    with connect(postgres, "postgres") as admin:
        admin.execute(fewer.format(**words).encode())
        admin.execute(sql.SQL("grant connect on database {} to public").format(sql.Identifier(dsn.dbname)))
    with (
        psycopg.connect(postgres.dsn(dsn.dbname, user=stranger, password="secret")),
        nothing_changes(postgres, dsn.dbname),
    ):
        job: Job = restorable.restore()
    refused(job, "insufficient_rights", told.format(**words))
