"""A snapshot counts once a real restore of it, in a scratch database, was what it says."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from embedded.postgres import Postgres
from shared.domain.job import Job, JobKind, JobState
from shared.domain.proof import VerifyPolicy
from shared.domain.snapshot import Snapshot
from shared.operations import steps
from shared.operations.jobs import saga
from shared.operations.jobs.saga import Outcome, StepActions, StepRun
from shared.operations.proofs import rereading, verify
from shared.postgres.dsn import Dsn
from tests.integration.comparison import names, nothing_changes
from tests.integration.conftest import Inline, RoleMaker
from tests.integration.inline_fleet import NAME, InlineFleet, refused
from tests.integration.test_round_trip import PAGEFUL, fill, pages, succeeded

Maker = Callable[..., str]
SMALL = "create table item (id int primary key, v text); insert into item select n, n::text from generate_series(1, 9) n;"


def verify_jobs(fleet: InlineFleet) -> list[Job]:
    with fleet.fleet.catalog.transaction() as tx:
        return [job for job in tx.jobs.listing() if job.kind is JobKind.VERIFY]


def kinds(fleet: InlineFleet) -> list[str]:
    """Of all jobs, the oldest first."""
    with fleet.fleet.catalog.transaction() as tx:
        return [str(job.kind) for job in reversed(tx.jobs.listing())]


def events(fleet: InlineFleet) -> list[str]:
    with fleet.fleet.catalog.engine.connect() as connection:
        return list(connection.execute(text("select type from outbox order by sequence")).scalars())


def newest(fleet: InlineFleet) -> Snapshot:
    return fleet.snapshots()[0]


def test_a_proven_snapshot_is_verified_and_leaves_no_scratch_database(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    fill(url, SMALL + PAGEFUL + pages(1, 1500))
    fleet = inline(url, verify=VerifyPolicy.ALWAYS)
    with nothing_changes(postgres, Dsn.parse(url).dbname):
        succeeded(fleet.snapshot())
    [job] = verify_jobs(fleet)
    succeeded(job)
    assert newest(fleet).standing == "verified"
    with fleet.fleet.catalog.transaction() as tx:
        [kept] = tx.verifications.of_snapshot(newest(fleet).id)
    assert (kept.matched, kept.differences, kept.job_id) == (True, (), job.id)
    assert kept.compared["rows"] == 1509
    assert kept.restore_seconds > 0
    # Retention runs for what is proven, and after it.
    assert kinds(fleet) == ["snapshot", "verify", "prune"]
    assert events(fleet)[-2:] == ["prune.started", "prune.succeeded"]


@pytest.mark.parametrize(
    ("policy", "proofs"), [(VerifyPolicy.ALWAYS, 2), (VerifyPolicy.DAILY, 1), (VerifyPolicy.NEVER, 0)]
)
def test_the_policy_says_which_snapshots_are_proven(
    policy: VerifyPolicy, proofs: int, database: Maker, inline: Inline
) -> None:
    url = database()
    fill(url, SMALL)
    fleet = inline(url, verify=policy)
    for _ in range(2):
        succeeded(fleet.snapshot())
    assert len(verify_jobs(fleet)) == proofs
    assert kinds(fleet).count("prune") == 2


def tampered(fleet: InlineFleet, change: str) -> Job:
    """Take a snapshot whose restore somebody changes before it is compared; the job of its proof."""

    def tamper(job: Job, step: str) -> None:
        if (job.kind, step) == (JobKind.VERIFY, "prove"):
            side = str(fleet.step_data(job, "create")["side"])
            with psycopg.connect(
                fleet.fleet.dsn(NAME).for_database(side).conninfo("test"), autocommit=True
            ) as s:
                s.execute(change.encode())

    fleet.before = tamper
    succeeded(fleet.snapshot())
    [job] = verify_jobs(fleet)
    return job


def test_a_refuted_snapshot_says_every_difference_and_lets_nothing_be_deleted(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    fill(url, SMALL)
    fleet = inline(url, verify=VerifyPolicy.ALWAYS)
    with nothing_changes(postgres, Dsn.parse(url).dbname):
        job = tampered(fleet, "delete from item where id = 3")
    refused(job, "not_proven", "public.item has 8 rows instead of 9")
    assert newest(fleet).standing == "refuted"
    with fleet.fleet.catalog.transaction() as tx:
        [kept] = tx.verifications.of_snapshot(newest(fleet).id)
    assert kept.differences == ("public.item has 8 rows instead of 9",)
    assert "prune" not in kinds(fleet)
    assert events(fleet).count("verify.refuted") == 1


def test_a_proof_that_cannot_be_made_says_what_the_role_lacks(
    role: RoleMaker, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    fill(url, SMALL)
    poor = role(postgres, "login password 'secret'")
    fleet = inline(
        url,
        verify=VerifyPolicy.ALWAYS,
        verify_url=postgres.dsn("postgres", user=poor, password="secret"),
    )
    before = names(postgres)
    succeeded(fleet.snapshot())
    [job] = verify_jobs(fleet)
    refused(job, "insufficient_rights", "may not create the scratch database")
    assert newest(fleet).standing == "sealed"
    assert names(postgres) == before


def test_a_restore_proves_its_snapshot_as_well(database: Maker, inline: Inline) -> None:
    url = database()
    fill(url, SMALL)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    restored = succeeded(fleet.restore())
    assert newest(fleet).standing == "verified"
    with fleet.fleet.catalog.transaction() as tx:
        kept = tx.verifications.newest(NAME)
    assert kept is not None
    assert (kept.job_id, kept.matched) == (restored.id, True)


def test_a_snapshot_that_cannot_be_loaded_is_refuted(
    database: Maker, postgres: Postgres, inline: Inline, folder: Path
) -> None:
    url = database()
    fill(url, SMALL + PAGEFUL + pages(1, 1500))
    fleet = inline(url)
    taken = newest_id(fleet)
    assert read_again(fleet) == {}
    part = fleet.fleet.repository.get_manifest(NAME, taken, sha256=None).parts[-1].chunks[0]
    path = folder / NAME / "chunks" / part.sha256[:2] / part.sha256
    path.write_bytes(path.read_bytes()[:-1])
    with nothing_changes(postgres, Dsn.parse(url).dbname):
        refused(fleet.verify(taken), "chunk_damaged", part.sha256)
    assert newest(fleet).standing == "refuted"
    assert list(read_again(fleet)) == [part.sha256]
    # The next one stores it again, and the old one is as good as new.
    succeeded(fleet.snapshot())
    succeeded(fleet.verify(taken))


def read_again(fleet: InlineFleet) -> Mapping[str, str]:
    """What is wrong with which object of the newest snapshot."""
    return rereading.read_again(
        fleet.fleet, newest(fleet), reading_id=str(uuid.uuid4()), each=lambda _: None
    )[1]


def newest_id(fleet: InlineFleet) -> str:
    return str(succeeded(fleet.snapshot()).request["snapshot_id"])


class Killed(BaseException):
    """The process is gone: nobody catches this."""


def killed_after(fleet: InlineFleet, job_id: str, step: str) -> bool:
    """Let a worker die once it has done this step and has not said so; False where that is not its turn."""

    def die(run: StepRun) -> Outcome:
        steps.STEPS[run.job.kind, step].do(run)
        raise Killed

    job = fleet.job(job_id)
    if job.step != step or job.state is not JobState.ACTIVE:
        return False
    doomed = {**steps.STEPS, (job.kind, step): StepActions(do=die)}
    with pytest.raises(Killed):
        saga.run_step(doomed, job.id, epoch=job.epoch, seq=job.next_seq, fleet=fleet.fleet)
    fleet.bell.rung.clear()
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.execute(text("update job set lease_until = now() - interval '1 s'"))
    fleet.let_time_pass()
    return True


def begun(fleet: InlineFleet, snapshot_id: str) -> str:
    return fleet.submit(JobKind.VERIFY, verify.request(snapshot_id, prune_job_id=None)).id


def test_a_proof_whose_worker_dies_after_any_step_is_made_and_leaves_nothing(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    fill(url, SMALL + PAGEFUL + pages(1, 1500))
    fleet = inline(url)
    taken = newest_id(fleet)
    for deaths in (["plan", "create", "load", "drop"], ["create", "build", "prove"]):
        with nothing_changes(postgres, Dsn.parse(url).dbname):
            job_id, left = begun(fleet, taken), list(deaths)

            def strike(job: Job, step: str, left: list[str] = left) -> None:
                if left and step == left[0]:
                    left.pop(0)
                    assert killed_after(fleet, job.id, step)

            fleet.before = strike
            succeeded(fleet.to_its_end(job_id))
        assert left == []
    assert newest(fleet).standing == "verified"


def test_a_proof_whose_worker_always_dies_ends_and_leaves_nothing(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    fill(url, SMALL)
    fleet = inline(url)
    taken = newest_id(fleet)
    with nothing_changes(postgres, Dsn.parse(url).dbname):
        job_id = begun(fleet, taken)

        def strike(job: Job, _step: str) -> None:
            killed_after(fleet, job.id, "create")

        fleet.before = strike
        refused(fleet.to_its_end(job_id), "worker_lost")
    assert newest(fleet).standing == "sealed"


def test_a_restore_runs_beside_a_proof(database: Maker, inline: Inline) -> None:
    """A long proof holds nothing up."""
    url = database()
    fill(url, SMALL)
    fleet = inline(url)
    taken = newest_id(fleet)
    restored: list[Job] = []

    def meanwhile(job: Job, step: str) -> None:
        if (job.kind, step) == (JobKind.VERIFY, "prove"):
            restored.append(fleet.restore())

    fleet.before = meanwhile
    succeeded(fleet.verify(taken))
    succeeded(restored[0])


def test_a_scratch_database_with_a_subscription_is_dropped_and_its_publisher_left_alone(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    """PostgreSQL drops no database that is subscribed to something; only superusers can bring one back."""
    name = Dsn.parse(database()).dbname
    url = postgres.dsn(name)
    fill(url, "create subscription news connection 'dbname=nowhere' publication p with (connect = false)")
    fleet = inline(url)
    fleet.configure(restore_as_superuser=True)
    with nothing_changes(postgres, name):
        succeeded(fleet.verify(newest_id(fleet)))
    fill(url, "alter subscription news disable; alter subscription news set (slot_name = none)")
    fill(url, "drop subscription news")
