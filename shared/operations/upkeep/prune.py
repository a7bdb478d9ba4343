"""Delete what retention lets go, in an order that a kill at any point leaves whole:

    hide ─► delete the manifest ─► let go of its chunks ─► tombstone ─► delete chunks that nobody uses

Every step can be repeated. A snapshot is never visible without all its objects.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
from shared.operations.jobs.saga import Outcome, StepActions, StepRun
from shared.operations.trust import chain
from shared.operations.upkeep import deleting

log = structlog.get_logger(__name__)

CHUNK_GRACE = timedelta(hours=24)
"""A chunk that no snapshot uses yet may belong to a copy that still runs, or to one that failed and
whose next attempt will find it: it goes only when nobody has touched it for this long."""

SWEEP_EVERY = timedelta(hours=24)
"""How often retention looks through all that is stored of a database: to list it costs with every snapshot there is."""

BATCH = 100

USES_AT_ONCE = 20_000
"""Of chunks, let go in one transaction: a snapshot of 1 TB has some 130,000, and the lease is renewed in between."""


def request(*, plan_id: str | None = None) -> dict[str, object]:
    """What a prune by hand carries; with `plan_id` it removes what that plan said, or nothing."""
    return {"after": None, "plan_id": plan_id}


def plan(fleet: Fleet, database: str) -> Plan:
    """What retention would keep and let go, and why; changes nothing."""
    configured = fleet.database(database)
    with fleet.catalog.singly() as tx:
        snapshots = tx.snapshots.undeleted(database)
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
    run.fleet.repository.signing.refuse_unable("what is deleted")
    remove, stopped = removable(run)
    if stopped is not None:
        log.warning("prune_stopped", why=stopped)
        return Outcome(result={"removed": [], "deleted_chunks": 0, "stopped": stopped})
    run.check()
    # Nothing is even hidden while the signed list is not ours: until somebody has looked, all stays to be restored.
    chain.write(run.fleet, name)
    if remove:
        with run.fenced() as tx:
            tx.snapshots.hide(remove)
    failpoints.reach("prune.hidden")
    # Before the first manifest goes: what the signed list names and nobody finds was deleted by somebody else.
    chain.write(run.fleet, name)
    gone = delete_hidden(run)
    if run.job.request.get("delete"):
        deleting.refuse_kept(run.fleet, str(run.job.request["snapshot_id"]))
    sweeps = is_to_sweep(run)
    if sweeps:
        delete_uncounted(run)
        delete_widowed(run)
    deleted, freed_bytes = delete_dead_chunks(run, only=None if sweeps else gone)
    return Outcome(
        result={
            "removed": list(remove),
            "deleted_chunks": deleted,
            "freed_bytes": freed_bytes,
            "stopped": None,
            "swept": sweeps,
        }
    )


def removable(run: StepRun) -> tuple[Sequence[str], str | None]:
    """What this job removes, or why it removes nothing. Refused where that is not what was planned.

    A second run goes on with what the first one was about to remove.
    """
    asked, begun = run.job.request, run.data("prune").get("remove") if run.resumed else None
    if begun is not None:
        return begun, None
    plan_id = asked.get("plan_id")
    if asked.get("delete"):
        planned = deleting.plan(run.fleet, str(asked["snapshot_id"]))
        deleting.refuse(planned, plan_id=str(plan_id))
        remove: tuple[str, ...] = (planned.snapshot.id,)
    else:
        decided = plan(run.fleet, run.job.database)
        if decided.stopped is not None:
            return (), decided.stopped
        if plan_id is not None:
            deleting.refuse_changed(str(plan_id), decided.id)
        remove = decided.remove
    if plan_id is not None:
        run.record(remove=list(remove))
    return remove, None


def delete_hidden(run: StepRun) -> frozenset[str]:
    """Delete the manifests of all that is hidden, oldest first; the chunks that these snapshots needed."""
    name, gone = run.job.database, set[str]()
    ids = hidden(run.fleet, name)
    for first in range(0, len(ids), BATCH):
        some = ids[first : first + BATCH]
        for snapshot_id in some:
            run.check()
            run.fleet.repository.delete_manifest(name, snapshot_id)
            failpoints.reach("prune.manifest_deleted")
        gone |= let_go(run, some)
        failpoints.reach("prune.buried")
        for snapshot_id in some:
            log.info("snapshot_deleted", snapshot=snapshot_id)
    return frozenset(gone)


def let_go(run: StepRun, snapshot_ids: Collection[str]) -> set[str]:
    """Let go of the chunks of these, and bury them with the last; the names of those chunks."""
    gone = set[str]()
    while True:
        with run.fenced() as tx:
            names, is_all = tx.snapshots.forget_chunks(snapshot_ids, most=USES_AT_ONCE)
            if is_all:
                tx.snapshots.bury(snapshot_ids)
        gone |= names
        if is_all:
            return gone
        run.check()


def is_to_sweep(run: StepRun) -> bool:
    """Whether to look through all that is stored, and not only at what these snapshots have let go.

    Once a day, after a snapshot has failed, when asked by hand, and where a former run died: it may have let go of
    what nobody remembers.
    """
    if run.resumed or run.job.request.get("after") is None:
        return True
    with run.fleet.catalog.singly() as tx:
        return not tx.prunings.swept_within(run.job.database, SWEEP_EVERY)


def hidden(fleet: Fleet, database: str) -> Sequence[str]:
    """What is really hidden now: a snapshot that was pinned or held a moment ago is not."""
    with fleet.catalog.singly() as tx:
        return tx.snapshots.being_deleted(database)


def delete_uncounted(run: StepRun) -> None:
    """Manifests of snapshots that failed after all: whoever wrote them may have had no right to delete."""
    name = run.job.database
    for snapshot_id in run.fleet.repository.manifests(name):
        with run.fleet.catalog.transaction() as tx:
            snapshot = tx.snapshots.get(snapshot_id)
        if snapshot is not None and snapshot.state is SnapshotState.FAILED:
            run.check()
            run.fleet.repository.delete_manifest(name, snapshot_id)


def delete_widowed(run: StepRun) -> None:
    """What a writer that was paused put beside a manifest that was gone by then. It means nothing."""
    name = run.job.database
    for snapshot_id in run.fleet.repository.widowed(name):
        with run.fleet.catalog.transaction() as tx:
            snapshot = tx.snapshots.get(snapshot_id)
        if snapshot is None or snapshot.state in (SnapshotState.FAILED, SnapshotState.DELETED):
            run.check()
            run.fleet.repository.delete_standing(name, snapshot_id)


def delete_dead_chunks(run: StepRun, *, only: Collection[str] | None) -> tuple[int, int]:
    """How many went, of these or of all, and how many stored bytes with them; not counted are those of a run that
    died before.
    """
    name = run.job.database
    if only is not None and not only:
        return 0, 0
    with run.fenced() as tx:
        dead = iter(tx.chunks.mark_dead(name, grace=CHUNK_GRACE, only=only))
    failpoints.reach("prune.marked")
    deleted, freed_bytes = 0, 0
    while batch := list(islice(dead, BATCH)):
        run.check()
        # Locked until the rows are gone: a copy that wants one of these waits, and then stores it anew.
        with run.fleet.catalog.transaction() as tx:
            locked = tx.chunks.lock_dead(name, batch)
            for sha256 in locked:
                run.check()
                run.fleet.repository.delete_chunk(name, sha256)
                failpoints.reach("prune.chunk_deleted")
            freed_bytes += tx.chunks.forget(name, locked)
            deleted += len(locked)
        failpoints.reach("prune.chunks_forgotten")
        run.report(deleted_chunks=deleted)
    return deleted, freed_bytes


STEPS = {(JobKind.PRUNE, "prune"): StepActions(do=prune)}
