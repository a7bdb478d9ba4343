"""By when a database must have a newer snapshot, and a newer proof: what "late" means, in one place.

A slot is due when its moment has come. It is late when half of the time to the following slot has passed
as well, so that a copy may take its time: for a schedule of every 6 h that is an age of 9 h.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain import schedule
from shared.domain.proof import SMALL_BYTES, VerifyPolicy
from shared.domain.schedule import Schedule

A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """`due_at` is when the next one is to begin, `late_at` when somebody should look why there is none."""

    due_at: datetime
    late_at: datetime


def of_snapshot(plan: Schedule, *, since: datetime) -> Deadline:
    """For a snapshot newer than the one taken at `since`, or than the moment the database became known."""
    due_at = schedule.next_slot(plan, since)
    gap = schedule.next_slot(plan, due_at) - due_at
    return Deadline(due_at=due_at, late_at=due_at + gap / 2)


def of_proof(
    plan: Schedule, policy: VerifyPolicy, *, since: datetime, raw_bytes: int | None
) -> Deadline | None:
    """For a proof of a snapshot newer than `since`; None where the policy wants none.

    `raw_bytes` are those of the newest snapshot: a large one is proven once a day.
    """
    if policy is VerifyPolicy.NEVER:
        return None
    each = of_snapshot(plan, since=since)
    always = policy is VerifyPolicy.ALWAYS or (
        policy is VerifyPolicy.SIZE and (raw_bytes is None or raw_bytes <= SMALL_BYTES)
    )
    if always:
        return each
    return Deadline(
        due_at=max(each.due_at, since + A_DAY), late_at=max(each.late_at, since + A_DAY + A_DAY / 2)
    )
