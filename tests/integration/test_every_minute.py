"""A snapshot every minute, and what ten thousand of them cost: statements are counted, no seconds."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import event, text

from shared.domain.ids import new_snapshot_id
from shared.domain.job import JobKind, JobState
from shared.domain.retention import Policy
from shared.domain.schedule import Every
from shared.domain.snapshot import SnapshotState
from shared.operations.upkeep import prune, schedule
from shared.storage.folder import FolderStorage
from shared.storage.memory import MemoryStorage
from tests.integration.inline_fleet import NAME, InlineFleet

EACH_MINUTE = Every(every=timedelta(minutes=1), phase=timedelta())


@contextmanager
def counted(inlined: InlineFleet) -> Generator[list[str]]:
    """The statements that the catalog is sent."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, given: object, *_: object) -> None:
        sent.extend([statement] * (len(given) if isinstance(given, list) else 1))

    event.listen(inlined.fleet.catalog.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(inlined.fleet.catalog.engine, "before_cursor_execute", note)


def tick(inlined: InlineFleet) -> int:
    return schedule.tick(
        inlined.fleet,
        new_job_id=lambda: str(uuid.uuid4()),
        new_snapshot_id=lambda now: new_snapshot_id(now.astimezone(UTC), uuid.uuid4()),
    )


def change(inlined: InlineFleet, statement: str, **values: object) -> None:
    with inlined.fleet.catalog.engine.begin() as connection:
        connection.execute(text(statement), values)


@pytest.fixture
def unreached(database: Callable[..., str]) -> Generator[InlineFleet]:
    """A fleet whose database is never connected to."""
    made = InlineFleet("postgresql://nobody@127.0.0.1:1/x", catalog_url=database(), storage=MemoryStorage())
    with made.fleet.catalog.transaction() as tx:
        tx.schedules.know([NAME])
    yield made
    made.close()


def seed(inlined: InlineFleet, count: int) -> None:
    """So many sealed snapshots, a minute apart, the newest of now."""
    change(
        inlined,
        """
        insert into snapshot (id, database, sequence, state, reason, created_at, taken_at, sealed_at,
                              manifest_sha256, table_rows)
        select to_char(at, 'YYYYMMDD"T"HH24MISS"Z-"') || lpad(to_hex(n), 6, '0'), :name, n, 'sealed', 'schedule',
               at, at, at, repeat('0', 64), jsonb_build_object('public.note', n)
          from (select n, now() - (:count - n) * interval '1 min' as at
                  from generate_series(1, :count) as n) as numbered""",
        name=NAME,
        count=count,
    )


def test_a_schedule_of_a_minute_has_a_slot_each_minute_and_retention_follows_once_an_hour(
    database: Callable[..., str], tmp_path: Path
) -> None:
    inlined = InlineFleet(database(), catalog_url=database(), storage=FolderStorage(tmp_path))
    with inlined.fleet.catalog.transaction() as tx:
        tx.schedules.know([NAME])
    inlined.configure(databases={NAME: replace(inlined.fleet.database(NAME), schedule=EACH_MINUTE)})
    for _ in range(3):
        # As if a minute had passed: all that is known lies one further back.
        change(inlined, "update slot set due_at = due_at - interval '1 min'")
        change(inlined, "update job set idempotency_key = 'former ' || id where kind = 'snapshot'")
        change(inlined, "update database set slots_until = date_trunc('minute', now()) - interval '1 min'")
        assert tick(inlined) == 1
        inlined.drain()
    with inlined.fleet.catalog.transaction() as tx:
        jobs = tx.jobs.listing()
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert sorted(job.kind for job in jobs) == [JobKind.PRUNE, *[JobKind.SNAPSHOT] * 3]
    taken = [each.taken_at for each in inlined.snapshots() if each.state is SnapshotState.SEALED]
    assert len(taken) == 3
    change(
        inlined,
        "update job set created_at = created_at - interval '1 h', finished_at = now() - interval '1 h'",
    )
    change(inlined, "update database set slots_until = date_trunc('minute', now()) - interval '1 min'")
    change(inlined, "update slot set due_at = due_at - interval '1 min'")
    change(inlined, "update job set idempotency_key = 'former ' || id where kind = 'snapshot'")
    tick(inlined)
    inlined.drain()
    with inlined.fleet.catalog.transaction() as tx:
        kinds = [job.kind for job in tx.jobs.listing()]
    assert (kinds.count(JobKind.SNAPSHOT), kinds.count(JobKind.PRUNE)) == (4, 2)
    inlined.close()


def test_slots_of_a_schedule_of_a_minute_lie_a_minute_apart(unreached: InlineFleet) -> None:
    unreached.configure(databases={NAME: replace(unreached.fleet.database(NAME), schedule=EACH_MINUTE)})
    change(unreached, "update database set slots_until = now() - interval '10 min'")
    assert tick(unreached) == 1
    with unreached.fleet.catalog.engine.connect() as connection:
        due = [row.due_at for row in connection.execute(text("select due_at from slot order by due_at"))]
    assert len(due) in {10, 11}
    assert {later - earlier for earlier, later in pairwise(due)} == {timedelta(minutes=1)}


def test_to_plan_over_ten_thousand_snapshots_takes_as_many_statements_as_over_ten(
    unreached: InlineFleet,
) -> None:
    unreached.configure(
        databases={NAME: replace(unreached.fleet.database(NAME), policy=Policy(last=60, daily=7))}
    )
    seed(unreached, 10)
    with counted(unreached) as few:
        assert prune.plan(unreached.fleet, NAME).remove == ()
    change(unreached, "delete from snapshot")
    seed(unreached, 10_000)
    with counted(unreached) as many:
        planned = prune.plan(unreached.fleet, NAME)
    assert len(many) == len(few) <= 4
    assert not any("table_rows" in statement for statement in many)
    # A day's worth are younger than a day, sixty are the last that are older, and six days have one more each.
    assert 24 * 60 + 60 <= len(planned.keep) <= 24 * 60 + 60 + 8
    assert len(planned.verdicts) == 10_000


def test_a_snapshot_deleted_by_hand_is_no_run_of_retention(unreached: InlineFleet) -> None:
    span = timedelta(minutes=50)
    pruned = unreached.run(JobKind.PRUNE, prune.request())
    with unreached.fleet.catalog.transaction() as tx:
        assert tx.prunings.ran_within(NAME, span)
    change(
        unreached, """update job set request = request || '{"delete": true}' where id = :id""", id=pruned.id
    )
    with unreached.fleet.catalog.transaction() as tx:
        assert not tx.prunings.ran_within(NAME, span)


def test_tombstones_cost_a_plan_nothing(unreached: InlineFleet) -> None:
    seed(unreached, 50)
    change(unreached, "update snapshot set state = 'deleted' where sequence <= 40")
    assert len(prune.plan(unreached.fleet, NAME).verdicts) == 10


def test_retention_of_a_thousand_lets_go_a_hundred_at_a_time(unreached: InlineFleet) -> None:
    unreached.configure(databases={NAME: replace(unreached.fleet.database(NAME), policy=Policy(last=60))})
    seed(unreached, 24 * 60 + 60 + 1_000)
    with counted(unreached) as sent:
        pruned = unreached.run(JobKind.PRUNE, prune.request())
    assert pruned.state is JobState.SUCCEEDED, pruned.error
    assert len(pruned.result["removed"]) in {999, 1_000, 1_001}
    # Three for each hundred, and what any job takes.
    assert len(sent) < 90
    remaining = [each for each in unreached.snapshots() if each.state is SnapshotState.SEALED]
    assert len(remaining) in {24 * 60 + 59, 24 * 60 + 60, 24 * 60 + 61}


def test_of_large_snapshots_it_lets_go_some_twenty_thousand_chunks_at_a_time(unreached: InlineFleet) -> None:
    unreached.configure(databases={NAME: replace(unreached.fleet.database(NAME), policy=Policy(last=60))})
    seed(unreached, 24 * 60 + 60 + 3)
    change(
        unreached,
        """with made as (insert into chunk (database, sha256, raw_bytes, stored_bytes, stored_sha256, state)
                         select :name, sha256, 1, 1, sha256, 'stored'
                           from (select encode(sha256(n::text::bytea), 'hex') as sha256
                                   from generate_series(1, 15000) n) as named
                      returning sha256),
                going as (select id from snapshot order by sequence limit 2)
           insert into snapshot_chunk (snapshot_id, database, sha256)
           select going.id, :name, made.sha256 from going, made""",
        name=NAME,
    )
    with counted(unreached) as sent:
        pruned = unreached.run(JobKind.PRUNE, prune.request())
    assert pruned.state is JobState.SUCCEEDED, pruned.error
    assert sum("delete from snapshot_chunk" in each for each in sent) == 2
    with unreached.fleet.catalog.engine.connect() as connection:
        assert connection.execute(text("select count(*) from snapshot_chunk")).scalar_one() == 0


def test_what_is_stored_is_looked_through_once_a_day_and_after_a_failure(
    database: Callable[..., str], tmp_path: Path
) -> None:
    inlined = InlineFleet(database(), catalog_url=database(), storage=FolderStorage(tmp_path))

    def newest_prune_swept() -> bool:
        inlined.snapshot()
        inlined.drain()
        with inlined.fleet.catalog.transaction() as tx:
            newest = next(job for job in tx.jobs.listing() if job.kind is JobKind.PRUNE)
        assert newest.state is JobState.SUCCEEDED
        return bool(newest.result["swept"])

    assert newest_prune_swept()
    assert not newest_prune_swept()
    change(
        inlined,
        "update snapshot set state = 'failed', failed_at = now()"
        " where sequence = (select min(sequence) from snapshot)",
    )
    assert newest_prune_swept()
    assert not newest_prune_swept()
    change(inlined, "update job set created_at = created_at - interval '25 h'")
    assert newest_prune_swept()
    inlined.close()


def test_a_tick_over_many_databases_takes_as_many_statements_as_over_one(unreached: InlineFleet) -> None:
    one = unreached.fleet.database(NAME)
    tick(unreached)
    with counted(unreached) as over_one:
        assert tick(unreached) == 0
    unreached.configure(
        databases={name: replace(one, name=name) for name in (f"many-{n}" for n in range(300))}
    )
    tick(unreached)
    with counted(unreached) as over_many:
        assert tick(unreached) == 0
    assert len(over_many) == len(over_one)
    change(unreached, "update database set slots_until = now() - interval '7 h'")
    with counted(unreached) as all_due:
        assert tick(unreached) == 300
    # Three hundreds, each with a handful.
    assert len(all_due) < 60


def test_a_request_looks_at_its_own_database_only(unreached: InlineFleet) -> None:
    one = unreached.fleet.database(NAME)
    many = {NAME: one} | {name: replace(one, name=name) for name in (f"many-{n}" for n in range(300))}
    unreached.configure(databases=many)
    with counted(unreached) as sent:
        unreached.submit(JobKind.PRUNE, prune.request())
    assert len(sent) <= 10


def test_what_is_told_needs_a_transaction(unreached: InlineFleet) -> None:
    with (
        pytest.raises(RuntimeError, match="belongs into the transaction"),
        unreached.fleet.catalog.singly() as tx,
    ):
        tx.outbox.add("moon.full", database=NAME, job_id=None, data={})
