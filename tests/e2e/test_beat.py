"""Two real beats and nobody else to help: what their ticks make and find."""

from __future__ import annotations

import time
from collections.abc import Generator

import pytest
from sqlalchemy import text

from embedded.postgres import Postgres
from shared.domain.job import JobState
from tests.e2e.fleet import RealFleet
from tests.e2e.world import assert_world, properties

PATIENCE_SECONDS = 60.0


@pytest.fixture
def real(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Generator[RealFleet]:
    made = RealFleet(catalog_server=postgres, folder=tmp_path_factory.mktemp("fleet"))
    yield made
    made.close()


def test_two_beats_run_a_due_slot_once_and_ring_again_for_a_lost_message_and_killed_leave_nothing_behind(
    real: RealFleet,
) -> None:
    before, whole = real.content(), properties(real)
    lost = real.take()
    real.valkey.kill()
    real.valkey.start()
    change(real, "update database set slots_until = now() - interval '1 year 2 days'")
    change(real, "update job set enqueued_at = enqueued_at - interval '1 min'")
    beats = ("beat", "beat2")
    for name in beats:
        real.start(name, "beat")
    real.start_worker("w1")

    deadline = time.monotonic() + PATIENCE_SECONDS
    while [state for _, state in snapshots(real)] != [JobState.SUCCEEDED] * 2:
        assert time.monotonic() < deadline, snapshots(real)
        time.sleep(0.2)
    for name in beats:
        real.kill_whole(name)
    assert {reason for reason, _ in snapshots(real)} == {"manual", "schedule"}
    assert real.job(lost).epoch == 1
    with real.fleet.catalog.engine.connect() as catalog:
        assert catalog.execute(text("select count(*) from slot where job_id is not null")).scalar_one() == 1
    assert_world(real, content=[before], properties_before=whole)


def snapshots(real: RealFleet) -> list[tuple[str, str]]:
    with real.fleet.catalog.engine.connect() as catalog:
        query = "select request ->> 'reason', state from job where kind = 'snapshot' order by created_at"
        return [(str(reason), str(state)) for reason, state in catalog.execute(text(query))]


def change(real: RealFleet, statement: str) -> None:
    with real.fleet.catalog.engine.begin() as catalog:
        catalog.execute(text(statement))
