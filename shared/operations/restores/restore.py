"""Bring a snapshot back: always into a side database, and only at the end by one atomic swap.

    plan ─► safeguard ─► create ─► load ─► build ─► prove ─► swap ─► settle
            snapshot     side db   parts   indexes  counts   names   undo window opens

Until `swap` the live database is only looked at. Where there is a warm copy of the snapshot it is the side
database, and there is nothing to load, to build or to prove. Undoing `create` drops what is ours; undoing `swap`
gives the name back. With a target of its own (`to`), the name is new and nothing is parked.
"""

from __future__ import annotations

from dataclasses import replace

from shared.catalog.catalog import Transaction
from shared.domain.job import Job, JobKind
from shared.domain.snapshot import Snapshot
from shared.errors import NotFound, Refused
from shared.operations.databases import preview, side, stored, warm
from shared.operations.databases.preview import Intent
from shared.operations.jobs.saga import Outcome, StepActions, StepRun
from shared.operations.proofs import proving
from shared.operations.restores import emptiness, swapping, warm_start
from shared.operations.restores.warm_start import unless_warm
from shared.operations.snapshots import safeguard
from shared.postgres.dsn import Dsn


def plan(run: StepRun) -> Outcome:
    """Look before anything is touched: the snapshot is held and readable, the target can take it."""
    request = run.job.request
    if safeguard.is_wanted(request):
        run.fleet.repository.signing.refuse_unable("the safety snapshot of what is replaced")
    with run.fenced() as tx:
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
    if seen.warm is None or not warm_start.reserve(run, seen.warm):
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


def create(run: StepRun) -> Outcome:
    """The side database: the warm copy, or a new one."""
    manifest = side.manifest_of(run.fleet, run.job.request["snapshot_id"])
    reserved = warm_start.reserved(run) is not None
    taken = warm_start.take_in(run, manifest) if reserved else None
    if taken is not None:
        return taken
    run.record(warm=None)
    if reserved:  # relying on it, nobody has asked storage
        refuse_damaged(run)
    if run.job.request.get("target") is None:
        warm.make_room(run, raw_bytes=manifest.raw_bytes)
    return side.create(run)


def live_dsn(run: StepRun) -> Dsn:
    """The database that the snapshot is restored as."""
    dsn = side.server_of(run.fleet, run.job)
    return dsn.for_database(str(run.job.request["to"] or dsn.dbname))


def swap(run: StepRun) -> Outcome:
    manifest = side.manifest_of(run.fleet, run.job.request["snapshot_id"])
    swapped = swapping.swap(
        run,
        live_dsn(run),
        properties=manifest.properties,
        is_new=run.job.request["to"] is not None,
        last_look=lambda live_oid: emptiness.last_look(run, live_oid=live_oid),
    )

    def record(tx: Transaction) -> None:
        if swapped.record is not None:
            swapped.record(tx)
        if safeguard.is_wanted(run.job.request):
            tx.snapshots.keep(safeguard.id_in(run.job), window=run.database.undo_window)

    return replace(swapped, record=record)


def undo_swap(run: StepRun) -> None:
    swapping.swap_back(run, live_dsn(run))


def settle(run: StepRun) -> Outcome:
    swapping.refuse_unsettled(run, live_dsn(run))

    def record(tx: Transaction) -> None:
        tx.parts.clear(run.job.id)
        emptiness.lift(tx, run.job)

    return Outcome(record=record)


STEPS = {
    (JobKind.RESTORE, "plan"): StepActions(do=plan, undo=warm_start.give_back),
    (JobKind.RESTORE, safeguard.STEP): StepActions(do=safeguard.take, undo=safeguard.undo),
    (JobKind.RESTORE, "create"): StepActions(
        do=warm.yielding(proving.refuting(create)), undo=side.undo_create
    ),
    (JobKind.RESTORE, "load"): StepActions(do=unless_warm(warm.yielding(proving.refuting(side.load)))),
    (JobKind.RESTORE, "build"): StepActions(do=unless_warm(warm.yielding(proving.refuting(side.build)))),
    (JobKind.RESTORE, "prove"): StepActions(do=unless_warm(proving.prove)),
    (JobKind.RESTORE, "swap"): StepActions(do=swap, undo=undo_swap),
    (JobKind.RESTORE, "settle"): StepActions(do=settle),
}
