"""A job: one accepted request as a row, and the short ordered list of steps that it runs through.

    pending ──► active ──► succeeded
       │          │
       │          └──────► rolling_back ──► rolled_back | failed | cancelled
       └─────────────────► failed | cancelled

The row is the job; the Celery message that starts a step is only a doorbell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class JobKind(StrEnum):
    SNAPSHOT = "snapshot"
    VERIFY = "verify"
    PRUNE = "prune"
    RESTORE = "restore"
    UNDO = "undo"
    TABLES = "tables"
    RESET = "reset"
    CHECK = "check"


class Lane(StrEnum):
    """Jobs of one database take turns within a lane, and run beside those of its other lanes."""

    CHANGES = "changes"
    """What reads or changes the live database or the set of its snapshots: one at a time."""
    PROOF = "proof"
    """What restores into a scratch database: a long proof never holds a restore up."""
    WATCH = "watch"
    """What only looks."""


LANES: Mapping[JobKind, Lane] = {
    JobKind.SNAPSHOT: Lane.CHANGES,
    JobKind.VERIFY: Lane.PROOF,
    JobKind.PRUNE: Lane.CHANGES,
    JobKind.RESTORE: Lane.CHANGES,
    JobKind.UNDO: Lane.CHANGES,
    JobKind.TABLES: Lane.CHANGES,
    JobKind.RESET: Lane.CHANGES,
    JobKind.CHECK: Lane.WATCH,
}


class JobState(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    ROLLING_BACK = "rolling_back"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset({JobState.SUCCEEDED, JobState.ROLLED_BACK, JobState.FAILED, JobState.CANCELLED})


class StepState(StrEnum):
    NEW = "new"
    DOING = "doing"
    DONE = "done"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """What a kind of job consists of: step names in order, its queue, and how long it may take.

    Kinds share a queue where their workers need the same rights: docs/security.md lists them.
    """

    steps: tuple[str, ...]
    queue: str
    deadline: timedelta
    ends_undone: JobState
    """The final state when its started steps were undone."""
    hands: str | None = None
    """The queue in which more workers are asked to help with its parts; None where it has none."""


CONTROL_QUEUE = "control"
JOBS_QUEUE, PARTS_QUEUE = "jobs", "parts"
PROOF_QUEUE, PROOF_PARTS_QUEUE = "proof", "proof-parts"
RESTORE_QUEUE, RESTORE_PARTS_QUEUE = "restore", "restore-parts"
UPKEEP_QUEUE = "upkeep"
QUEUES = (
    CONTROL_QUEUE,
    JOBS_QUEUE,
    PARTS_QUEUE,
    PROOF_QUEUE,
    PROOF_PARTS_QUEUE,
    RESTORE_QUEUE,
    RESTORE_PARTS_QUEUE,
    UPKEEP_QUEUE,
)

SAGAS: Mapping[JobKind, Saga] = {
    JobKind.SNAPSHOT: Saga(
        steps=("copy", "seal"),
        queue=JOBS_QUEUE,
        hands=PARTS_QUEUE,
        deadline=timedelta(hours=24),
        ends_undone=JobState.FAILED,
    ),
    JobKind.VERIFY: Saga(
        steps=("plan", "create", "load", "build", "prove", "drop"),
        queue=PROOF_QUEUE,
        hands=PROOF_PARTS_QUEUE,
        deadline=timedelta(hours=48),
        ends_undone=JobState.FAILED,
    ),
    JobKind.RESTORE: Saga(
        steps=("plan", "safeguard", "create", "load", "build", "prove", "swap", "settle"),
        queue=RESTORE_QUEUE,
        hands=RESTORE_PARTS_QUEUE,
        deadline=timedelta(hours=48),
        ends_undone=JobState.ROLLED_BACK,
    ),
    JobKind.TABLES: Saga(
        steps=("plan", "create", "load", "build", "prove", "move", "compare", "drop"),
        queue=RESTORE_QUEUE,
        hands=RESTORE_PARTS_QUEUE,
        deadline=timedelta(hours=48),
        ends_undone=JobState.ROLLED_BACK,
    ),
    JobKind.UNDO: Saga(
        steps=("swap", "settle"),
        queue=RESTORE_QUEUE,
        deadline=timedelta(hours=1),
        ends_undone=JobState.ROLLED_BACK,
    ),
    JobKind.RESET: Saga(
        steps=("plan", "create", "swap", "settle"),
        queue=RESTORE_QUEUE,
        deadline=timedelta(hours=1),
        ends_undone=JobState.ROLLED_BACK,
    ),
    JobKind.CHECK: Saga(
        steps=("check", "fix"),
        queue=UPKEEP_QUEUE,
        deadline=timedelta(hours=6),
        ends_undone=JobState.FAILED,
    ),
    JobKind.PRUNE: Saga(
        steps=("prune",),
        queue=UPKEEP_QUEUE,
        deadline=timedelta(hours=24),
        ends_undone=JobState.FAILED,
    ),
}

MAX_ATTEMPTS = 5
"""How often a step may fail for a passing reason, or lose its worker, before the job gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    seq: int
    name: str
    state: StepState
    data: Mapping[str, Any]
    """What the step recorded before its side effects, for its own second run and for its undo."""
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row. Times are the catalog server's, in UTC."""

    id: str
    kind: JobKind
    database: str
    request: Mapping[str, Any]
    idempotency_key: str
    state: JobState
    epoch: int
    next_seq: int
    attempts: int
    cancel_requested: bool
    progress: Mapping[str, Any]
    result: Mapping[str, Any]
    error: Mapping[str, str | None] | None
    created_at: datetime
    not_before: datetime
    deadline_at: datetime
    enqueued_at: datetime | None
    lease_until: datetime | None
    lease_owner: str | None
    finished_at: datetime | None
    request_digest: str | None = None
    """Of all that was asked, where its way in compares repetitions; None where it does not."""

    @property
    def step(self) -> str | None:
        """The step that runs now or next; None when none is left."""
        steps = SAGAS[self.kind].steps
        return steps[self.next_seq - 1] if self.next_seq <= len(steps) else None

    @property
    def remaining(self) -> tuple[tuple[int, str], ...]:
        """The steps still to do, as (seq, name)."""
        return tuple(enumerate(SAGAS[self.kind].steps, start=1))[self.next_seq - 1 :]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A request as it is handed in; the id comes from the caller."""

    id: str
    kind: JobKind
    database: str
    request: Mapping[str, Any]
    idempotency_key: str
    request_digest: str | None = None
    """With it, the same key with another digest is another request."""
