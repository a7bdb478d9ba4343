"""Bring a snapshot back: always into a side database, and only at the end by one atomic swap.

    plan ─► safeguard ─► create ─► load ─► build ─► prove ─► swap ─► settle
            snapshot     side db   parts   indexes  counts   names   undo window opens

Until `swap` the live database is only looked at. Undoing `create` drops what is ours; undoing `swap`
gives the name back. With a target of its own (`to`), the name is new and nothing is parked.
"""

from __future__ import annotations

import structlog

from shared.catalog.catalog import Transaction
from shared.domain.job import Job, JobKind
from shared.domain.snapshot import Snapshot
from shared.errors import Damaged, NotFound, Refused
from shared.operations import emptiness, preflight, preview, proving, safeguard, side, source, stored
from shared.operations.preview import Intent
from shared.operations.saga import Outcome, StepActions, StepRun
from shared.postgres import databases, inspection
from shared.postgres.session import connected

log = structlog.get_logger(__name__)


def plan(run: StepRun) -> Outcome:
    """Look before anything is touched: the snapshot is held and readable, the target can take it."""
    request = run.job.request
    with run.fleet.catalog.transaction() as tx:
        if not tx.snapshots.hold(request["snapshot_id"], job_id=run.job.id):
            raise snapshot_gone(run.job)
        chosen = tx.snapshots.get(request["snapshot_id"])
    seen = preview.restore_of(
        run.fleet, intent_of(run.job, chosen), job_id=run.job.id, application_name=run.name
    )
    if seen.obstacles:
        raise seen.obstacles[0]
    emptiness.refuse_in_use(run)
    preview.refuse_changed(request.get("plan_id"), seen.plan_id)
    refuse_damaged(run)
    remarks = [remark.facts() for remark in seen.remarks]
    return Outcome(result={"snapshot_id": seen.snapshot.id, "target": seen.target, "remarks": remarks})


def intent_of(job: Job, chosen: Snapshot | None) -> Intent:
    """What a restore's request asks for, of this snapshot."""
    if chosen is None:
        raise snapshot_gone(job)
    if job.request.get("target") is not None and job.request["to"] is None:
        raise Refused(
            "on another server nothing is replaced: the restored database needs a name there",
            code="target_unnamed",
            hint="give --to NAME",
        )
    return Intent(
        database=job.database,
        snapshot=chosen,
        to=job.request["to"],
        target=job.request.get("target"),
        as_superuser=job.request["as_superuser"],
        safeguard=safeguard.is_wanted(job.request),
    )


def snapshot_gone(job: Job) -> NotFound:
    return NotFound(
        f"snapshot {job.request['snapshot_id']} is gone, or was never sealed",
        code="snapshot_unknown",
        hint="`snapfleet snapshot list` shows what there is",
    )


def refuse_damaged(run: StepRun) -> None:
    """Every object of the snapshot is there as it was stored, by what storage says; before hours of loading."""
    manifest = side.manifest_of(run.fleet, run.job.request["snapshot_id"])

    def each(number: int) -> None:
        run.check()
        run.report(checked_objects=number)

    wrong = stored.troubles(run.fleet, manifest, each=each)
    if wrong:
        raise stored.damaged(manifest, wrong)


def swap(run: StepRun) -> Outcome:
    """Give the live name to the side database, in one transaction with everything that goes with it."""
    manifest = side.manifest_of(run.fleet, run.job.request["snapshot_id"])
    dsn = side.server_of(run.fleet, run.job)
    target = str(run.job.request["to"] or dsn.dbname)
    parked = databases.parked_name(run.job.id)
    with source.taken_over(dsn, run.name) as session:
        noted = run.data("swap")
        if "incoming_oid" not in noted:
            incoming = databases.oid_of(session, str(run.data("create")["side"]))
            live = databases.oid_of(session, target)
            if run.job.request["to"] is not None:
                preflight.refuse_target(session, target)
            run.record(incoming_oid=incoming, live_oid=live)
            noted = {"incoming_oid": incoming, "live_oid": live}
        if noted["incoming_oid"] is None:
            raise NotFound("the side database is gone", code="database_missing")
        databases.exchange(
            session,
            live_name=target,
            incoming_oid=noted["incoming_oid"],
            parked_name=parked,
            properties=manifest.properties,
            check=run.check,
            last_look=emptiness.last_look(run, live_oid=noted["live_oid"]),
        )

    def record(tx: Transaction) -> None:
        if safeguard.is_wanted(run.job.request):
            tx.snapshots.keep(safeguard.id_in(run.job), window=run.database.undo_window)
        if noted["live_oid"] is not None:
            tx.parked.park(
                job_id=run.job.id,
                database=run.job.database,
                parked_name=parked,
                live_name=target,
                parked_oid=noted["live_oid"],
                window=run.database.undo_window,
            )

    return Outcome(result={"parked": parked if noted["live_oid"] is not None else None}, record=record)


def undo_swap(run: StepRun) -> None:
    """Give the name back to the database that had it."""
    noted = run.data("swap")
    if "incoming_oid" not in noted:
        return
    dsn = side.server_of(run.fleet, run.job)
    target = str(run.job.request["to"] or dsn.dbname)
    with source.taken_over(dsn, run.name) as session:
        if noted["live_oid"] is None:
            if databases.oid_of(session, target) == noted["incoming_oid"]:
                databases.cut(session, target)
                databases.rename(session, target, str(run.data("create")["side"]))
            return
        databases.exchange(
            session,
            live_name=target,
            incoming_oid=noted["live_oid"],
            parked_name=str(run.data("create")["side"]),
            properties=None,
            check=run.check,
        )
    with run.fleet.catalog.transaction() as tx:
        tx.parked.dropped(run.job.id)


def settle(run: StepRun) -> Outcome:
    """Log in to the restored database by its name, once, as an application would."""
    dsn = side.server_of(run.fleet, run.job)
    target = str(run.job.request["to"] or dsn.dbname)
    with connected(dsn.for_database(target), application_name=run.name) as session:
        oid = inspection.identity(session).oid
    if oid != run.data("swap")["incoming_oid"]:
        raise Damaged(f"{target!r} is not the database that was swapped in", code="not_settled")

    def record(tx: Transaction) -> None:
        tx.parts.clear(run.job.id)
        emptiness.lift(tx, run.job)

    return Outcome(record=record)


STEPS = {
    (JobKind.RESTORE, "plan"): StepActions(do=plan),
    (JobKind.RESTORE, safeguard.STEP): StepActions(do=safeguard.take, undo=safeguard.undo),
    (JobKind.RESTORE, "create"): StepActions(do=side.create, undo=side.undo_create),
    (JobKind.RESTORE, "load"): StepActions(do=side.load),
    (JobKind.RESTORE, "build"): StepActions(do=side.build),
    (JobKind.RESTORE, "prove"): StepActions(do=proving.prove),
    (JobKind.RESTORE, "swap"): StepActions(do=swap, undo=undo_swap),
    (JobKind.RESTORE, "settle"): StepActions(do=settle),
}
