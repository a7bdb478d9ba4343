"""Real workers, killed, stopped and cut off in the middle of real work; the fault run (`make faults`) has the rest."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest

from embedded.postgres import Postgres
from shared.domain.job import JobState
from tests.e2e.fleet import MIB, RealFleet
from tests.e2e.world import Content, assert_world, properties


@pytest.fixture(scope="module")
def real(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Generator[RealFleet]:
    made = RealFleet(catalog_server=postgres, folder=tmp_path_factory.mktemp("fleet"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole(real: RealFleet) -> Any:
    """Owner, grants, comment and settings, which nothing here may change."""
    return properties(real)


@pytest.fixture
def filled(real: RealFleet) -> Content:
    """Two workers at rest, and content that no copy has met before."""
    real.gate.open()
    real.with_workers("w1", "w2")
    real.refill()
    real.listen()
    return real.content()


def test_a_hand_of_a_copy_is_killed_and_its_death_costs_nothing(
    real: RealFleet, filled: Content, whole: Any
) -> None:
    real.gate.close_after(4 * MIB)
    job_id = real.take()
    with real.stopped_in(job_id, "copy"):
        os.kill(real.hand(job_id), signal.SIGKILL)
    job = real.ended(job_id)
    assert (job.state, job.epoch, job.attempts) == (JobState.SUCCEEDED, 1, 0)
    assert_world(real, content=[filled], properties_before=whole)


def test_every_worker_is_killed_and_one_that_starts_later_finishes(
    real: RealFleet, filled: Content, whole: Any
) -> None:
    real.gate.close_after(4 * MIB)
    job_id = real.take()
    with real.stopped_in(job_id, "copy"):
        real.with_workers()
    real.with_workers("w3")
    job = real.ended(job_id)
    assert job.state is JobState.SUCCEEDED
    assert_world(real, content=[filled], properties_before=whole)


def test_the_worker_of_the_lead_is_told_to_stop_and_gives_its_step_back(
    real: RealFleet, filled: Content, whole: Any
) -> None:
    """It waits a while for the step, then leaves; nobody has to wait for its lease to end."""
    real.gate.close_after(4 * MIB)
    job_id = real.take()
    with real.stopped_in(job_id, "copy"):
        name = real.name_of(real.lead(job_id))
        real.children[name].ask()
        real.until(lambda: not real.children[name].alive, "the worker's end")
        job = real.job(job_id)
        assert job.error is not None
        assert job.error["code"] == "worker_stopped"
    job = real.ended(job_id)
    assert (job.state, job.epoch, job.attempts) == (JobState.SUCCEEDED, 2, 1)
    assert_world(real, content=[filled], properties_before=whole)


def test_the_source_is_down_for_good_and_the_job_says_so(
    real: RealFleet, filled: Content, whole: Any
) -> None:
    real.gate.close_after(4 * MIB)
    job_id = real.take()
    with real.stopped_in(job_id, "copy"):
        real.source.kill()
    try:
        job = real.ended(job_id)
    finally:
        real.source.start()
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == "source_unreachable"
    assert_world(real, content=[filled], properties_before=whole)


def test_the_s3_server_is_killed_and_restarted_under_a_copy(
    real: RealFleet, filled: Content, whole: Any
) -> None:
    real.gate.close_after(4 * MIB)
    job_id = real.take()
    with real.stopped_in(job_id, "copy"):
        real.seaweed.kill()
    real.until(lambda: real.said("step_failed", "w1", "w2"), "a failure")
    real.seaweed.start()
    assert real.ended(job_id).state is JobState.SUCCEEDED
    assert_world(real, content=[filled], properties_before=whole)


def sealed(real: RealFleet) -> list[Any]:
    """Everything that a zombie could change for the worse."""
    with real.fleet.catalog.transaction() as tx:
        snapshots = [(s.id, s.state, s.sealed_at, s.manifest_sha256) for s in tx.snapshots.listing()]
    objects = sorted(stat.key for stat in real.fleet.repository.storage.list("shop/"))
    return [snapshots, objects]
