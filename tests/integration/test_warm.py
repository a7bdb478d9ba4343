"""A warm copy: what a proof has restored becomes the live database, unless anything about it is in doubt."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.plans import RestorePlan
from cli import plans, records, watching
from embedded.postgres import Postgres
from shared.domain.job import Job, JobKind, JobState
from shared.domain.proof import Digests
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
from tests.integration.comparison import assert_same, fingerprint, nothing_changes
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_round_trip import fill, succeeded
from tests.integration.warm_home import (
    cold,
    configure,
    fleet_oid,
    on_server,
    ours,
    readied,
    seen,
    there,
    url_of,
    warmed,
)

Maker = Callable[..., str]


@pytest.fixture
def url(home: InlineFleet) -> str:
    return url_of(home)


@pytest.fixture
def fleet(home: InlineFleet) -> InlineFleet:
    return readied(home)


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
