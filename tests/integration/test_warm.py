"""A warm copy: what a proof has restored becomes the live database, unless anything about it is in doubt."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from api.plans import RestorePlan
from cli import plans, records, watching
from embedded.postgres import Postgres
from shared import failpoints
from shared.catalog.warm import WarmCopy
from shared.domain.job import Job, JobKind, JobState
from shared.domain.proof import Assertion, Digests
from shared.errors import Transient
from shared.operations.databases import preview, warm
from shared.operations.databases.preview import Intent
from shared.operations.health import reports
from shared.operations.jobs import requests
from shared.operations.jobs.saga import StepRun
from shared.operations.proofs import verify
from shared.operations.restores import bootstrap
from shared.operations.upkeep import check, schedule
from shared.postgres.dsn import Dsn
from tests.actors import TESTER
from tests.integration import bus_home
from tests.integration.comparison import assert_same, fingerprint, nothing_changes
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]
SCHEMA = """
    create table big as select n, repeat(md5(n::text), 12) as v from generate_series(1, 6000) n;
    alter table big add primary key (n);
    create unlogged table quick as select 1 as one;
    create table small as select 'as in the snapshot' as what
"""
PATIENCE_SECONDS = 30.0
SINCE = "update small set what = 'written since'; delete from big where n % 2 = 0"


@pytest.fixture(scope="module")
def home(postgres: Postgres) -> Generator[InlineFleet]:
    with bus_home.made(postgres) as fleet:
        yield fleet


@pytest.fixture
def url(home: InlineFleet) -> str:
    return home.fleet.database(NAME).url


@pytest.fixture
def fleet(home: InlineFleet, url: str) -> InlineFleet:
    """With a warm copy of its newest snapshot, and a live database that has gone on since; nothing is parked."""
    home.before = lambda _job, _step: None
    configure(home, warm=True, assertions=())
    fill(url, "drop schema public cascade; create schema public;" + SCHEMA)
    with home.fleet.catalog.engine.begin() as connection:
        connection.execute(text("update parked set expires_at = now() - interval '1 s'"))
    schedule.housekeeping(home.fleet)
    if not home.snapshots() or seen(home).warm is None:
        warmed(home)
    fill(url, SINCE)
    return home


def warmed(fleet: InlineFleet) -> Job:
    taken = succeeded(fleet.snapshot())
    return succeeded(fleet.verify(str(taken.request["snapshot_id"])))


def there(fleet: InlineFleet) -> list[WarmCopy]:
    with fleet.fleet.catalog.transaction() as tx:
        return list(tx.warm.there())


def on_server(url: str, statement: str, database: str = "postgres") -> Any:
    """As the database's owner, who owns its copies too."""
    with psycopg.connect(Dsn.parse(url).for_database(database).conninfo("test"), autocommit=True) as session:
        cursor = session.execute(statement.encode())
        return cursor.fetchall() if cursor.description else None


def ours(url: str) -> list[str]:
    """Databases of ours that this owner has, by kind."""
    query = r"select datname from pg_database where datname like 'snapfleet\_%' and pg_get_userbyid(datdba) = current_user"
    return sorted(name.split("_")[1] for (name,) in on_server(url, query))


def configure(fleet: InlineFleet, **changes: Any) -> None:
    fleet.configure(databases={NAME: replace(fleet.fleet.database(NAME), **changes)})


def seen(fleet: InlineFleet) -> preview.RestorePreview:
    chosen = requests.choose_snapshot(fleet.fleet, NAME, snapshot_id=None, at=None)
    return preview.restore_of(fleet.fleet, Intent(database=NAME, snapshot=chosen))


def cold(job: Job) -> bool:
    return "warm" not in succeeded(job).result


def test_the_newest_snapshot_is_swapped_in_without_being_loaded(
    fleet: InlineFleet, url: str, postgres: Postgres
) -> None:
    name = Dsn.parse(url).dbname
    before = fingerprint(postgres, name)
    proof = warmed(fleet)
    assert ours(url) == ["warm"]
    [copy] = there(fleet)
    fill(url, "update small set what = 'written later'; delete from big where n % 3 = 0")
    plan = seen(fleet)
    assert plan.warm == copy
    assert plan.warm_bytes == copy.size_bytes != 0
    assert (records.preview(plan)["warm"], RestorePlan.of(plan).warm) == (True, True)
    assert plans.takes(plan) == "seconds"
    assert "it becomes the live database" in (plans.warm_copy(plan) or "")
    restored = succeeded(fleet.restore(safeguard=True))
    assert restored.result["warm"] is True
    assert restored.result["proven_by"] == proof.id
    assert watching.success(reports.job(fleet.fleet, restored.id))[1].endswith(
        "when its warm copy was proven"
    )
    assert (restored.result["tables"], restored.result["row_count"]) == (3, 3002)
    assert_same(fingerprint(postgres, name), before)
    assert fleet_oid(url, name) == copy.oid
    assert there(fleet) == []
    assert ours(url) == ["parked"]
    later = seen(fleet)
    assert (later.warm, later.warm_bytes, plans.warm_copy(later)) == (None, 0, None)
    # And back, with what was written after it.
    succeeded(fleet.undo(restored))
    assert on_server(url, "select what from small", name) == [("written later",)]


