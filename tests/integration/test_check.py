"""A check finds what is wrong with snapshots and what jobs left behind; what it fixes is ours and used by nobody."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from embedded.postgres import Postgres
from shared.catalog.chunks import KnownChunk
from shared.domain import schedule as slots
from shared.domain.findings import KINDS, Finding
from shared.domain.job import Job, JobKind, JobState
from shared.domain.proof import VerifyPolicy
from shared.errors import Refused
from shared.operations import steps
from shared.operations.jobs import blocking, saga
from shared.operations.upkeep import check, inventory, schedule, tidying
from shared.postgres import databases
from shared.postgres.dsn import Dsn
from shared.storage.folder import FolderStorage
from shared.storage.s3 import S3Storage
from tests.actors import TESTER
from tests.integration import dying
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_schedule import change, tick

Maker = Callable[..., str]
DAY_SECONDS = 86_400


@pytest.fixture
def url(database: Maker) -> str:
    made = database()
    with psycopg.connect(made, autocommit=True) as session:
        session.execute("create table item as select i as id from generate_series(1, 500) i")
    return made


@pytest.fixture
def fleet(url: str, inline: Inline) -> InlineFleet:
    """With one good snapshot."""
    made = inline(url)
    assert made.snapshot().state is JobState.SUCCEEDED
    return made


def look(fleet: InlineFleet, *, apply: str | None = None) -> Job:
    return fleet.to_its_end(fleet.submit(JobKind.CHECK, check.request(apply=apply)).id)


def findings(job: Job) -> list[Finding]:
    assert job.state is JobState.SUCCEEDED, job.error
    return [f for f in check.findings_in(job.result) if f.code != "indexes_not_checked"]


def codes(job: Job) -> list[str]:
    return [finding.code for finding in findings(job)]


def fixed(fleet: InlineFleet, job: Job) -> dict[str, int]:
    done = look(fleet, apply=job.id)
    assert done.state is JobState.SUCCEEDED, done.error
    return dict(done.result["fixed"])


def on_server(server: Postgres, statement: str, name: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL(statement).format(sql.Identifier(name)))


def told(fleet: InlineFleet) -> list[Any]:
    """The data of every event about findings."""
    with fleet.fleet.catalog.engine.connect() as catalog:
        query = "select data from outbox where type = 'check.finding' order by id"
        return list(catalog.execute(text(query)).scalars())


def test_where_all_is_well_nothing_is_found_and_nothing_told(fleet: InlineFleet) -> None:
    job = look(fleet)
    assert (findings(job), job.result["fixes"], told(fleet)) == ([], [], [])


def test_a_database_that_is_away_is_a_finding_and_hides_no_other(fleet: InlineFleet) -> None:
    blocking.block(fleet.fleet, NAME, why="a test", by=TESTER)
    fleet.point_at("postgresql://nobody@127.0.0.1:1/x")
    job = look(fleet)
    assert set(codes(job)) == {"unreachable", "database_blocked"}
    assert job.result["worst"] == "error"
    (event,) = told(fleet)
    assert [each["code"] for each in event["findings"]] == codes(job)
    assert (event["worst"], event["count"]) == ("error", len(codes(job)))


def test_a_proof_that_is_missing_old_or_wrong_is_found(fleet: InlineFleet) -> None:
    always = {NAME: replace(fleet.fleet.database(NAME), verify=VerifyPolicy.ALWAYS)}
    fleet.configure(databases=always)
    assert codes(look(fleet)) == ["never_proven"]
    change(fleet, "update snapshot set verified_at = now(), taken_at = now() - interval '37 h'")
    (old,) = findings(look(fleet))
    assert (old.code, "37 hours old" in old.what) == ("proof_old", True)
    change(fleet, "update snapshot set taken_at = now() - interval '35 h'")
    assert codes(look(fleet)) == []
    change(fleet, "update snapshot set suspicions = '[\"no tables\"]', refuted_at = now()")
    assert codes(look(fleet)) == ["newest_refuted", "never_proven", "newest_suspect"]


def test_objects_that_are_gone_altered_or_unknown_are_told_apart(fleet: InlineFleet, folder: Path) -> None:
    chunks = sorted((folder / NAME / "chunks").rglob("*/*"))
    with fleet.fleet.catalog.transaction() as tx:
        known: dict[str, KnownChunk] = dict(tx.chunks.listing(NAME))
        (snapshot,) = tx.snapshots.listing(database=NAME)
    assert [chunk.name for chunk in chunks] == sorted(known)
    chunks[0].write_bytes(b"shorter")
    (folder / NAME / "chunks" / "00").mkdir(exist_ok=True)
    stranger = folder / NAME / "chunks" / "00" / ("00" + "ab" * 31)
    stranger.write_bytes(b"x")
    (folder / NAME / "readme.txt").write_bytes(b"x")
    job = look(fleet)
    assert codes(job) == ["chunk_altered", "chunk_unknown", "object_unknown"]
    altered, unknown, _ = findings(job)
    assert (altered.subject, altered.what.endswith(f"needed by {snapshot.id}")) == (chunks[0].name, True)
    assert (unknown.amount, unknown.fixable, job.result["fixes"]) == (1, False, [])

    chunks[0].unlink()
    (folder / NAME / "snapshots" / snapshot.id / "manifest.json").unlink()
    assert codes(look(fleet)) == ["chunk_missing", "manifest_missing", "chunk_unknown", "object_unknown"]


def unknown_chunk(folder: Path, *, age_seconds: float, name: str = "cd") -> Path:
    path = folder / NAME / "chunks" / name / (name * 32)
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(b"nobody's")
    then = time.time() - age_seconds
    os.utime(path, (then, then))
    return path


def test_old_objects_that_nobody_knows_are_deleted_only_as_planned(fleet: InlineFleet, folder: Path) -> None:
    old = unknown_chunk(folder, age_seconds=1.1 * DAY_SECONDS)
    young = unknown_chunk(folder, age_seconds=0.9 * DAY_SECONDS, name="ef")
    plan = look(fleet)
    assert [(f.code, f.fixable) for f in findings(plan)] == [
        ("chunk_unknown", False),
        ("chunk_unknown", True),
    ]
    assert [fix.code for fix in tidying.fixes_in(plan.result)] == ["chunk_unknown"]

    late = unknown_chunk(folder, age_seconds=2 * DAY_SECONDS, name="12")
    refused = look(fleet, apply=plan.id)
    assert (refused.state, refused.error and refused.error["code"]) == (JobState.FAILED, "plan_changed")
    assert all(path.exists() for path in (old, young, late))
    late.unlink()

    assert fixed(fleet, plan) == {"chunk_unknown": 1}
    assert (old.exists(), young.exists()) == (False, True)
    with fleet.fleet.catalog.transaction() as tx:
        assert all(row.is_stored for row in tx.chunks.listing(NAME).values())
    assert fleet.restore().state is JobState.SUCCEEDED


def test_a_fix_whose_worker_was_killed_in_the_middle_is_gone_on_with(
    database: Maker, folder: Path, url: str
) -> None:
    """What it has removed already is no change of the plan; what it has only marked goes with the next prune."""
    catalog_url = database()
    fleet = InlineFleet(url, catalog_url=catalog_url, storage=FolderStorage(folder))
    chunks = [unknown_chunk(folder, age_seconds=2 * DAY_SECONDS, name=name) for name in ("ab", "cd", "ef")]
    plan = look(fleet)
    job = fleet.submit(JobKind.CHECK, check.request(apply=plan.id))
    assert saga.run_step(steps.STEPS, job.id, epoch=job.epoch, seq=1, fleet=fleet.fleet)
    fleet.bell.rung.clear()
    worker = dying.start(
        fleet.job(job.id), source_url=url, catalog_url=catalog_url, repository=folder, deletes=1
    )
    assert worker.wait(60) == -signal.SIGKILL
    assert sum(chunk.exists() for chunk in chunks) == 2
    change(fleet, "update job set lease_until = now() - interval '1 s' where lease_until is not null")
    fleet.let_time_pass()
    assert fleet.to_its_end(job.id).state is JobState.SUCCEEDED
    assert fleet.to_its_end(fleet.submit(JobKind.PRUNE, {}).id).state is JobState.SUCCEEDED
    assert not any(chunk.exists() for chunk in chunks)
    fleet.close()


def test_what_a_manifest_names_is_never_deleted_though_the_catalog_knows_neither(
    fleet: InlineFleet, folder: Path
) -> None:
    """A catalog that was lost, and begun anew: everything looks as if it were nobody's."""
    for path in (folder / NAME / "chunks").rglob("*/*"):
        os.utime(path, (0, 0))
    change(fleet, "delete from snapshot_chunk")
    change(fleet, "delete from chunk")
    change(fleet, "delete from snapshot")
    job = look(fleet)
    assert set(codes(job)) == {"manifest_unknown", "chunk_unknown", "never_proven"}
    assert job.result["fixes"] == []
    manifest = next((folder / NAME / "snapshots").rglob("manifest.json"))
    manifest.write_bytes(b"unreadable")
    assert look(fleet).result["fixes"] == []


