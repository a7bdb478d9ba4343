"""Stay with a job until it has ended, and say what became of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import typer

from cli import comparisons, exits, formats, output, progress, proofs, records
from shared.catalog.parked import Parked
from shared.domain.job import Job, JobKind, JobState
from shared.errors import Busy, SnapfleetError, Unreachable
from shared.operations.fleet import Fleet
from shared.operations.health import reports
from shared.operations.health.reports import JobReport
from shared.operations.jobs import following
from shared.operations.jobs.requests import Accepted


def answer(fleet: Fleet, accepted: Accepted, *, what: str, wait: bool, as_json: bool) -> None:
    """Tell of an accepted request; with `wait`, stay until it has ended. `what` says what was asked for."""
    if not accepted.rung:
        output.note("Redis does not answer; the job is accepted and runs when Redis is back")
    if wait:
        watch(fleet, accepted.job.id, as_json=as_json)
    elif as_json:
        output.as_json(records.accepted(accepted))
    else:
        before = "" if accepted.is_new else " before, under the same key"
        output.say(f"job {accepted.job.id} accepted{before}: {what}")
        output.say(f"watch it: {watch_command(accepted.job)}", style="dim")


def watch(fleet: Fleet, job_id: str, *, as_json: bool) -> None:
    """Show a job's progress to its end and its outcome after it. Exits unless it succeeded.

    Ctrl-C ends the showing and not the job.
    """
    report = to_its_end(fleet, job_id)
    if as_json:
        output.as_json(records.job_report(report))
    tell(report, on_stdout=not as_json)


def to_its_end(fleet: Fleet, job_id: str, *, give_up_at: float | None = None) -> JobReport:
    """Show a job's progress until it has ended, however it did. Busy where that takes too long."""
    away = Away()
    try:
        with progress.shown(time.monotonic) as show:
            for seen in following.follow(fleet, job_id, away=away):
                away.over()
                show(seen)
                if give_up_at is not None and time.monotonic() > give_up_at and not seen.job.state.is_final:
                    raise Busy(
                        f"the {seen.job.kind} has not ended in time",
                        code="timed_out",
                        hint=f"it goes on; watch it: {watch_command(seen.job)}",
                    )
    except KeyboardInterrupt:
        output.note(f"the job goes on; watch it: snapfleet job watch {job_id}")
        raise typer.Exit(exits.INTERRUPTED) from None
    except Unreachable:
        output.note(f"the job goes on if its workers can; watch it: snapfleet job watch {job_id}")
        raise
    return reports.job(fleet, job_id)


class Away:
    """Says once that the catalog does not answer, and once that it does again."""

    def __init__(self) -> None:
        self._is_away = False

    def __call__(self, _: SnapfleetError) -> None:
        if not self._is_away:
            patience = following.PATIENCE.total_seconds()
            output.note(f"the catalog does not answer; trying again for {formats.span(patience)}")
        self._is_away = True

    def over(self) -> None:
        if self._is_away:
            output.note("the catalog answers again")
        self._is_away = False


def tell(report: JobReport, *, on_stdout: bool) -> None:
    """A job's outcome. What succeeded is a result; anything else is an error and an exit status."""
    job = report.job
    if job.state is JobState.SUCCEEDED:
        if on_stdout:
            first, *rest = success(report)
            output.say(first, style="bold green")
            for line in rest:
                output.say(line, indent=2)
        return
    error = job.error or {}
    output.error(
        f"{job.kind} {ending(job)}: {error.get('message') or 'the catalog does not say why'}",
        error.get("hint") or f"`snapfleet job show {job.id}` tells more",
    )
    if report.verification is None or report.verification.matched:
        raise typer.Exit(exits.FAILED)
    for difference in report.verification.differences:
        output.note(difference)
    raise typer.Exit(exits.NOT_PROVEN)


def ending(job: Job) -> str:
    if job.state is JobState.ROLLED_BACK:
        return "rolled back, the live database is what it was"
    return str(job.state)


def success(report: JobReport) -> list[str]:  # noqa: PLR0911 - one for each kind of job
    """The first line says it, the others are facts."""
    job, result = report.job, report.job.result
    took = formats.seconds(report.seconds)
    match job.kind:
        case JobKind.SNAPSHOT:
            return [
                f"snapshot {result['snapshot_id']} of {job.database} is sealed, in {took}",
                f"{rows(result)} in {formats.size(result['raw_bytes'])}",
                f"{formats.size(result['stored_bytes'])} stored, {formats.size(result['new_bytes'])} of it new",
                *suspect(result),
                *(f"warning: {each}" for each in result.get("warnings", ())),
            ]
        case JobKind.VERIFY:
            return [
                f"snapshot {result['snapshot_id']} of {job.database} is proven, in {took}",
                *(proofs.facts(report.verification) if report.verification else ()),
            ]
        case JobKind.RESTORE:
            return [
                f"{result['target']} holds snapshot {result['snapshot_id']}, in {took}",
                f"{rows(result)} in {formats.counted(result['tables'], 'table')}, all counted"
                + (" when its warm copy was proven" if result.get("warm") else ""),
                *(f"not proven: {difference}" for difference in result.get("differences", ())),
                *safety(result),
                *way_back(report),
            ]
        case JobKind.TABLES:
            moved = result["tables"]
            return [
                f"{formats.counted(len(moved), 'table')} of {job.database} brought back, in {took}",
                *comparisons.facts(moved),
            ]
        case JobKind.UNDO:
            return [f"what was parked is {job.database} again, in {took}", *way_back(report)]
        case JobKind.RESET:
            return [f"{result['target']} is empty now, in {took}", *way_back(report)]
        case JobKind.PRUNE:
            removed, stopped = result["removed"], result.get("stopped")
            if stopped is not None:
                return [f"nothing of {job.database} was removed", f"pruning has stopped: {stopped}"]
            return [
                f"{formats.counted(len(removed), 'snapshot')} of {job.database} removed, in {took}",
                f"{formats.counted(result['deleted_chunks'], 'chunk')} deleted",
                *removed,
            ]
        case _:
            return [f"{job.kind} of {job.database} is done, in {took}"]


def rows(result: Mapping[str, int]) -> str:
    return formats.counted(result["row_count"], "row")


def suspect(result: Mapping[str, Any]) -> list[str]:
    """Why a new snapshot counts for nothing yet, and what makes it count."""
    suspicions = result.get("suspicions")
    if not suspicions:
        return []
    return [
        *(f"suspect: {each}" for each in suspicions),
        f"if that is right: snapfleet snapshot accept {result['snapshot_id']}",
    ]


def safety(result: Mapping[str, Any]) -> list[str]:
    """The snapshot that was taken of what a restore replaced."""
    safeguard = result.get("safeguard")
    return [f"what it was before is snapshot {safeguard}"] if safeguard else []


def way_back(report: JobReport) -> list[str]:
    """What is parked now, until when, and the command that brings it back."""
    parked = report.parked
    if parked is None or parked.dropped_at is not None:
        return ["nothing was replaced, so nothing is parked"]
    return [
        f"what it was until now is parked as {parked_until(parked)}",
        f"take it back: snapfleet undo {parked.job_id}",
    ]


def parked_until(parked: Parked) -> str | None:
    """Name and time; None once it is dropped."""
    if parked.dropped_at is not None:
        return None
    return f"{parked.parked_name} until {formats.moment(parked.expires_at)}"


def watch_command(job: Job) -> str:
    return f"snapfleet job watch {formats.short(job.id)}"