def fleet_oid(url: str, name: str) -> int | None:
    found = on_server(url, f"select oid::bigint from pg_database where datname = '{name}'")
    return int(found[0][0]) if found else None


def touch(url: str, copy: WarmCopy) -> None:
    """As if nobody had been there."""
    on_server(url, f"alter database {copy.name} allow_connections true")
    on_server(url, "delete from small", copy.name)
    on_server(url, f"alter database {copy.name} allow_connections false")


def test_one_that_was_written_to_is_not_used_but_goes(fleet: InlineFleet, url: str) -> None:
    [copy] = there(fleet)
    touch(url, copy)
    assert seen(fleet).warm is None
    assert cold(fleet.restore())
    assert on_server(url, "select what from small", Dsn.parse(url).dbname) == [("as in the snapshot",)]
    schedule.housekeeping(fleet.fleet)
    assert (there(fleet), ours(url)) == ([], ["parked"])


def test_what_has_another_name_by_now_or_only_its_name_is_not_dropped(fleet: InlineFleet, url: str) -> None:
    [copy] = there(fleet)
    on_server(url, f"alter database {copy.name} rename to mine_{copy.oid}")
    on_server(url, f"create database {copy.name}")
    schedule.housekeeping(fleet.fleet)
    assert (there(fleet), ours(url)) == ([], ["warm"])
    assert fleet_oid(url, f"mine_{copy.oid}") == copy.oid
    on_server(url, f"drop database {copy.name}")


def test_one_that_is_touched_after_it_was_reserved_is_not_used_either(fleet: InlineFleet, url: str) -> None:
    [copy] = there(fleet)

    def spoil(_: Job, step: str) -> None:
        if step == "create" and fleet_oid(url, copy.name) == copy.oid:
            touch(url, copy)

    fleet.before = spoil
    assert cold(fleet.restore())
    assert on_server(url, "select what from small", Dsn.parse(url).dbname) == [("as in the snapshot",)]
    assert there(fleet) == []
    assert ours(url) == ["parked"]


@pytest.fixture
def given_away(postgres: Postgres, url: str) -> Generator[Callable[[WarmCopy], None]]:
    """Give a copy to a superuser, so that its drop is refused; what was given away comes back in the end."""
    given: list[str] = []

    def give(copy: WarmCopy) -> None:
        given.append(copy.name)
        on_server(postgres.dsn(), f"alter database {copy.name} owner to current_user")

    yield give
    for name in given:
        if fleet_oid(url, name) is not None:
            on_server(postgres.dsn(), f"alter database {name} owner to {Dsn.parse(url).user}")


def test_one_that_cannot_be_dropped_stops_no_proof_and_goes_once_it_can_be(
    fleet: InlineFleet, url: str, postgres: Postgres, given_away: Callable[[WarmCopy], None]
) -> None:
    [copy] = there(fleet)
    given_away(copy)
    warmed(fleet)
    newer, older = there(fleet)
    assert (older.job_id, older.let_go_at is None, newer.let_go_at) == (copy.job_id, False, None)
    plan = seen(fleet)
    assert plan.warm == newer
    assert plan.warm_bytes == newer.size_bytes, "what cannot be dropped makes no room"
    schedule.housekeeping(fleet.fleet)
    assert fleet_oid(url, copy.name) == copy.oid
    on_server(postgres.dsn(), f"alter database {copy.name} owner to {Dsn.parse(url).user}")
    schedule.housekeeping(fleet.fleet)
    assert (there(fleet), fleet_oid(url, copy.name)) == ([newer], None)


@pytest.mark.parametrize("cancelled", [False, True])
def test_nor_does_it_stop_the_restore_that_relies_on_it(
    cancelled: bool, fleet: InlineFleet, url: str, given_away: Callable[[WarmCopy], None]
) -> None:
    [copy] = there(fleet)
    given: list[Job] = []

    def give(job: Job, step: str) -> None:
        if step == "create" and not given:
            given.append(job)
            given_away(copy)
            if cancelled:
                with fleet.fleet.catalog.transaction() as tx:
                    tx.jobs.request_cancel(job.id)

    fleet.before = give
    restored = fleet.restore()
    assert given
    if cancelled:
        assert restored.state is JobState.CANCELLED
    else:
        assert cold(restored)
    [left] = there(fleet)
    assert (left.job_id, left.let_go_at is None) == (copy.job_id, False)
    on_server(url, "select 1", Dsn.parse(url).dbname)


