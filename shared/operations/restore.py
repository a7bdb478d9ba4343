"""Bring a snapshot back: always into a side database, and only at the end by one atomic swap.

    plan ─► safeguard ─► create ─► load ─► build ─► prove ─► swap ─► settle
            snapshot     side db   parts   indexes  counts   names   undo window opens

Until `swap` the live database is only looked at. Undoing `create` drops what is ours; undoing `swap`
gives the name back. With a target of its own (`to`), the name is new and nothing is parked.
"""

from __future__ import annotations

import structlog

from shared.catalog.catalog import Transaction
from shared.domain.job import JobKind
from shared.errors import Damaged, NotFound
from shared.operations import emptiness, preflight, proving, safeguard, side, source
from shared.operations.saga import Outcome, StepActions, StepRun
from shared.postgres import databases, inspection
from shared.postgres.session import connected

log = structlog.get_logger(__name__)


def plan(run: StepRun) -> Outcome:
    """Look before anything is touched: the snapshot is held and readable, the target can take it."""
    request = run.job.request
    with run.fleet.catalog.transaction() as tx:
        if not tx.snapshots.hold(request["snapshot_id"], job_id=run.job.id):
            raise NotFound(
                f"snapshot {request['snapshot_id']} is gone, or was never sealed",
                code="snapshot_unknown",
                hint="`snapfleet snapshot list` shows what there is",
            )
    manifest = side.manifest_of(run.fleet, request["snapshot_id"])
    dsn = run.fleet.dsn(run.job.database)
    target = dsn.for_database(request["to"] or dsn.dbname).dbname
    with source.maintenance(dsn, run.name) as session:
        source.choose_tools(run.fleet, dsn, session)
        source.refuse_catalog_target(run.fleet, session, target)
        preflight.refuse_superuser(run.fleet, session, as_superuser=request["as_superuser"])
        preflight.refuse_older(session, manifest)
        preflight.refuse_missing_roles(session, manifest)
        if request["to"] is not None:
            preflight.refuse_target(session, target)
        preflight.refuse_without_rights(session, target)
    emptiness.refuse_in_use(run)
    return Outcome(result={"snapshot_id": manifest.id, "target": target})


def swap(run: StepRun) -> Outcome:
    """Give the live name to the side database, in one transaction with everything that goes with it."""
    manifest = side.manifest_of(run.fleet, run.job.request["snapshot_id"])
    dsn = run.fleet.dsn(run.job.database)
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
    dsn = run.fleet.dsn(run.job.database)
    target = str(run.job.request["to"] or dsn.dbname)
    with source.taken_over(dsn, run.name) as session:
        if noted["live_oid"] is None:
            if databases.oid_of(session, target) == noted["incoming_oid"]:
                side = str(run.data("create")["side"])
                databases.cut(session, target)
                databases.rename(session, target, side)
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
    dsn = run.fleet.dsn(run.job.database)
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
