"""`snapfleet check`: look everything over, and tidy up what is ours."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated

import typer

from cli import exits, formats, output, records, watching
from cli.exits import Usage
from cli.fleet import opened
from cli.identity import me
from cli.options import AnyDatabase, Json
from shared.domain.findings import Finding, Severity, in_order, worst
from shared.domain.job import Job, JobKind, JobState, NewJob
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests
from shared.operations.upkeep import check as checking
from shared.operations.upkeep import tidying

STATUSES = {
    None: exits.DONE,
    Severity.INFO: exits.DONE,
    Severity.WARNING: exits.WARNED,
    Severity.ERROR: exits.BROKEN,
}


def check(
    database: AnyDatabase = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Say what of it could be tidied up, and how; with --apply, do it.")
    ] = False,
    apply: Annotated[
        str | None,
        typer.Option("--apply", metavar="ID", help="With --fix: do what the check of this id has found."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look over a database, its snapshots, the repository, and what jobs have left behind.

    Ends with 9 where something will hurt one day, and with 10 where something hurts now.
    """
    if apply is not None and not fix:
        raise Usage("--apply does what --fix has shown", hint="snapfleet check --fix --apply ID")
    with opened() as fleet:
        if apply is not None:
            tidy(fleet, apply, as_json=as_json)
            return
        names = [fleet.database(database).name] if database else sorted(fleet.databases)
        jobs = [submit(fleet, name) for name in names]
        reports = [watching.to_its_end(fleet, job.id) for job in jobs]
    if as_json:
        output.as_json([records.check(report.job) for report in reports])
    for report in reports:
        if report.job.state is not JobState.SUCCEEDED:
            watching.tell(report, on_stdout=False)
        if not as_json:
            show(report.job, fix=fix)
    found = [finding for report in reports for finding in checking.findings_in(report.job.result)]
    raise typer.Exit(STATUSES[worst(found)])


def submit(fleet: Fleet, name: str, *, apply: str | None = None) -> Job:
    job_id = str(uuid.uuid4())
    new = NewJob(
        id=job_id,
        kind=JobKind.CHECK,
        database=name,
        request=checking.request(apply=apply),
        idempotency_key=tidying.key_of(apply) if apply else job_id,
    )
    accepted = requests.submit(fleet, new, by=me())
    if not accepted.rung:
        output.note("Redis does not answer; the job is accepted and runs when Redis is back")
    return accepted.job


def show(job: Job, *, fix: bool) -> None:
    findings = in_order(checking.findings_in(job.result))
    if not findings:
        output.say(f"{job.database}: nothing to be found")
        return
    output.say(f"{job.database}:")
    output.table(("SEVERITY", "CODE", ""), ((str(f.severity), f.code, f.what) for f in findings))
    if job.result.get("more"):
        output.note(f"{formats.counted(job.result['more'], 'more finding')}, none of them worse, not kept")
    explain(findings)
    if fix:
        offer(job)


def explain(findings: Sequence[Finding]) -> None:
    """What each kind means and what to do, once."""
    for code, finding in {f.code: f for f in reversed(findings)}.items():
        if finding.severity is not Severity.INFO:
            output.say()
            output.say(f"{code}: {finding.means}", style="bold")
            output.say(finding.todo, indent=2)


def offer(job: Job) -> None:
    fixes = tidying.fixes_in(job.result)
    output.say()
    if not fixes:
        output.say("nothing of it is for us to tidy up")
        return
    for each in fixes:
        output.say(tidying.sentence(each))
    output.say(f"do it: snapfleet check --fix --apply {job.id}")


def tidy(fleet: Fleet, plan: str, *, as_json: bool) -> None:
    planned = requests.find_job(fleet, plan)
    tidying.planned(fleet, planned.id, database=planned.database)
    tidying.refuse_spent(fleet, planned.id)
    job = submit(fleet, planned.database, apply=planned.id)
    report = watching.to_its_end(fleet, job.id)
    if as_json:
        output.as_json(records.job_report(report))
    if report.job.state is not JobState.SUCCEEDED:
        watching.tell(report, on_stdout=False)
    elif not as_json:
        done = ", ".join(f"{code} {count:,}" for code, count in report.job.result["fixed"].items())
        output.say(f"{planned.database} is tidied up: {done or 'all of it was gone already'}")