def test_nor_does_one_that_is_given_away_between_the_last_look_and_its_rename(
    fleet: InlineFleet, url: str, tmp_path: Path, given_away: Callable[[WarmCopy], None]
) -> None:
    [copy] = there(fleet)
    (tmp_path / "warm.taking").write_text("hold", "ascii")
    held = tmp_path / f"warm.taking{failpoints.STRUCK}"
    failpoints.arm(tmp_path)
    try:
        with ThreadPoolExecutor(max_workers=1) as beside:
            restored = beside.submit(fleet.restore)
            try:
                deadline = time.monotonic() + PATIENCE_SECONDS
                while not held.exists():
                    assert time.monotonic() < deadline, "it did not come so far"
                    time.sleep(0.01)
                given_away(copy)
            finally:
                held.unlink(missing_ok=True)
            assert cold(restored.result())
    finally:
        failpoints.disarm()
    [left] = there(fleet)
    assert (left.job_id, fleet_oid(url, copy.name)) == (copy.job_id, copy.oid)


def test_one_of_a_server_that_was_restarted_is_used_and_one_of_a_server_that_has_crashed_is_not(
    own_postgres: Postgres, database: Maker, inline: Inline
) -> None:
    """What was unlogged in it is gone."""
    url = database(own_postgres)
    fill(url, SCHEMA)
    fleet = inline(url, warm=True)
    warmed(fleet)
    own_postgres.stop()
    own_postgres.start()
    assert seen(fleet).warm is not None
    own_postgres.kill()
    own_postgres.start()
    assert seen(fleet).warm is None
    assert cold(fleet.restore())
    assert on_server(url, "select one from quick", Dsn.parse(url).dbname) == [(1,)]
    schedule.housekeeping(fleet.fleet)
    assert ours(url) == ["parked"]


def test_a_plan_that_is_made_twice_keeps_to_the_copy_that_it_took_first(fleet: InlineFleet) -> None:
    """Its worker died after it, and meanwhile another proof has made another copy."""
    [copy] = there(fleet)
    made: list[Job] = []

    def again(job: Job, step: str) -> None:
        if (job.kind, step, made) == (JobKind.RESTORE, "plan", []):
            made.append(job)
            with fleet.fleet.catalog.transaction() as tx:
                assert tx.warm.take(copy.job_id, by=job.id)
            proof = verify.request(copy.snapshot_id, prune_job_id=None)
            beside = fleet.submit(JobKind.VERIFY, proof)
            succeeded(fleet.to_its_end(beside.id))
            assert len(there(fleet)) == 2

    fleet.before = again
    restored = succeeded(fleet.restore())
    assert restored.result["proven_by"] == copy.job_id
    [other] = there(fleet)
    assert (other.taken_by, seen(fleet).warm) == (None, other)


def test_what_was_asked_between_proof_and_keeping_was_not_proven(fleet: InlineFleet) -> None:
    def ask(job: Job, step: str) -> None:
        if (job.kind, step) == (JobKind.VERIFY, "drop"):
            configure(fleet, assertions=(Assertion(name="a.sql", sql="select false"),))

    fleet.before = ask
    warmed(fleet)
    assert seen(fleet).warm is None


def test_one_that_was_proven_by_other_assertions_is_not_used(fleet: InlineFleet) -> None:
    configure(fleet, assertions=(Assertion(name="a.sql", sql="select count(*) = 1 from small"),))
    assert seen(fleet).warm is None


def test_it_stays_until_a_newer_snapshot_is_proven_or_nobody_asks_for_it(
    fleet: InlineFleet, url: str
) -> None:
    [copy] = there(fleet)
    succeeded(fleet.snapshot())
    schedule.housekeeping(fleet.fleet)
    assert there(fleet) == [copy]
    assert seen(fleet).warm is None, "the newest is another one"
    configure(fleet, warm=False)
    schedule.housekeeping(fleet.fleet)
    assert (there(fleet), ours(url)) == ([], [])


def test_only_the_newest_snapshot_has_one(fleet: InlineFleet, url: str) -> None:
    [first] = there(fleet)
    old = first.snapshot_id
    warmed(fleet)
    [copy] = there(fleet)
    assert copy.snapshot_id != old
    assert copy.oid != first.oid
    assert ours(url) == ["warm"]
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        on_server(url, "select 1", copy.name)
    succeeded(fleet.verify(old))
    assert there(fleet) == [copy]


