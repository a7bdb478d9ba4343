"""A service's database is filled before it starts: once, only where there is nothing, and only with what is proven."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from embedded.postgres import Postgres
from shared.domain.job import Job, JobState
from shared.domain.proof import VerifyPolicy
from shared.domain.schedule import Every
from shared.errors import NotFound, Refused, Unreachable
from shared.operations.health import reports
from shared.operations.jobs import blocking
from shared.operations.restores import bootstrap
from shared.operations.restores.bootstrap import Begun
from shared.operations.restores.emptiness import WHY_BLOCKED
from shared.postgres.dsn import Dsn
from shared.storage.memory import MemoryStorage
from tests.actors import TESTER
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_schedule import nobody_ticked_for, on_schedule, slots, tick

Maker = Callable[..., str]
ROWS = "select count(*) from item"


def begin(fleet: InlineFleet) -> Begun:
    return bootstrap.begin(fleet.fleet, NAME, job_id=str(uuid.uuid4()), as_superuser=False, by=TESTER)


def ended(fleet: InlineFleet, begun: Begun) -> Job:
    assert begun.accepted is not None
    return fleet.to_its_end(begun.accepted.job.id)


def query(url: str, *statements: str) -> Any:
    with psycopg.connect(url, autocommit=True) as session:
        cursor = session.cursor()
        for each in statements:
            cursor.execute(each.encode())
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def on_server(server: Postgres, statement: str, name: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL(statement).format(sql.Identifier(name)))


def blocked(fleet: InlineFleet) -> str | None:
    return blocking.why_blocked(fleet.fleet, NAME)


@pytest.fixture
def url(database: Maker) -> str:
    made = database()
    query(made, "create table item (id int primary key)", "insert into item select generate_series(1, 500)")
    return made


@pytest.fixture
def fleet(url: str, inline: Inline) -> InlineFleet:
    """With one snapshot of 500 rows that counts as proven: what a proof takes is other tests' business."""
    made = inline(url, storage=MemoryStorage())
    taken = made.snapshot()
    assert taken.state is JobState.SUCCEEDED
    with made.fleet.catalog.transaction() as tx:
        tx.snapshots.judge(str(taken.request["snapshot_id"]), matched=True)
    always = replace(made.fleet.database(NAME), verify=VerifyPolicy.ALWAYS)
    made.configure(databases={NAME: always})
    return made


def empty(url: str) -> None:
    query(url, "drop table item")


def test_an_absent_database_is_restored_with_its_properties(
    fleet: InlineFleet, url: str, postgres: Postgres
) -> None:
    on_server(postgres, "drop database {}", Dsn.parse(url).dbname)
    begun = begin(fleet)
    assert begun.found.oid is None
    assert blocked(fleet) is not None
    job = ended(fleet, begun)
    assert (job.state, job.result["parked"]) == (JobState.SUCCEEDED, None), job.error
    assert query(url, ROWS) == 500
    assert blocked(fleet) is None
    with psycopg.connect(postgres.dsn()) as admin:
        owner = "select pg_get_userbyid(datdba) from pg_database where datname = %s"
        assert admin.execute(owner, [Dsn.parse(url).dbname]).fetchone() == (Dsn.parse(url).user,)


def test_an_empty_database_is_restored_whatever_an_extension_has_put_there(
    fleet: InlineFleet, url: str, postgres: Postgres
) -> None:
    empty(url)
    query(postgres.dsn(Dsn.parse(url).dbname), "create extension pg_stat_statements", "create schema bare")
    begun = begin(fleet)
    assert (begun.found.oid is not None, begun.found.holds) == (True, None)
    assert ended(fleet, begun).state is JobState.SUCCEEDED
    assert query(url, ROWS) == 500


def test_a_database_that_holds_anything_stays_as_it_is(fleet: InlineFleet, url: str) -> None:
    empty(url)
    for name, make, drop in (
        ('public."a b"', 'create table "a b" ()', 'drop table "a b"'),
        ("public.seen", "create view seen as select 1", "drop view seen"),
        ("public.s", "create sequence s", "drop sequence s"),
        ("large object 4711", "select lo_create(4711)", "select lo_unlink(4711)"),
    ):
        query(url, make)
        begun = begin(fleet)
        assert begun == Begun(found=replace(begun.found, holds=name))
        query(url, drop)
    assert blocked(fleet) is None
    assert fleet.unfinished() == []


def test_ten_nodes_that_start_at_once_restore_it_once(fleet: InlineFleet, url: str) -> None:
    empty(url)
    start = Barrier(10)

    def node(_: int) -> Begun:
        start.wait(10)
        return begin(fleet)

    with ThreadPoolExecutor(10) as nodes:
        begun = list(nodes.map(node, range(10)))
    assert len({each.accepted.job.id for each in begun if each.accepted}) == 1
    assert sum(each.accepted is not None and each.accepted.is_new for each in begun) == 1
    assert {ended(fleet, each).state for each in begun} == {JobState.SUCCEEDED}
    assert begin(fleet).found.holds == "public.item"
    assert query(url, ROWS) == 500


