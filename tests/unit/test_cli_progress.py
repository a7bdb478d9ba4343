"""Progress in plain lines, on a clock of the test's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.progress import Lines
from shared.domain.job import Job, JobKind, JobState
from shared.operations.jobs.following import Progress

THEN = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)


def job(**changes: Any) -> Job:
    made = Job(
        id="3f9a2c11-0000-0000-0000-000000000000",
        kind=JobKind.RESTORE,
        database="shop",
        request={},
        idempotency_key="key",
        state=JobState.ACTIVE,
        epoch=1,
        next_seq=4,
        attempts=0,
        cancel_requested=False,
        progress={},
        result={},
        error=None,
        created_at=THEN,
        not_before=THEN,
        deadline_at=THEN,
        enqueued_at=THEN,
        lease_until=None,
        lease_owner=None,
        finished_at=None,
    )
    return replace(made, **changes)


class Shown:
    """Lines written so far, and the clock."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.now = 100.0
        self.lines = Lines(self.written.append, lambda: self.now)

    def at(self, seconds: float, progress: Progress) -> None:
        self.now = 100.0 + seconds
        self.lines(progress)


def test_a_load_tells_how_far_it_is_how_fast_and_how_long_it_will_take() -> None:
    shown = Shown()
    progress = Progress(
        job=job(),
        parts=40,
        done_parts=12,
        done_bytes=120_000_000,
        fraction=0.35,
        bytes_per_second=80_000_000.0,
        remaining=timedelta(seconds=3),
    )
    shown.at(0, progress)
    assert shown.written == ["restore load, 35%, 120 MB, 12 of 40 parts, 80 MB/s, 3 s left"]


def test_a_line_comes_at_a_change_of_step_and_else_every_five_seconds() -> None:
    shown = Shown()
    for seconds in (0, 0.2, 4.9, 5.0, 5.2):
        shown.at(seconds, Progress(job=job()))
    shown.at(5.4, Progress(job=job(next_seq=5)))
    assert shown.written == ["restore load", "restore load", "restore build"]


def test_a_rollback_is_shown_as_one() -> None:
    shown = Shown()
    shown.at(0, Progress(job=job()))
    shown.at(1, Progress(job=job(state=JobState.ROLLING_BACK)))
    shown.at(2, Progress(job=job(state=JobState.ROLLED_BACK)))
    assert shown.written == ["restore load", "restore rolling back", "restore rolled back"]


def test_waiting_another_try_and_a_cancel_are_told() -> None:
    shown = Shown()
    shown.at(0, Progress(job=job(state=JobState.PENDING)))
    shown.at(1, Progress(job=job(attempts=1, cancel_requested=True, progress={"section": "post-data"})))
    assert shown.written == [
        "restore pending, waiting for its turn",
        "restore load, post-data, cancelling, attempt 2",
    ]