def test_databases_of_jobs_that_have_ended_are_dropped_and_no_others(
    fleet: InlineFleet, url: str, postgres: Postgres
) -> None:
    role = Dsn.parse(url).user
    ended = fleet.snapshot()
    names = {
        "left": databases.side_name(ended.id, 3),
        "foreign": databases.side_name(str(uuid.uuid4()), 1),
        "parked": databases.parked_name(ended.id),
        "other": "snapfleet_catalog_of_mine",
    }
    try:
        for name in names.values():
            on_server(postgres, f"create database {{}} owner {role}", name)
        plan = look(fleet)
        seen = {f.subject: (f.code, f.fixable) for f in findings(plan)}
        assert seen[names["left"]] == ("side_database", True)
        assert seen[names["foreign"]] == ("side_database_unknown", False)
        assert seen[names["parked"]] == ("parked_database", False)
        assert names["other"] not in seen
        assert fixed(fleet, plan) == {"side_database": 1}
        with psycopg.connect(postgres.dsn()) as admin:
            left = admin.execute(
                "select datname from pg_database where datname = any(%s)", [list(names.values())]
            )
            assert {name for (name,) in left} == set(names.values()) - {names["left"]}
    finally:
        for name in names.values():
            on_server(postgres, "drop database if exists {}", name)