def test_what_is_put_there_while_the_restore_loads_stays(fleet: InlineFleet, url: str) -> None:
    """A service that did not wait has begun anew: its rows are worth more than a snapshot's."""
    empty(url)
    fleet.before = lambda _job, step: (
        query(url, "create table mine as select 1 as id") if step == "swap" else None
    )
    job = ended(fleet, begin(fleet))
    assert (job.state, job.error and job.error["code"]) == (JobState.ROLLED_BACK, "not_empty")
    assert bootstrap.found_in_use(job)
    assert query(url, "select id from mine") == 1
    assert blocked(fleet) is not None
    assert begin(fleet).found.holds == "public.mine"


def test_a_session_that_wants_to_put_something_there_at_the_last_moment_is_cut_before_the_look(
    fleet: InlineFleet, url: str
) -> None:
    """What it has not committed is gone with it, and the restore goes on."""
    empty(url)
    with psycopg.connect(url) as late:
        late.execute("create table mine as select 1 as id")
        job = ended(fleet, begin(fleet))
        with pytest.raises(psycopg.OperationalError):
            late.commit()
    assert job.state is JobState.SUCCEEDED, job.error
    assert query(url, ROWS) == 500


def test_an_absent_database_that_somebody_makes_meanwhile_is_not_replaced(
    fleet: InlineFleet, url: str, postgres: Postgres
) -> None:
    dsn = Dsn.parse(url)
    on_server(postgres, "drop database {}", dsn.dbname)

    def somebody(_job: Job, step: str) -> None:
        if step == "swap":
            on_server(postgres, f"create database {{}} owner {dsn.user}", dsn.dbname)
            query(url, "create table mine as select 1 as id")

    fleet.before = somebody
    job = ended(fleet, begin(fleet))
    assert (job.error and job.error["code"], query(url, "select id from mine")) == ("not_empty", 1)


def test_the_same_emptiness_after_a_restore_that_ended_is_restored_again(
    fleet: InlineFleet, url: str
) -> None:
    """The former job's key does not answer for a database that has been lost a second time."""
    for _ in range(2):
        with psycopg.connect(
            Dsn.parse(url).for_database("postgres").conninfo("test"), autocommit=True
        ) as near:
            near.execute(
                sql.SQL("drop database {} with (force)").format(sql.Identifier(Dsn.parse(url).dbname))
            )
        assert ended(fleet, begin(fleet)).state is JobState.SUCCEEDED
        assert query(url, ROWS) == 500


def test_while_the_restore_fails_the_database_stays_blocked_until_one_succeeds(
    fleet: InlineFleet, url: str, postgres: Postgres
) -> None:
    empty(url)
    role = Dsn.parse(url).user
    on_server(postgres, "alter role {} nocreatedb", role)
    failed = ended(fleet, begin(fleet))
    assert failed.error is not None
    assert failed.error["code"] == "insufficient_rights"
    assert blocked(fleet) is not None

    on_schedule(fleet, Every(every=timedelta(hours=6), phase=timedelta()))
    nobody_ticked_for(fleet, timedelta(days=1))
    assert tick(fleet.fleet) == 0
    assert [job_id for _, job_id in slots(fleet)] == [None] * 4
    (report,) = reports.databases(fleet.fleet)
    assert (report.blocked, report.missed_slots) == (blocked(fleet), 4)
    with pytest.raises(Refused, match="no snapshot of src is taken") as refused:
        fleet.snapshot()
    assert (refused.value.code, "unblock src" in str(refused.value.hint)) == ("database_blocked", True)

    on_server(postgres, "alter role {} createdb", role)
    again = ended(fleet, begin(fleet))
    assert (again.state, again.id == failed.id) == (JobState.SUCCEEDED, False)
    assert blocked(fleet) is None
    assert fleet.snapshot().state is JobState.SUCCEEDED


def test_a_snapshot_that_was_asked_for_before_the_block_is_not_taken_after_it(
    fleet: InlineFleet, url: str
) -> None:
    empty(url)
    fleet.before = lambda job, _step: (
        None
        if job.kind != "snapshot"
        else (blocking.block(fleet.fleet, NAME, why="a test", by=TESTER), None)[1]
    )
    job = fleet.snapshot()
    assert (job.state, job.error and job.error["code"]) == (JobState.FAILED, "database_blocked")


