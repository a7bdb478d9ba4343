"""Prove a snapshot: restore it into a scratch database, compare, and drop that again.

    plan ─► create ─► load ─► build ─► prove ─► drop
            scratch   parts   indexes  judged   gone

The live database is never touched. The scratch database is a side database like a restore's, so undoing
`create` drops it, whatever became of the proof. With `warm` that of the newest snapshot is kept by `drop`.
"""

from __future__ import annotations

from datetime import timedelta

from shared.catalog.catalog import Transaction
from shared.domain.job import JobKind, NewJob
from shared.domain.manifest import Manifest
from shared.domain.proof import Digests, VerifyPolicy, is_due
from shared.domain.snapshot import Reason, Snapshot
from shared.errors import NotFound, Refused
from shared.operations.databases import preflight, side, source, warm
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests
from shared.operations.jobs.saga import Outcome, StepActions, StepRun
from shared.operations.proofs import keeping, proving, refreshing
from shared.operations.trust import auditing
from shared.postgres import inspection

RETENTION_EVERY = timedelta(minutes=50)
"""How often it follows what the schedule makes; so it follows each snapshot of an hourly schedule."""

OR_ELSEWHERE = 'or name another server in VERIFY_DATABASE_URL, or set verify = "never" for this database'


def request(
    snapshot_id: str, *, digests: Digests = Digests.SAMPLE, prune_job_id: str | None
) -> dict[str, object]:
    """What a verify job carries. With `prune_job_id`, retention runs once the snapshot is proven."""
    return {"snapshot_id": snapshot_id, "digests": str(digests), "prune_job_id": prune_job_id}


def newest(fleet: Fleet, database: str) -> Snapshot:
    """The newest sealed one, whatever it is worth; NotFound where there is none."""
    with fleet.catalog.transaction() as tx:
        found = tx.snapshots.newest_sealed(database)
    if found is None:
        raise NotFound(
            f"database {database} has no sealed snapshot",
            code="no_snapshot",
            hint=f"take one: snapfleet snapshot take; {requests.IF_CATALOG_LOST}",
        )
    return found


def plan(run: StepRun) -> Outcome:
    """Hold the snapshot, and look whether a scratch database can be made."""
    snapshot_id = str(run.job.request["snapshot_id"])
    with run.fenced() as tx:
        if not tx.snapshots.hold(snapshot_id, job_id=run.job.id):
            raise NotFound(
                f"snapshot {snapshot_id} is gone, or was never sealed",
                code="snapshot_unknown",
                hint="`snapfleet snapshot list` shows what there is",
            )
    manifest = side.manifest_of(run.fleet, snapshot_id)
    dsn = side.server_of(run.fleet, run.job)
    with source.maintenance(dsn, run.name) as session:
        source.choose_tools(run.fleet, dsn, session)
        if inspection.is_superuser(session) and not run.fleet.restore_as_superuser:
            raise Refused(
                f"{dsn.where} is logged in to as a superuser, and restoring runs code that table owners wrote",
                code="superuser_restore",
                hint=f"use a role with CREATEDB, {OR_ELSEWHERE}; if you trust them, RESTORE_AS_SUPERUSER=true",
            )
        preflight.refuse_older(session, manifest)
        preflight.refuse_missing_roles(session, manifest)
        if not inspection.rights(session, dsn.dbname).may_create:
            raise Refused(
                f"the role in the URL of {dsn.where} may not create the scratch database that a proof needs",
                code="insufficient_rights",
                hint=f"let a superuser say: alter role … createdb, {OR_ELSEWHERE}",
            )
    return Outcome(result={"snapshot_id": manifest.id})


def create(run: StepRun) -> Outcome:
    """The scratch database: out of an older warm copy where that can be, which gives way where both may not fit."""
    if run.database.warm:
        manifest = side.manifest_of(run.fleet, str(run.job.request["snapshot_id"]))
        warm.make_room(run, raw_bytes=manifest.raw_bytes)
        refreshed = refreshing.create(run, manifest)
        if refreshed is not None:
            return refreshed
    return side.create(run)


