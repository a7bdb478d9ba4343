"""Several processes at the same statement at the same moment: one gets it, the others learn so."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import TypeVar

import pytest

from embedded.postgres import Postgres
from shared.catalog import catalog
from shared.catalog.catalog import Catalog, Transaction
from shared.catalog.jobs import Claim
from shared.catalog.migration import migrate
from shared.domain.job import Job, JobKind, JobState, NewJob
from shared.domain.snapshot import Reason
from shared.errors import Busy, Unreachable

T = TypeVar("T")
RACERS = 6
TTL = timedelta(minutes=1)
PATIENCE_SECONDS = 60.0


@pytest.fixture
def url(database: Callable[..., str]) -> str:
    return database()


@pytest.fixture
def ours(url: str) -> Generator[Catalog]:
    made = catalog.connect(url)
    migrate(made)
    with made.transaction() as tx:
        tx.schedules.know(["orders", "ledger"])
    yield made
    made.close()


def race(ours: Catalog, act: Callable[[Transaction, int], T]) -> list[T | None]:
    """What each racer got; None for one that was told that another was quicker."""
    start = Barrier(RACERS)

    def run(number: int) -> T | None:
        try:
            with ours.transaction() as tx:
                tx.jobs.now()  # connected: only the statement itself is left to do
                start.wait(10)
                return act(tx, number)
        except Busy:
            return None

    with ThreadPoolExecutor(RACERS) as threads:
        return list(threads.map(run, range(RACERS)))


def submit(tx: Transaction, *, key: str, kind: JobKind = JobKind.SNAPSHOT, database: str = "orders") -> str:
    new = NewJob(id=str(uuid.uuid4()), kind=kind, database=database, request={}, idempotency_key=key)
    return tx.jobs.submit(new)[0].id


def test_one_key_handed_in_by_many_at_once_makes_one_job(ours: Catalog) -> None:
    ids = race(ours, lambda tx, _: submit(tx, key="nightly"))
    assert None not in ids
    assert len(set(ids)) == 1


def test_of_many_waiting_jobs_of_a_database_one_is_started_whoever_asks(ours: Catalog) -> None:
    with ours.transaction() as tx:
        oldest = submit(tx, key="a")
    with ours.transaction() as tx:
        submit(tx, key="b", kind=JobKind.RESTORE)
    started = race(ours, lambda tx, _: tx.jobs.activate())
    assert [job.id for jobs in started for job in jobs or ()] == [oldest]


def test_a_message_delivered_to_many_at_once_is_claimed_once(ours: Catalog) -> None:
    with ours.transaction() as tx:
        submit(tx, key="a")
        (job,) = tx.jobs.activate()
    claims = race(
        ours, lambda tx, n: tx.jobs.claim(job.id, epoch=job.epoch, seq=1, owner=f"worker {n}", ttl=TTL)
    )
    assert sum(claim is not None for claim in claims) == 1


def test_many_reapers_at_once_ring_a_stuck_job_once(ours: Catalog) -> None:
    with ours.transaction() as tx:
        submit(tx, key="a")
        (job,) = tx.jobs.activate()
        tx.jobs.claim(job.id, epoch=job.epoch, seq=1, owner="dead", ttl=-TTL)
    rung = [found for jobs in race(ours, lambda tx, _: tx.jobs.reap()) for found in jobs or ()]
    assert [(found.id, found.epoch, found.attempts) for found in rung] == [(job.id, job.epoch + 1, 1)]


def test_a_part_is_taken_once_however_many_hands_there_are(ours: Catalog) -> None:
    with ours.transaction() as tx:
        submit(tx, key="a")
        (job,) = tx.jobs.activate()
        tx.parts.plan(job.id, epoch=job.epoch, parts=[(n, {}, 1) for n in range(1, RACERS)])
    taken = race(ours, lambda tx, n: tx.parts.take(job.id, epoch=job.epoch, owner=f"hand {n}", ttl=TTL))
    numbers = sorted(part.number for part in taken if part is not None)
    assert numbers == list(range(1, RACERS))


def test_the_part_of_a_dead_hand_is_taken_again_and_its_late_word_counts_nothing(ours: Catalog) -> None:
    with ours.transaction() as tx:
        submit(tx, key="a")
        (job,) = tx.jobs.activate()
        tx.parts.plan(job.id, epoch=job.epoch, parts=[(1, {}, 1)])
        assert tx.parts.take(job.id, epoch=job.epoch, owner="dead", ttl=-TTL)
        assert tx.parts.take(job.id, epoch=job.epoch, owner="next", ttl=TTL)
        assert tx.parts.take(job.id, epoch=job.epoch, owner="third", ttl=TTL) is None

        def hand_in(owner: str, epoch: int) -> bool:
            return tx.parts.finish(
                job.id, epoch=epoch, number=1, owner=owner, done_bytes=1, result={"by": owner}
            )

        assert not hand_in("dead", job.epoch)
        assert not tx.parts.renew(job.id, epoch=job.epoch, number=1, owner="dead", ttl=TTL, done_bytes=0)
        tx.parts.give_back(job.id, epoch=job.epoch, number=1, owner="dead")
        assert not hand_in("next", job.epoch - 1)
        assert hand_in("next", job.epoch)
        assert [result for _, result in tx.parts.results(job.id)] == [{"by": "next"}]


def test_parts_of_a_superseded_epoch_are_nobodys(ours: Catalog) -> None:
    """Its lead is gone, and with it the moment in which the parts were to be read."""
    with ours.transaction() as tx:
        submit(tx, key="a")
        (job,) = tx.jobs.activate()
        tx.parts.plan(job.id, epoch=job.epoch, parts=[(1, {}, 1), (2, {}, 1)])
        assert tx.parts.take(job.id, epoch=job.epoch, owner="hand", ttl=TTL)
        tx.jobs.claim(job.id, epoch=job.epoch, seq=1, owner="dead", ttl=-TTL)
        tx.jobs.reap()
        assert tx.parts.take(job.id, epoch=job.epoch, owner="hand", ttl=TTL) is None
        assert not tx.parts.finish(job.id, epoch=job.epoch, number=1, owner="hand", done_bytes=1, result={})


def test_hiding_a_snapshot_and_holding_it_cannot_both_win(ours: Catalog) -> None:
    """Retention waits for the restore that is just taking hold, and then lets go of the snapshot."""
    with ours.transaction() as tx:
        job = submit(tx, key="a", kind=JobKind.RESTORE)
        tx.snapshots.begin("s1", database="orders", job_id=job, reason=Reason.MANUAL, labels={})
    with ours.engine.begin() as connection:
        connection.exec_driver_sql(
            "update snapshot set state = 'sealed', manifest_sha256 = 'x', taken_at = now()"
        )
    with ThreadPoolExecutor(1) as threads:
        with ours.transaction() as tx:
            assert tx.snapshots.hold("s1", job_id=job)

            def hide() -> None:
                with ours.transaction() as other:
                    other.snapshots.hide(["s1"])

            hiding = threads.submit(hide)
            waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            with ours.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watching:
                while not hiding.done() and not watching.exec_driver_sql(waiting).first():
                    pass
        hiding.result(20)
    with ours.transaction() as tx:
        assert tx.snapshots.being_deleted("orders") == []
        assert tx.snapshots.held("orders") == {"s1"}


def test_a_worker_that_falls_asleep_in_the_middle_of_a_transaction_does_not_keep_its_job(
    ours: Catalog, url: str
) -> None:
    """The reaper passes locked rows by; the server ends a transaction in which nothing happens."""
    with ours.transaction() as tx:
        submit(tx, key="a")
        (job,) = tx.jobs.activate()
        claim = tx.jobs.claim(job.id, epoch=job.epoch, seq=1, owner="sleepy", ttl=-TTL)
    assert claim is not None
    sleepy = catalog.connect(url, patience=timedelta(milliseconds=500))
    with pytest.raises(Unreachable), sleepy.transaction() as asleep:
        others_go_on(ours, asleep, claim)
    sleepy.close()


def others_go_on(ours: Catalog, asleep: Transaction, claim: Claim) -> None:
    assert asleep.jobs.renew(claim, ttl=TTL, progress=None) is not None
    assert reap(ours) == []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (rung := reap(ours)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [(found.id, found.epoch) for found in rung] == [(claim.job.id, claim.job.epoch + 1)]


def test_an_accepted_job_outlives_a_crash_of_the_catalogs_server(tmp_path: Path) -> None:
    """Though that server would report commits as done before they are."""
    server = Postgres(tmp_path / "postgres", settings={"fsync": "off", "synchronous_commit": "off"})
    server.start()
    ours = catalog.connect(server.dsn())
    try:
        migrate(ours)
        with ours.transaction() as tx:
            tx.schedules.know(["orders"])
        with ours.transaction() as tx:
            job_id = submit(tx, key="a")
        server.kill()
        server.start()
        with ours.transaction() as tx:
            assert tx.jobs.get(job_id) is not None
    finally:
        ours.close()
        server.stop()


def reap(ours: Catalog) -> list[Job]:
    with ours.transaction() as tx:
        return tx.jobs.reap()


def test_a_job_that_succeeds_after_all_shows_no_error(ours: Catalog) -> None:
    """A cancellation that came too late and an attempt that failed are not how it ended."""
    with ours.transaction() as tx:
        submit(tx, key="a", kind=JobKind.PRUNE)
        (job,) = tx.jobs.activate()
        claim = tx.jobs.claim(job.id, epoch=job.epoch, seq=1, owner="worker", ttl=TTL)
        assert claim is not None
        tx.jobs.request_cancel(job.id)
        ended = tx.jobs.finish(claim, result={})
    assert ended is not None
    assert ended.state is JobState.SUCCEEDED
    assert ended.error is None
