"""`snapfleet jobs` and `snapfleet job …`: what was asked for, and what became of it."""

from __future__ import annotations

from datetime import datetime

import typer

from cli import formats, output, records, watching
from cli.fleet import opened
from cli.identity import me
from cli.options import AnyDatabase, JobArgument, Json, Limit
from shared.domain.job import Job, Step
from shared.operations.health import reports
from shared.operations.health.reports import JobReport
from shared.operations.jobs import requests

app = typer.Typer(help="Look at one job, watch it, cancel it.")


def jobs(database: AnyDatabase = None, limit: Limit = 50, as_json: Json = False) -> None:
    """List the newest jobs."""
    with opened() as fleet:
        name = database and fleet.database(database).name
        found = output.at_most(limit, reports.jobs(fleet, name, limit=limit + 1))
        now = reports.now(fleet)
    if as_json:
        output.as_json([records.job(each) for each in found])
    elif not found:
        output.say("no job yet")
    else:
        columns = ("JOB", "KIND", "DATABASE", "STATE", "STEP", "ASKED", "TOOK", "")
        rows = (row(each, now) for each in found)
        output.table(columns, rows, right=("TOOK",), spare=("STEP", "TOOK", "DATABASE"))


def row(job: Job, now: datetime) -> tuple[str, ...]:
    return (
        formats.short(job.id),
        str(job.kind),
        job.database,
        str(job.state),
        "" if job.state.is_final else job.step or "",
        formats.ago(job.created_at, now),
        formats.seconds(((job.finished_at or now) - job.created_at).total_seconds()),
        (job.error or {}).get("message") or str(job.result.get("snapshot_id", "")),
    )


@app.command()
def show(job_id: JobArgument, as_json: Json = False) -> None:
    """Show a job, its steps and its error."""
    with opened() as fleet:
        report = reports.job(fleet, job_id)
    if as_json:
        output.as_json(records.job_report(report))
    else:
        describe(report)


def describe(report: JobReport) -> None:
    job, parts = report.job, report.parts
    error = job.error or {}
    output.facts(
        {
            "job": job.id,
            "kind": str(job.kind),
            "database": job.database,
            "state": str(job.state),
            "to be cancelled": "yes" if job.cancel_requested and not job.state.is_final else None,
            "asked for": formats.moment(job.created_at),
            "ended": formats.moment(job.finished_at),
            "took": formats.seconds(report.seconds),
            "worker": job.lease_owner,
            "failed tries": formats.number(job.attempts or None),
            "parts": f"{parts.done} of {parts.total}, {formats.size(parts.done_bytes)}" if parts else None,
            **{name.replace("_", " "): str(value) for name, value in job.progress.items()},
            "snapshot": job.request.get("snapshot_id"),
            "safety snapshot": job.result.get("safeguard"),
            "parked": watching.parked_until(report.parked) if report.parked else None,
            "error": error.get("message"),
            "hint": error.get("hint"),
        }
    )
    output.say()
    columns = ("STEP", "STATE", "BEGAN", "TOOK")
    output.table(columns, (step_row(step) for step in report.steps), right=("TOOK",))


def step_row(step: Step) -> tuple[str, ...]:
    began, ended = step.started_at, step.finished_at
    took = (ended - began).total_seconds() if began and ended else None
    return (step.name, str(step.state), formats.moment(step.started_at), formats.seconds(took))


@app.command()
def cancel(job_id: JobArgument) -> None:
    """Ask a job to stop; what it began is undone."""
    with opened() as fleet:
        asked = requests.cancel(fleet, job_id, by=me())
        job = requests.find_job(fleet, asked.id)
    if job.state.is_final:
        output.say(f"job {job.id} is {job.state}")
    else:
        output.say(f"job {job.id} stops, and undoes what it began")
        output.say(f"watch it: {watching.watch_command(job)}", style="dim")


@app.command()
def watch(job_id: JobArgument) -> None:
    """Show a job's progress until it ends."""
    with opened() as fleet:
        watching.watch(fleet, requests.find_job(fleet, job_id).id, as_json=False)
