"""Kills, stops and cuts in the middle of real work: afterwards every promise holds."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from embedded.postgres import Postgres
from shared.domain.job import JobState
from shared.operations import requests
from tests.actors import TESTER
from tests.e2e.fleet import MIB, RealFleet
from tests.e2e.world import Content, assert_no_secret_was_said, assert_world, properties


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


@pytest.fixture
def hurt(real: RealFleet, filled: Content) -> Content:
    """The same with a snapshot of it, and then a bad migration; what there is now."""
    assert real.ended(real.take()).state is JobState.SUCCEEDED
    real.at_rest()
    real.hurt()
    assert real.content() != filled
    return real.content()


def test_the_lead_of_a_copy_is_killed(real: RealFleet, filled: Content, whole: Any) -> None:
    real.gate.close_after(4 * MIB)
    job_id = real.take()
    with real.stopped_in(job_id, "copy"):
        os.kill(real.lead(job_id), signal.SIGKILL)
    job = real.ended(job_id)
    assert (job.state, job.epoch, job.attempts) == (JobState.SUCCEEDED, 2, 1)
    assert_world(real, content=[filled], properties_before=whole)


def test_no_secret_is_seen_while_a_copy_runs(real: RealFleet, filled: Content, whole: Any) -> None:
    real.gate.close_after(4 * MIB)
    job_id = real.take()
    with real.stopped_in(job_id, "copy"):
        assert_no_secret_was_said(real)
    assert real.ended(job_id).state is JobState.SUCCEEDED
    assert_world(real, content=[filled], properties_before=whole)


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


def test_the_worker_of_the_lead_is_killed_whole_and_another_goes_on(
    real: RealFleet, filled: Content, whole: Any
) -> None:
    real.gate.close_after(4 * MIB)
    job_id = real.take()
    with real.stopped_in(job_id, "copy"):
        real.kill_whole(real.name_of(real.lead(job_id)))
    job = real.ended(job_id)
    assert (job.state, job.epoch) == (JobState.SUCCEEDED, 2)
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


def test_a_lead_that_sleeps_longer_than_its_lease_wakes_up_to_nothing(
    real: RealFleet, filled: Content, whole: Any
) -> None:
    real.gate.close_after(4 * MIB)
    job_id = real.take()
    with real.stopped_in(job_id, "copy"):
        zombie = real.lead(job_id)
        os.kill(zombie, signal.SIGSTOP)
        real.until(lambda: real.job(job_id).epoch > 1, "another lead")
    try:
        job = real.ended(job_id)
        assert (job.state, job.epoch) == (JobState.SUCCEEDED, 2)
        real.at_rest()
        before = sealed(real)
    finally:
        os.kill(zombie, signal.SIGCONT)
    real.until(lambda: real.said("step_superseded", "w1", "w2"), "the zombie's end")
    assert sealed(real) == before
    assert_world(real, content=[filled], properties_before=whole)


def test_a_worker_that_starts_late_finds_many_messages_true_and_forged_and_runs_the_job_once(
    real: RealFleet, filled: Content, whole: Any
) -> None:
    real.with_workers()
    job_id = real.take()
    job = real.job(job_id)
    for told in (
        job,
        replace(job, state=JobState.ROLLING_BACK),
        replace(job, epoch=job.epoch + 1),
        replace(job, epoch=job.epoch - 1),
        replace(job, next_seq=2),
        job,
    ):
        real.fleet.doorbell.ring(told)
        real.fleet.doorbell.ring_hands(told, 1)
    real.with_workers("w1", "w2")
    job = real.ended(job_id)
    assert (job.state, job.epoch, job.attempts) == (JobState.SUCCEEDED, 1, 0)
    assert_world(real, content=[filled], properties_before=whole)


def test_redis_forgets_everything_in_the_middle_of_a_job(
    real: RealFleet, filled: Content, whole: Any
) -> None:
    """The running step goes on; the message for the next one is lost, and rung again."""
    real.gate.close_after(4 * MIB)
    job_id = real.take()
    with real.stopped_in(job_id, "copy"):
        real.valkey.kill()
    real.until(lambda: real.job(job_id).step == "seal", "the end of the copy")
    real.valkey.start()
    real.messages_count_as_lost()
    job = real.ended(job_id)
    assert (job.state, job.epoch, job.attempts) == (JobState.SUCCEEDED, 1, 0)
    assert_world(real, content=[filled], properties_before=whole)


def test_redis_comes_back_empty_before_a_worker_has_heard_of_the_job(
    real: RealFleet, filled: Content, whole: Any
) -> None:
    real.with_workers()
    job_id = real.take()
    real.valkey.kill()
    real.valkey.start()
    real.with_workers("w1", "w2")
    real.messages_count_as_lost()
    assert real.ended(job_id).state is JobState.SUCCEEDED
    assert_world(real, content=[filled], properties_before=whole)


def test_the_source_is_restarted_under_a_copy(real: RealFleet, filled: Content, whole: Any) -> None:
    real.gate.close_after(4 * MIB)
    job_id = real.take()
    with real.stopped_in(job_id, "copy"):
        real.source.kill()
        real.source.start()
    job = real.ended(job_id)
    assert (job.state, job.epoch) == (JobState.SUCCEEDED, 2)
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


def test_a_copy_is_cancelled_in_the_middle(real: RealFleet, filled: Content, whole: Any) -> None:
    real.gate.close_after(4 * MIB)
    job_id = real.take()
    with real.stopped_in(job_id, "copy"):
        requests.cancel(real.fleet, job_id, by=TESTER)
    job = real.ended(job_id)
    assert job.state is JobState.CANCELLED
    assert_world(real, content=[filled], properties_before=whole)


@pytest.mark.parametrize("victim", ["lead", "hand", "whole worker"])
def test_somebody_is_killed_in_the_middle_of_a_load(
    real: RealFleet, filled: Content, hurt: Content, whole: Any, victim: str
) -> None:
    real.gate.close_after(6 * MIB)
    job_id = real.restore()
    with real.stopped_in(job_id, "load"):
        match victim:
            case "lead":
                os.kill(real.lead(job_id), signal.SIGKILL)
            case "hand":
                os.kill(real.hand(job_id), signal.SIGKILL)
            case _:
                real.kill_whole(real.name_of(real.lead(job_id)))
        assert real.content() == hurt
    job = real.ended(job_id)
    assert (job.state, job.epoch) == (JobState.SUCCEEDED, 1 if victim == "hand" else 2)
    assert_world(real, content=[filled], properties_before=whole)


@pytest.mark.parametrize("who", ["lead", "hand"])
def test_somebody_sleeps_in_the_middle_of_a_load_and_no_part_is_loaded_twice(
    real: RealFleet, filled: Content, hurt: Content, whole: Any, who: str
) -> None:
    """Its session holds the part that it was loading until somebody ends that session."""
    real.gate.close_after(6 * MIB)
    job_id = real.restore()
    with real.stopped_in(job_id, "load"):
        zombie = real.lead(job_id) if who == "lead" else real.hand(job_id)
        os.kill(zombie, signal.SIGSTOP)
        assert real.content() == hurt
    try:
        assert real.ended(job_id).state is JobState.SUCCEEDED
        assert real.content() == filled
    finally:
        os.kill(zombie, signal.SIGCONT)
    assert_world(real, content=[filled], properties_before=whole)


def test_a_load_is_cancelled_in_the_middle(real: RealFleet, hurt: Content, whole: Any) -> None:
    real.gate.close_after(6 * MIB)
    job_id = real.restore()
    with real.stopped_in(job_id, "load"):
        requests.cancel(real.fleet, job_id, by=TESTER)
    job = real.ended(job_id)
    assert job.state is JobState.CANCELLED
    assert_world(real, content=[hurt], properties_before=whole)


def sealed(real: RealFleet) -> list[Any]:
    """Everything that a zombie could change for the worse."""
    with real.fleet.catalog.transaction() as tx:
        snapshots = [(s.id, s.state, s.sealed_at, s.manifest_sha256) for s in tx.snapshots.listing()]
    objects = sorted(stat.key for stat in real.fleet.repository.storage.list("shop/"))
    return [snapshots, objects]