def test_what_a_restore_parked_and_an_undo_may_bring_back_is_nobodys_leftover(fleet: InlineFleet) -> None:
    assert fleet.restore().state is JobState.SUCCEEDED
    assert findings(look(fleet)) == []
    change(fleet, "update parked set dropped_at = now()")
    assert codes(look(fleet)) == ["parked_database"]


def test_sessions_of_dead_jobs_are_ended_where_they_are_idle(fleet: InlineFleet, url: str) -> None:
    ended = fleet.snapshot()
    name = f"snapfleet:{ended.id[:13]}:{ended.epoch}"
    with (
        psycopg.connect(url, application_name=name) as idle,
        psycopg.connect(url, application_name="an application") as mine,
        psycopg.connect(url, application_name=f"snapfleet:{uuid.uuid4()!s:.13}:1") as foreign,
    ):
        idle.execute("select 1 from item")
        plan = look(fleet)
        assert [(f.code, f.fixable) for f in findings(plan)] == [("backend", True)]
        assert fixed(fleet, plan) == {"backend": 1}
        with pytest.raises(psycopg.OperationalError):
            idle.execute("select 1")
        assert mine.execute("select 1").fetchone() == foreign.execute("select 1").fetchone() == (1,)
    assert findings(look(fleet)) == []


def test_a_lock_that_a_dead_job_still_holds_is_told(fleet: InlineFleet) -> None:
    ended = fleet.snapshot()
    fleet.fleet.locks.acquire(NAME, token=f"{ended.id}:1", ttl=fleet.fleet.lease)
    assert codes(look(fleet)) == ["lock"]


def test_uploads_that_nobody_ended_are_seen_and_young_ones_left_alone(
    url: str, inline: Inline, in_s3: S3Storage
) -> None:
    fleet = inline(url, storage=in_s3)
    assert fleet.snapshot().state is JobState.SUCCEEDED
    client = in_s3._client  # noqa: SLF001 -- the one thing that the storage itself never does
    client.create_multipart_upload(Bucket=in_s3._bucket, Key=f"the/prefix/{NAME}/chunks/a")  # noqa: SLF001
    (finding,) = findings(look(fleet))
    assert (finding.code, finding.fixable) == ("upload_open", False)
    tomorrow = datetime.now(UTC) + timedelta(hours=25)
    seen = inventory.take(fleet.fleet, NAME, now=tomorrow, check=lambda: None)
    assert [upload.key for upload in seen.uploads] == [f"{NAME}/chunks/a"]


def test_a_check_that_found_nothing_to_fix_is_no_plan(fleet: InlineFleet) -> None:
    plan = look(fleet)
    refused = look(fleet, apply=plan.id)
    assert (refused.error or {})["code"] == "nothing_to_fix"
    with pytest.raises(Refused, match="is no check of"):
        tidying.planned(fleet.fleet, str(uuid.uuid4()), database=NAME)


def test_each_database_is_checked_once_a_day_and_one_that_is_new_not_before_its_hour(
    fleet: InlineFleet,
) -> None:
    assert tick(fleet.fleet) == 0
    change(fleet, "update database set created_at = now() - interval '3 days'")
    assert [tick(fleet.fleet), tick(fleet.fleet)] == [1, 0]
    with fleet.fleet.catalog.transaction() as tx:
        (made,) = [job for job in tx.jobs.listing() if job.kind is JobKind.CHECK]
    due = slots.last_slot(schedule.daily(NAME), made.created_at)
    assert made.idempotency_key == f"check:{NAME}:{due:%Y-%m-%d}"
    assert fleet.to_its_end(made.id).state is JobState.SUCCEEDED
    change(fleet, "update job set idempotency_key = 'yesterday' where kind = 'check'")
    fleet.configure(databases={NAME: replace(fleet.fleet.database(NAME), checked_daily=False)})
    assert tick(fleet.fleet) == 0


def test_every_kind_of_finding_is_explained_where_it_can_be_read_up() -> None:
    page = (Path(__file__).parents[2] / "docs" / "check.md").read_text("utf-8")
    for code, kind in KINDS.items():
        assert f"| `{code}` | {kind.severity} | {kind.means} | {kind.todo} |" in page, code