def drop(run: StepRun) -> Outcome:
    """Leave nothing behind but a warm copy; what retention lets go goes now that this snapshot is proven."""
    sealed = None
    if run.database.warm:
        sealed = keeping.keep(run, side.manifest_of(run.fleet, str(run.job.request["snapshot_id"])))
    side.undo_create(run)

    def record(tx: Transaction) -> None:
        if sealed is not None:
            sealed(tx)
        prune_job_id = run.job.request.get("prune_job_id")
        if prune_job_id is not None:
            let_retention_follow(tx, run, str(prune_job_id), after=str(run.job.request["snapshot_id"]))

    return Outcome(record=record)


def follow(tx: Transaction, run: StepRun, manifest: Manifest) -> None:
    """What a sealed snapshot calls for: its proof where the policy wants one, else retention at once.

    Either is a job of its own, so that nothing it meets makes a good snapshot look failed.
    """
    asked = run.job.request
    verify_job_id = asked.get("verify_job_id")
    if verify_job_id is not None and wants_proof(tx, run, manifest):
        proof_of_it = NewJob(
            id=str(verify_job_id),
            kind=JobKind.VERIFY,
            database=run.job.database,
            request=request(
                manifest.id, digests=run.database.digests, prune_job_id=str(asked["prune_job_id"])
            ),
            idempotency_key=f"verify:{manifest.id}",
        )
        ask_for(tx, run, proof_of_it)
        return
    let_retention_follow(tx, run, str(asked["prune_job_id"]), after=manifest.id)


def let_retention_follow(tx: Transaction, run: StepRun, job_id: str, *, after: str) -> None:
    """Ask for it, unless the schedule has made this snapshot and retention ran a moment ago: it would look at every
    snapshot there is to let a few more go.
    """
    taken = tx.snapshots.get(after)
    is_scheduled = taken is not None and taken.reason is Reason.SCHEDULE
    if not (is_scheduled and tx.prunings.ran_within(run.job.database, RETENTION_EVERY)):
        ask_for(tx, run, prune(run, job_id, after=after))


def ask_for(tx: Transaction, run: StepRun, new: NewJob) -> None:
    """A job that follows from another one, told of as any is."""
    job, is_new = tx.jobs.submit(new)
    if is_new:
        data = {"kind": str(job.kind), "request": dict(job.request)}
        tx.outbox.add(f"{job.kind}.accepted", database=job.database, job_id=job.id, data=data)
        auditing.requested(tx, job, by=auditing.of_job(run.job.id))


def wants_proof(tx: Transaction, run: StepRun, manifest: Manifest) -> bool:
    asked = str(run.job.request.get("verify", "policy"))
    policy = run.database.verify if asked == "policy" else VerifyPolicy(asked)
    newest = tx.snapshots.newest_good(run.job.database, verified=True)
    return is_due(
        policy,
        raw_bytes=manifest.raw_bytes,
        taken_at=manifest.taken_at,
        newest_proven=newest.taken_at if newest else None,
    )


def prune(run: StepRun, job_id: str, *, after: str) -> NewJob:
    """Retention, once after each snapshot."""
    return NewJob(
        id=job_id,
        kind=JobKind.PRUNE,
        database=run.job.database,
        request={"after": after},
        idempotency_key=f"prune:{after}",
    )


STEPS = {
    (JobKind.VERIFY, "plan"): StepActions(do=plan),
    (JobKind.VERIFY, "create"): StepActions(
        do=warm.yielding(proving.refuting(create)), undo=side.undo_create
    ),
    (JobKind.VERIFY, "load"): StepActions(do=warm.yielding(proving.refuting(refreshing.or_whole(side.load)))),
    (JobKind.VERIFY, "build"): StepActions(
        do=warm.yielding(proving.refuting(refreshing.or_whole(refreshing.build)))
    ),
    (JobKind.VERIFY, "prove"): StepActions(do=refreshing.or_whole(proving.prove)),
    (JobKind.VERIFY, "drop"): StepActions(do=drop, undo=keeping.discard),
}
