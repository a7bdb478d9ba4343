"""A job's progress on stderr: bars on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cli import formats, output
from shared.domain.job import JobState
from shared.operations.jobs import following

Show = Callable[[following.Progress], None]

LINES_EVERY_SECONDS = 5.0
FULL = 100.0


@contextmanager
def shown(clock: Callable[[], float]) -> Generator[Show]:
    """What to call with each progress of one job."""
    if not sys.stderr.isatty():
        yield Lines(output.err().print, clock)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TimeElapsedColumn(),
        TextColumn("{task.fields[facts]}"),
    )
    with Progress(*columns, console=output.err()) as bars:
        yield Bars(bars)


@contextmanager
def counted(what: str) -> Generator[Callable[[int], None]]:
    """What to call with a number that grows, for work in the foreground."""
    if sys.stderr.isatty():
        with Progress(TextColumn("{task.completed:,.0f} {task.description}"), console=output.err()) as bars:
            task = bars.add_task(what, total=None)
            yield lambda number: bars.update(task, completed=number)
        return
    said = time.monotonic()

    def show(number: int) -> None:
        nonlocal said
        if time.monotonic() - said >= LINES_EVERY_SECONDS:
            said = time.monotonic()
            output.err().print(f"{number:,} {what}")

    yield show


class Lines:
    """A line at each change of step or state, and every 5 seconds in between."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._said: tuple[str, float] = ("", 0.0)

    def __call__(self, progress: following.Progress) -> None:
        what, now = stage(progress), self._clock()
        if what == self._said[0] and now - self._said[1] < LINES_EVERY_SECONDS:
            return
        self._said = (what, now)
        self._write(formats.line(", ".join((f"{progress.job.kind} {what}", *facts(progress)))))


class Bars:
    """A bar for each step that has begun; those that ended stay, full."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._running: tuple[str, TaskID] | None = None

    def __call__(self, progress: following.Progress) -> None:
        what = stage(progress)
        if self._running is None or self._running[0] != what:
            self._end(well=progress.job.state in {JobState.ACTIVE, JobState.SUCCEEDED})
            if progress.job.state.is_final:
                return
            self._running = (what, self._bars.add_task(f"{what:<12}", total=None, facts=""))
        fraction = progress.fraction
        self._bars.update(
            self._running[1],
            total=None if fraction is None else FULL,
            completed=0 if fraction is None else fraction * FULL,
            facts="  ".join(facts(progress)),
        )

    def _end(self, *, well: bool) -> None:
        if self._running is None:
            return
        what, task = self._running
        if what == JobState.PENDING:
            self._bars.remove_task(task)
            return
        self._bars.update(task, total=FULL, completed=FULL if well else None, facts="" if well else "stopped")
        self._bars.stop_task(task)


def stage(progress: following.Progress) -> str:
    """The step that runs; what else the job does while none does."""
    job = progress.job
    if job.state is JobState.ACTIVE:
        return job.step or ""
    return {JobState.ROLLING_BACK: "rolling back", JobState.ROLLED_BACK: "rolled back"}.get(
        job.state, str(job.state)
    )


def facts(progress: following.Progress) -> list[str]:
    """How far it is, as far as it can be told."""
    job = progress.job
    if job.state.is_final:
        return []
    if job.state is JobState.PENDING:
        return ["waiting for its turn"]
    known = [
        f"{progress.fraction:.0%}" if progress.fraction is not None else "",
        formats.size(progress.done_bytes) if progress.done_bytes else "",
        f"{progress.done_parts} of {formats.counted(progress.parts, 'part')}" if progress.parts else "",
        f"{formats.size(round(progress.bytes_per_second))}/s" if progress.bytes_per_second else "",
        f"{formats.span(progress.remaining.total_seconds())} left" if progress.remaining else "",
        *reported(job.progress),
        "cancelling" if job.cancel_requested and job.state is JobState.ACTIVE else "",
        f"attempt {job.attempts + 1}" if job.attempts else "",
    ]
    return [fact for fact in known if fact]


def reported(progress: Mapping[str, Any]) -> Iterator[str]:
    """What steps report of themselves beside bytes and parts."""
    if "section" in progress:
        yield str(progress["section"])
    if "checked_objects" in progress:
        yield f"{formats.counted(progress['checked_objects'], 'object')} checked"
    if "deleted_chunks" in progress:
        yield f"{formats.counted(progress['deleted_chunks'], 'chunk')} deleted"
