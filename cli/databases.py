"""`snapfleet databases`, `migrate` and `prune`: what is protected, and its upkeep."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

import typer

from cli import formats, output, records, watching
from cli.deleting import PlanId
from cli.fleet import opened
from cli.identity import me
from cli.options import DatabaseArgument, Json, Wait
from shared.catalog import migration
from shared.domain.job import JobKind, NewJob
from shared.operations.databases import preview
from shared.operations.health import reports
from shared.operations.health.reports import DatabaseReport
from shared.operations.jobs import requests
from shared.operations.upkeep import deleting
from shared.operations.upkeep import prune as pruning


def migrate() -> None:
    """Create or upgrade the catalog."""
    with opened(migrated=False) as fleet:
        preview.check_catalog_apart(fleet)
        before, after = migration.migrate(fleet.catalog)
    if before == after:
        output.say(f"the catalog is up to date, at revision {after}")
    elif before is None:
        output.say(f"the catalog is created, at revision {after}")
    else:
        output.say(f"the catalog is upgraded from revision {before} to {after}")


def databases(as_json: Json = False) -> None:
    """Show what is protected: newest snapshot, next slot, who works on it."""
    with opened() as fleet:
        found = reports.databases(fleet)
        now = reports.now(fleet)
    if not all(report.lock_known for report in found):
        output.note("Redis does not answer: who holds the locks is not known")
    for report in found:
        if report.blocked is not None:
            output.note(f"no snapshot of {report.name} is taken: {report.blocked}")
            output.note(f"when it is as it should be: snapfleet unblock {report.name}")
    if as_json:
        output.as_json([records.database(report) for report in found])
    else:
        columns = (
            "DATABASE",
            "NEWEST SNAPSHOT",
            "TAKEN",
            "PROVEN",
            "SIZE",
            "RESTORES IN",
            "NEXT SLOT",
            "MISSED",
            "AT WORK",
            "WHERE",
        )
        rows = (row(report, now) for report in found)
        output.table(
            columns,
            rows,
            right=("SIZE", "RESTORES IN", "MISSED"),
            spare=("WHERE", "SIZE", "MISSED", "RESTORES IN"),
        )


def row(report: DatabaseReport, now: datetime) -> tuple[str, ...]:
    newest = report.newest
    return (
        report.name,
        newest.id if newest else "none",
        formats.ago(newest.taken_at, now) if newest else formats.NOTHING,
        formats.ago(report.proven.taken_at if report.proven else None, now),
        formats.size(newest.raw_bytes if newest else None),
        formats.seconds(report.restore_seconds),
        "blocked" if report.blocked else formats.ahead(report.next_slot, now),
        formats.number(report.missed_slots),
        at_work(report),
        report.where,
    )


def at_work(report: DatabaseReport) -> str:
    """The live job, and who holds the lock where that is another one."""
    live, holder = report.live_job, report.lock_holder
    said = [f"{live.kind} {live.step or ''} {formats.short(live.id)}"] if live else []
    if holder and (live is None or holder != live.id):
        said.append(f"lock held by {formats.short(holder)}")
    return ", ".join(said) or formats.NOTHING


def prune(
    database: DatabaseArgument = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--plan", "--dry-run", help="Say of every snapshot why it stays or goes; change nothing."
        ),
    ] = False,
    plan_id: PlanId = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Delete what retention lets go."""
    with opened() as fleet:
        name = fleet.database(database).name
        if dry_run:
            plan = pruning.plan(fleet, name)
            if as_json:
                output.as_json(records.retention_plan(name, plan))
                return
            verdicts = (
                (verdict.snapshot_id, "keep" if verdict.keep else "remove", verdict.why)
                for verdict in plan.verdicts
            )
            output.table(("SNAPSHOT", "VERDICT", "WHY"), verdicts)
            if plan.stopped is not None:
                output.note(f"pruning has stopped: {plan.stopped}")
            output.say(f"{len(plan.keep)} stay, {len(plan.remove)} go; nothing was changed")
            if plan.stopped is None:
                output.say(f"plan {plan.id}")
            return
        if plan_id is not None:
            deleting.refuse_changed(plan_id, pruning.plan(fleet, name).id)
        new = NewJob(
            id=str(uuid.uuid4()),
            kind=JobKind.PRUNE,
            database=name,
            request=pruning.request(plan_id=plan_id),
            idempotency_key=str(uuid.uuid4()),
        )
        accepted = requests.submit(fleet, new, by=me())
        watching.answer(fleet, accepted, what=f"prune of {name}", wait=wait, as_json=as_json)
