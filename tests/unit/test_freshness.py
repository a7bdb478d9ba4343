"""By when a newer snapshot, and a newer proof, must be there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain import freshness
from shared.domain.proof import SMALL_BYTES, VerifyPolicy
from shared.domain.schedule import Cron, Every

SIX_HOURS = Every(every=timedelta(hours=6), phase=timedelta())
MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)  # a Friday


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def test_a_snapshot_is_late_at_one_and_a_half_intervals() -> None:
    found = freshness.of_snapshot(SIX_HOURS, since=MIDNIGHT)
    assert (found.due_at, found.late_at) == (MIDNIGHT + hours(6), MIDNIGHT + hours(9))


def test_one_taken_by_hand_does_not_put_the_next_slot_off() -> None:
    assert freshness.of_snapshot(SIX_HOURS, since=MIDNIGHT + hours(5)).late_at == MIDNIGHT + hours(9)


def test_a_weekend_without_slots_is_waited_for() -> None:
    working_days = Cron(expression="0 2 * * 1-5", zone="UTC")
    friday = MIDNIGHT + hours(2)
    found = freshness.of_snapshot(working_days, since=friday)
    assert found.due_at == friday + timedelta(days=3)
    assert found.late_at == found.due_at + hours(12)


@pytest.mark.parametrize(
    ("policy", "raw_bytes", "late_after"),
    [
        (VerifyPolicy.ALWAYS, SMALL_BYTES + 1, hours(9)),
        (VerifyPolicy.SIZE, None, hours(9)),
        (VerifyPolicy.SIZE, SMALL_BYTES, hours(9)),
        (VerifyPolicy.SIZE, SMALL_BYTES + 1, hours(36)),
        (VerifyPolicy.DAILY, 1, hours(36)),
    ],
)
def test_a_proof_is_late_by_the_policy(
    policy: VerifyPolicy, raw_bytes: int | None, late_after: timedelta
) -> None:
    found = freshness.of_proof(SIX_HOURS, policy, since=MIDNIGHT, raw_bytes=raw_bytes)
    assert found is not None
    assert found.late_at == MIDNIGHT + late_after


def test_no_proof_is_late_where_none_is_wanted() -> None:
    assert freshness.of_proof(SIX_HOURS, VerifyPolicy.NEVER, since=MIDNIGHT, raw_bytes=1) is None


def test_a_proof_cannot_be_due_before_its_snapshot() -> None:
    weekly = Every(every=timedelta(days=7), phase=timedelta())
    proof = freshness.of_proof(weekly, VerifyPolicy.DAILY, since=MIDNIGHT, raw_bytes=1)
    assert proof == freshness.of_snapshot(weekly, since=MIDNIGHT)