def test_somebody_elses_reason_to_block_outlives_a_restore(fleet: InlineFleet, url: str) -> None:
    empty(url)
    blocking.block(fleet.fleet, NAME, why="an auditor looks at it", by=TESTER)
    assert ended(fleet, begin(fleet)).state is JobState.SUCCEEDED
    assert blocked(fleet) == "an auditor looks at it"
    assert blocking.unblock(fleet.fleet, NAME, by=TESTER) == "an auditor looks at it"
    assert blocking.unblock(fleet.fleet, NAME, by=TESTER) is None
    with fleet.fleet.catalog.engine.connect() as catalog:
        types = "select type from outbox where type like 'database.%' order by id"
        assert list(catalog.execute(text(types)).scalars()) == ["database.blocked", "database.unblocked"]


def test_a_restore_that_somebody_asked_for_by_hand_lifts_the_block(fleet: InlineFleet, url: str) -> None:
    empty(url)
    blocking.block(fleet.fleet, NAME, why=WHY_BLOCKED, by=TESTER)
    assert fleet.restore(to="beside").state is JobState.SUCCEEDED
    assert blocked(fleet) == WHY_BLOCKED
    assert fleet.restore().state is JobState.SUCCEEDED
    assert blocked(fleet) is None


def test_a_database_that_is_filled_between_the_look_and_the_block_is_not_left_blocked(
    fleet: InlineFleet, url: str
) -> None:
    empty(url)
    waiting = (
        "select count(*) from pg_locks join pg_database d on d.oid = database"
        " where datname = current_database() and not granted"
    )
    with ThreadPoolExecutor(1) as node, fleet.fleet.catalog.engine.connect() as catalog:
        catalog.execute(text("lock table database"))
        late = node.submit(begin, fleet)
        give_up_at = time.monotonic() + 10
        while catalog.execute(text(waiting)).scalar_one() == 0:
            assert time.monotonic() < give_up_at, "it does not want to block"
            time.sleep(0.01)
        query(url, "create table item (id int)")
        catalog.rollback()
        begun = late.result(10)
    assert (begun.accepted, begun.found.holds) == (None, "public.item")
    assert blocked(fleet) is None


def change_snapshots(fleet: InlineFleet, statement: str) -> None:
    with fleet.fleet.catalog.engine.begin() as catalog:
        catalog.execute(text(statement))


def test_what_is_not_proven_is_restored_by_nobody_who_does_not_look(fleet: InlineFleet, url: str) -> None:
    empty(url)
    for word, change in (
        ("sealed", "verified_at = null"),
        ("refuted", "verified_at = null, refuted_at = now()"),
        ("suspect", "verified_at = now(), refuted_at = null, suspicions = '[\"0 tables\"]'"),
    ):
        change_snapshots(fleet, f"update snapshot set {change}")
        with pytest.raises(Refused, match=f"is {word}, and none is verified") as refused:
            begin(fleet)
        assert (refused.value.code, blocked(fleet) is not None) == ("not_verified", True)


def test_a_newer_suspect_snapshot_is_passed_over(fleet: InlineFleet, url: str) -> None:
    empty(url)
    suspect = fleet.snapshot()
    change_snapshots(
        fleet,
        f"update snapshot set suspicions = '[\"0 tables\"]' where id = '{suspect.request['snapshot_id']}'",
    )
    assert ended(fleet, begin(fleet)).state is JobState.SUCCEEDED
    assert query(url, ROWS) == 500


def test_where_proofs_are_switched_off_the_newest_sealed_one_is_good_enough(
    fleet: InlineFleet, url: str
) -> None:
    empty(url)
    change_snapshots(fleet, "update snapshot set verified_at = null")
    never = replace(fleet.fleet.database(NAME), verify=VerifyPolicy.NEVER)
    fleet.configure(databases={NAME: never})
    assert ended(fleet, begin(fleet)).state is JobState.SUCCEEDED


def test_without_any_snapshot_it_says_so_and_blocks_nothing(database: Maker, inline: Inline) -> None:
    fleet = inline(database(), storage=MemoryStorage())
    with pytest.raises(NotFound, match="no snapshot of src") as missing:
        begin(fleet)
    assert (missing.value.code, blocked(fleet)) == (bootstrap.NOTHING, None)


def test_a_catalog_that_knows_less_than_the_repository_is_not_taken_for_a_fresh_start(
    fleet: InlineFleet, database: Maker, inline: Inline
) -> None:
    other = inline(database(), storage=fleet.fleet.repository.storage)
    with pytest.raises(Refused, match="that the catalog does not know") as refused:
        begin(other)
    assert (refused.value.code, refused.value.hint) == ("catalog_behind", "snapfleet catalog rebuild")
    assert blocked(other) is not None


def test_a_server_that_is_away_is_told_from_an_absent_database(fleet: InlineFleet) -> None:
    fleet.point_at("postgresql://nobody@127.0.0.1:1/x")
    with pytest.raises(Unreachable):
        begin(fleet)
    assert blocked(fleet) is None
