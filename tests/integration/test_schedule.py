"""The tick on a real catalog: late, twice at once, not for a day, or with Redis down."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Barrier

import pytest
from sqlalchemy import text

from embedded import ports
from shared.broker.app import make_app
from shared.broker.doorbell import CeleryDoorbell, MemoryDoorbell
from shared.domain.ids import new_snapshot_id
from shared.domain.job import Job, JobKind, JobState
from shared.domain.schedule import Cron, Every
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests
from shared.operations.upkeep import schedule
from shared.storage.memory import MemoryStorage
from tests.integration.inline_fleet import NAME, InlineFleet

SIX_HOURS = Every(every=timedelta(hours=6), phase=timedelta())


@pytest.fixture
def inlined(catalog_url: Callable[[], str]) -> Generator[InlineFleet]:
    """A fleet whose database is never connected to; it became known just now."""
    made = InlineFleet(
        "postgresql://nobody@127.0.0.1:1/x", catalog_url=catalog_url(), storage=MemoryStorage()
    )
    with made.fleet.catalog.transaction() as tx:
        tx.schedules.know([NAME])
    yield made
    made.close()


def tick(fleet: Fleet) -> int:
    return schedule.tick(
        fleet,
        new_job_id=lambda: str(uuid.uuid4()),
        new_snapshot_id=lambda now: new_snapshot_id(now.astimezone(UTC), uuid.uuid4()),
    )


def on_schedule(inlined: InlineFleet, wanted: Every | Cron) -> None:
    inlined.configure(databases={NAME: replace(inlined.fleet.database(NAME), schedule=wanted)})


def nobody_ticked_for(inlined: InlineFleet, absence: timedelta) -> None:
    change(inlined, "update database set slots_until = now() - :absence", absence=absence)


def change(inlined: InlineFleet, statement: str, **values: object) -> None:
    with inlined.fleet.catalog.engine.begin() as connection:
        connection.execute(text(statement), values)


def slots(inlined: InlineFleet) -> list[tuple[datetime, str | None]]:
    with inlined.fleet.catalog.engine.connect() as connection:
        found = connection.execute(text("select due_at, job_id::text from slot order by due_at"))
        return [(row.due_at.astimezone(UTC), row.job_id) for row in found]


def jobs(inlined: InlineFleet) -> list[Job]:
    with inlined.fleet.catalog.transaction() as tx:
        return list(tx.jobs.listing())


def test_a_new_database_has_no_past_to_catch_up_on(inlined: InlineFleet) -> None:
    assert tick(inlined.fleet) == 0
    assert slots(inlined) == []


def test_a_day_without_beat_costs_one_run_and_the_rest_is_recorded_as_missed(inlined: InlineFleet) -> None:
    on_schedule(inlined, SIX_HOURS)
    nobody_ticked_for(inlined, timedelta(days=1))
    assert tick(inlined.fleet) == 1
    found = slots(inlined)
    (job,) = jobs(inlined)
    assert [job_id for _, job_id in found] == [None, None, None, job.id]
    assert {later - due for (due, _), (later, _) in pairwise(found)} == {timedelta(hours=6)}
    with inlined.fleet.catalog.transaction() as tx:
        assert tx.schedules.missed(NAME) == 3
        (told,) = [each for each in tx.outbox.unpublished(limit=10) if each.type == "schedule.missed"]
    assert told.data["count"] == 3
    assert (job.kind, job.state, job.request["reason"]) == (JobKind.SNAPSHOT, JobState.ACTIVE, "schedule")


def test_a_second_tick_finds_nothing_left_to_do(inlined: InlineFleet) -> None:
    on_schedule(inlined, SIX_HOURS)
    nobody_ticked_for(inlined, timedelta(days=1))
    tick(inlined.fleet)
    before = slots(inlined), jobs(inlined)
    assert tick(inlined.fleet) == 0
    assert (slots(inlined), jobs(inlined)) == before


def test_a_slot_that_was_decided_comes_back_to_nobody_even_if_the_mark_is_lost(inlined: InlineFleet) -> None:
    """The unique key of the slot decides, not how far somebody thinks that slots are decided."""
    on_schedule(inlined, SIX_HOURS)
    nobody_ticked_for(inlined, timedelta(days=1))
    tick(inlined.fleet)
    before = slots(inlined), [job.id for job in jobs(inlined)]
    nobody_ticked_for(inlined, timedelta(days=1))
    assert tick(inlined.fleet) == 0
    assert (slots(inlined), [job.id for job in jobs(inlined)]) == before


def test_ticks_at_the_same_moment_make_one_job_together(inlined: InlineFleet) -> None:
    on_schedule(inlined, SIX_HOURS)
    nobody_ticked_for(inlined, timedelta(days=1))
    start = Barrier(4)

    def beat(_: int) -> int:
        start.wait(10)
        return tick(inlined.fleet)

    with ThreadPoolExecutor(4) as beats:
        made = list(beats.map(beat, range(4)))
    assert sorted(made) == [0, 0, 0, 1]
    assert len(jobs(inlined)) == 1
    assert len(slots(inlined)) == 4
    assert [job.id for job in inlined.bell.rung] == [jobs(inlined)[0].id]


def test_a_cron_schedule_is_read_on_the_clocks_of_its_zone(inlined: InlineFleet) -> None:
    on_schedule(inlined, Cron(expression="30 2 * * *", zone="Asia/Kathmandu"))
    nobody_ticked_for(inlined, timedelta(days=3))
    assert tick(inlined.fleet) == 1
    found = slots(inlined)
    assert len(found) == 3
    assert {f"{due:%H:%M}" for due, _ in found} == {"20:45"}  # 02:30 there is 20:45 UTC, the whole year
    assert [job_id is None for _, job_id in found] == [True, True, False]


def test_the_slots_of_one_database_do_not_wait_for_another(inlined: InlineFleet) -> None:
    """A job that runs there is no reason to miss a slot here."""
    on_schedule(inlined, SIX_HOURS)
    other = replace(inlined.fleet.database(NAME), name="other")
    inlined.configure(databases={**inlined.fleet.databases, "other": other})
    with inlined.fleet.catalog.transaction() as tx:
        tx.schedules.know(["other"])
    nobody_ticked_for(inlined, timedelta(hours=6))
    assert tick(inlined.fleet) == 2
    assert {(job.database, job.state) for job in jobs(inlined)} == {
        (NAME, JobState.ACTIVE),
        ("other", JobState.ACTIVE),
    }


def test_a_slot_is_made_though_redis_is_down_and_its_job_runs_later(inlined: InlineFleet) -> None:
    (closed,) = ports.free(1)
    away = CeleryDoorbell(make_app(f"redis://127.0.0.1:{closed}/0"))
    on_schedule(inlined, SIX_HOURS)
    nobody_ticked_for(inlined, timedelta(hours=6))
    inlined.configure(doorbell=away)
    assert tick(inlined.fleet) == 1
    (job,) = jobs(inlined)
    assert job.state is JobState.ACTIVE
    assert inlined.bell.rung == []

    inlined.configure(doorbell=inlined.bell)
    assert tick(inlined.fleet) == 0
    assert [(rung.id, rung.epoch) for rung in inlined.bell.rung] == [(job.id, job.epoch)]


def test_a_due_slot_of_a_busy_database_waits_its_turn(inlined: InlineFleet) -> None:
    on_schedule(inlined, SIX_HOURS)
    inlined.configure(doorbell=MemoryDoorbell())
    nobody_ticked_for(inlined, timedelta(hours=6))
    tick(inlined.fleet)
    (running,) = jobs(inlined)
    change(inlined, "update slot set due_at = due_at - interval '6 h'")
    change(inlined, "update job set idempotency_key = 'the slot before'")
    nobody_ticked_for(inlined, timedelta(hours=6))
    assert tick(inlined.fleet) == 1
    states = {job.id == running.id: job.state for job in jobs(inlined)}
    assert states == {True: JobState.ACTIVE, False: JobState.PENDING}


def test_housekeeping_forgets_old_events_and_keeps_new_ones(inlined: InlineFleet) -> None:
    on_schedule(inlined, SIX_HOURS)
    nobody_ticked_for(inlined, timedelta(hours=6))
    tick(inlined.fleet)
    with inlined.fleet.catalog.transaction() as tx:
        tx.outbox.add("old", database=NAME, job_id=None, data={})
    change(inlined, "update outbox set created_at = now() - interval '31 days' where type = 'old'")
    schedule.housekeeping(inlined.fleet)
    with inlined.fleet.catalog.engine.connect() as connection:
        assert list(connection.execute(text("select type from outbox")).scalars()) == ["snapshot.accepted"]


def test_a_job_waits_for_its_deadline_and_no_longer(inlined: InlineFleet) -> None:
    """No worker ever came: the tick ends it, and says so."""
    on_schedule(inlined, SIX_HOURS)
    nobody_ticked_for(inlined, timedelta(hours=6))
    tick(inlined.fleet)
    (job,) = jobs(inlined)
    change(inlined, "update job set deadline_at = now()")
    tick(inlined.fleet)
    assert inlined.bell.rung[-1].state is JobState.ROLLING_BACK
    inlined.drain()
    ended = requests.find_job(inlined.fleet, job.id)
    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "deadline_passed"
