"""A snapshot of the live database just before a restore replaces it: what was there is never lost.

Taken in the restore's own lease, and kept by retention for the undo window. It stays when the restore is
rolled back. None is taken where nothing is replaced, or where the request says so because the live
database is broken: what is replaced lies parked in either case.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from shared.catalog.catalog import Transaction
from shared.domain.job import Job
from shared.domain.snapshot import Reason, SnapshotState
from shared.errors import SnapfleetError
from shared.operations.databases import source
from shared.operations.jobs.lease import LeaseLost, Stopped
from shared.operations.jobs.saga import Outcome, StepRun
from shared.operations.snapshots import sealing, snapshot
from shared.operations.snapshots.taking import Taking
from shared.postgres import databases

STEP = "safeguard"
WITHOUT = "where the live database is broken restore without it: --no-safeguard; it is parked in any case"


def is_wanted(request: Mapping[str, Any]) -> bool:
    """By a request for a restore: it replaces the live database, and does not say that it is broken."""
    return bool(request.get("safeguard")) and request.get("to") is None


def take(run: StepRun) -> Outcome:
    """Copy and seal the live database as it is now. A second run seals what the first one has copied."""
    if not is_wanted(run.job.request) or not is_there(run):
        return Outcome(result={"safeguard": None})
    taking = taking_of(run)
    with told():
        # Copied once only: a manifest is written once, and after a second copy it would be another one.
        if run.data(STEP).get("seconds") is None:
            snapshot.take(run, taking)
        try:
            sealed = sealing.close(run, taking)
        except sealing.ChunksLost:
            # Once more, and nothing of the first copy may be taken for one of the second.
            run.record(seconds=None)
            sealing.take_back(run, taking)
            snapshot.take(run, taking)
            sealed = sealing.close(run, taking)

    def record(tx: Transaction) -> None:
        sealed.record(tx)
        tx.snapshots.hold(taking.snapshot_id, job_id=run.job.id)

    return Outcome(result={STEP: taking.snapshot_id}, record=record)


def is_there(run: StepRun) -> bool:
    dsn = run.fleet.dsn(run.job.database)
    with source.maintenance(dsn, run.name) as session:
        return databases.oid_of(session, dsn.dbname) is not None


def taking_of(run: StepRun) -> Taking:
    return Taking(
        snapshot_id=id_in(run.job),
        reason=Reason.SAFEGUARD,
        step=STEP,
        labels={"restore": run.job.id},
        kept_for=run.database.undo_window,
    )


def id_in(job: Job) -> str:
    return str(job.request["safeguard_id"])


@contextmanager
def told() -> Generator[None]:
    """Say of whatever fails that it was the safety snapshot, and how to do without."""
    try:
        yield
    except (LeaseLost, Stopped):
        raise
    except SnapfleetError as exc:
        hint = WITHOUT if exc.hint is None else f"{exc.hint}; {WITHOUT}"
        message = f"no safety snapshot of the live database could be taken: {exc.message}"
        raise type(exc)(message, code=exc.code, hint=hint) from exc


def undo(run: StepRun) -> None:
    """One that counts stays. Of one that does not, nothing may make it look as if it did."""
    if not is_wanted(run.job.request):
        return
    with run.fleet.catalog.transaction() as tx:
        found = tx.snapshots.get(id_in(run.job))
    if found is None or found.state is SnapshotState.SEALED:
        return
    taking = taking_of(run)
    sealing.take_back(run, taking)
    snapshot.give_up(run, taking)
