"""Delete what retention lets go, in an order that a kill at any point leaves whole:

    hide ─► delete the manifest ─► let go of its chunks ─► tombstone ─► delete chunks that nobody uses

Every step can be repeated. A snapshot is never visible without all its objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import islice

import structlog

from shared import failpoints
from shared.domain import retention
from shared.domain.job import JobKind
from shared.domain.proof import VerifyPolicy
from shared.domain.retention import Plan
from shared.domain.snapshot import SnapshotState
from shared.operations.fleet import Fleet
from shared.operations.saga import Outcome, StepActions, StepRun

log = structlog.get_logger(__name__)

CHUNK_GRACE = timedelta(hours=24)
"""A chunk that no snapshot uses yet may belong to a copy that still runs, or to one that failed and
whose next attempt will find it: it goes only when nobody has touched it for this long."""

BATCH = 100


def plan(fleet: Fleet, database: str) -> Plan:
    """What retention would keep and let go, and why; changes nothing."""
    configured = fleet.database(database)
    with fleet.catalog.transaction() as tx:
        snapshots = tx.snapshots.listing(database=database, with_hidden=True)
        held = tx.snapshots.held(database)
        now = tx.jobs.now()
    return retention.plan(
        snapshots,
        configured.policy,
        held=held,
        now=now,
        proven_only=configured.verify is not VerifyPolicy.NEVER,
    )


def prune(run: StepRun) -> Outcome:
    name = run.job.database
    decided = plan(run.fleet, name)
    if decided.stopped is not None:
        log.warning("prune_stopped", why=decided.stopped)
        return Outcome(result={"removed": [], "deleted_chunks": 0, "stopped": decided.stopped})
    run.check()
    with run.fenced() as tx:
        tx.snapshots.hide(decided.remove)
    failpoints.reach("prune.hidden")
    for snapshot_id in hidden(run.fleet, name):
        run.check()
        run.fleet.repository.delete_manifest(name, snapshot_id)
        failpoints.reach("prune.manifest_deleted")
        with run.fenced() as tx:
            tx.snapshots.forget_chunks(snapshot_id)
            tx.snapshots.bury(snapshot_id)
        failpoints.reach("prune.buried")
        log.info("snapshot_deleted", snapshot=snapshot_id)
    delete_widowed(run)
    deleted = delete_dead_chunks(run)
    return Outcome(result={"removed": list(decided.remove), "deleted_chunks": deleted, "stopped": None})


def hidden(fleet: Fleet, database: str) -> Sequence[str]:
    """What is really hidden now: a snapshot that was pinned or held a moment ago is not."""
    with fleet.catalog.transaction() as tx:
        return tx.snapshots.being_deleted(database)


def delete_widowed(run: StepRun) -> None:
    """What a writer that was paused put beside a manifest that was gone by then. It means nothing."""
    name = run.job.database
    for snapshot_id in run.fleet.repository.widowed(name):
        with run.fleet.catalog.transaction() as tx:
            snapshot = tx.snapshots.get(snapshot_id)
        if snapshot is None or snapshot.state in (SnapshotState.FAILED, SnapshotState.DELETED):
            run.check()
            run.fleet.repository.delete_standing(name, snapshot_id)


def delete_dead_chunks(run: StepRun) -> int:
    name = run.job.database
    with run.fenced() as tx:
        dead = iter(tx.chunks.mark_dead(name, grace=CHUNK_GRACE))
    failpoints.reach("prune.marked")
    deleted = 0
    while batch := list(islice(dead, BATCH)):
        run.check()
        # Locked until the rows are gone: a copy that wants one of these waits, and then stores it anew.
        with run.fleet.catalog.transaction() as tx:
            for sha256 in tx.chunks.lock_dead(name, batch):
                run.check()
                run.fleet.repository.delete_chunk(name, sha256)
                failpoints.reach("prune.chunk_deleted")
                tx.chunks.forget(name, [sha256])
                deleted += 1
        failpoints.reach("prune.chunks_forgotten")
        run.report(deleted_chunks=deleted)
    return deleted


STEPS = {(JobKind.PRUNE, "prune"): StepActions(do=prune)}