def test_a_proof_that_compared_less_keeps_none_and_a_restore_under_another_name_takes_none(
    fleet: InlineFleet,
) -> None:
    [copy] = there(fleet)
    succeeded(fleet.verify(copy.snapshot_id, digests=Digests.NONE))
    assert there(fleet) == [copy]
    chosen = requests.choose_snapshot(fleet.fleet, NAME, snapshot_id=None, at=None)
    beside = preview.restore_of(fleet.fleet, Intent(database=NAME, snapshot=chosen, to="beside"))
    assert (beside.warm, beside.warm_bytes) == (None, copy.size_bytes), "whose room it may have"
    assert cold(fleet.restore(to=f"beside_{uuid.uuid4().hex[:8]}"))
    assert there(fleet) == [copy]


@pytest.mark.parametrize("step", ["create", "settle"])
def test_a_restore_that_is_cancelled_leaves_nothing_but_the_copy_as_it_was(
    step: str, fleet: InlineFleet, url: str, postgres: Postgres
) -> None:
    def cancel(job: Job, name: str) -> None:
        if name == step and job.kind is JobKind.RESTORE:
            with fleet.fleet.catalog.transaction() as tx:
                tx.jobs.request_cancel(job.id)

    [copy] = there(fleet)
    fleet.before = cancel
    with_copy = step == "create"
    live = Dsn.parse(url).dbname
    before = fingerprint(postgres, live)
    assert fleet.restore().state is JobState.CANCELLED
    assert_same(fingerprint(postgres, live), before)
    assert there(fleet) == ([copy] if with_copy else [])
    assert ours(url) == (["warm"] if with_copy else [])


def test_a_start_of_a_service_finds_its_database_at_once(fleet: InlineFleet, url: str) -> None:
    name = Dsn.parse(url).dbname
    fill(url, "drop schema public cascade; create schema public")
    begun = bootstrap.begin(fleet.fleet, NAME, job_id=str(uuid.uuid4()), as_superuser=False, by=TESTER)
    assert begun.accepted is not None
    assert succeeded(fleet.to_its_end(begun.accepted.job.id)).result["warm"] is True
    assert on_server(url, "select what from small", name) == [("as in the snapshot",)]


def test_where_its_objects_are_lost_the_warm_copy_still_comes_back(
    database: Maker, inline: Inline, folder: Path
) -> None:
    lost = database()
    fill(lost, "create table small as select 'as in the snapshot' as what")
    fleet = inline(lost, warm=True)
    warmed(fleet)
    for path in (folder / NAME / "chunks").rglob("*"):
        if path.is_file():
            path.unlink()
    assert succeeded(fleet.restore()).result["warm"] is True


def test_a_full_disk_takes_it_and_the_next_attempt_has_its_room(fleet: InlineFleet, url: str) -> None:
    """The way a step ends that has filled the disk, around one that does nothing else."""
    [copy] = there(fleet)

    def full(_: object) -> Any:
        raise Transient("no space", code="disk_full")

    job = fleet.submit(JobKind.VERIFY, verify.request(copy.snapshot_id, prune_job_id=None))
    with fleet.fleet.catalog.transaction() as tx:
        claim = tx.jobs.claim(job.id, epoch=job.epoch, seq=1, owner="test", ttl=timedelta(0))
    assert claim is not None
    with pytest.raises(Transient):
        warm.yielding(full)(StepRun(fleet.fleet, claim, resumed=False))
    assert (there(fleet), ours(url)) == ([], [])
    requests.cancel(fleet.fleet, job.id, by=TESTER)
    assert fleet.to_its_end(job.id).state is JobState.CANCELLED


def test_check_finds_one_that_nobody_owns_and_no_other(fleet: InlineFleet) -> None:
    [copy] = there(fleet)

    def sides() -> list[str]:
        looked = succeeded(fleet.run(JobKind.CHECK, check.request()))
        return [f.subject for f in check.findings_in(looked.result) if f.code.startswith("side_database")]

    assert sides() == []
    with fleet.fleet.catalog.transaction() as tx:
        tx.warm.dropped(copy.job_id)
    assert sides() == [copy.name]


def test_without_it_nothing_is_kept(fleet: InlineFleet, url: str, postgres: Postgres) -> None:
    configure(fleet, warm=False)
    schedule.housekeeping(fleet.fleet)
    with nothing_changes(postgres, Dsn.parse(url).dbname):
        warmed(fleet)
    assert there(fleet) == []
