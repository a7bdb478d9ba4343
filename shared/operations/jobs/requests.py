"""Accept requests: one transaction for the row and its event, then the doorbell. The same for every way in.

A request with an idempotency key that was seen before answers with the job that it made then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from shared.catalog.catalog import Transaction
from shared.catalog.parked import Parked
from shared.domain.access import Actor
from shared.domain.ids import new_snapshot_id
from shared.domain.job import Job, JobKind, JobState, NewJob
from shared.domain.proof import VerifyPolicy
from shared.domain.snapshot import Reason, Snapshot, SnapshotState
from shared.domain.wording import shown
from shared.errors import Busy, NotFound, Refused
from shared.operations.fleet import Fleet
from shared.operations.jobs import blocking, dispatch
from shared.operations.trust import auditing, standing

SWAPPING = (JobKind.RESTORE, JobKind.RESET)
"""Kinds of jobs that put another database in the live one's place, and can be taken back."""


IF_CATALOG_LOST = "if the catalog was lost: snapfleet catalog rebuild"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """`rung` is False when Redis was down: the job is safe in its row, and runs when Redis is back."""

    job: Job
    is_new: bool
    rung: bool


def submit(fleet: Fleet, new: NewJob, *, by: Actor) -> Accepted:
    """Accept a job for a configured database, and start it if nothing else runs there.

    Refused(database_blocked) for a snapshot of one that is blocked.
    """
    with fleet.catalog.transaction() as tx:
        job, is_new = enter(tx, fleet, new, by=by)
    return Accepted(job=job, is_new=is_new, rung=dispatch.start_waiting(fleet, job.database))


def enter(tx: Transaction, fleet: Fleet, new: NewJob, *, by: Actor) -> tuple[Job, bool]:
    """The part of `submit` that is one transaction: the job, and whether it is new. Its caller rings."""
    fleet.database(new.database)
    tx.schedules.know([new.database])
    job, is_new = tx.jobs.submit(new)
    if is_new:
        if job.kind is JobKind.SNAPSHOT:
            blocking.refuse_blocked(tx, job.database)
        data = {"kind": str(job.kind), "request": dict(job.request)}
        tx.outbox.add(f"{job.kind}.accepted", database=job.database, job_id=job.id, data=data)
        auditing.requested(tx, job, by=by)
    refuse_other(job, new.kind, new.database, new.request_digest)
    return job, is_new


def accepted_before(
    fleet: Fleet,
    idempotency_key: str | None,
    *,
    kind: JobKind,
    database: str,
    request_digest: str | None = None,
) -> Accepted | None:
    """What this key was answered with before; None where it is new: then look, ask, and submit."""
    if idempotency_key is None:
        return None
    with fleet.catalog.transaction() as tx:
        job = tx.jobs.by_key(idempotency_key)
    if job is None:
        return None
    refuse_other(job, kind, database, request_digest)
    return Accepted(job=job, is_new=False, rung=dispatch.start_waiting(fleet, job.database))


def refuse_other(job: Job, kind: JobKind, database: str, request_digest: str | None) -> None:
    """Where all that is asked has a digest, the same request has the same one."""
    is_other = request_digest is not None and job.request_digest != request_digest
    if is_other or (job.kind, job.database) != (kind, database):
        raise Refused(
            "this idempotency key belongs to another request",
            code="idempotency_key_reused",
            hint="use a new key for a new request",
        )


def snapshot_request(
    *,
    snapshot_id: str,
    prune_job_id: str,
    verify_job_id: str,
    reason: Reason,
    labels: Mapping[str, str],
    verify: VerifyPolicy | None = None,
) -> dict[str, object]:
    """What a snapshot job carries; its ids come from the caller. Without `verify` the database's policy counts."""
    return {
        "snapshot_id": snapshot_id,
        "prune_job_id": prune_job_id,
        "verify_job_id": verify_job_id,
        "verify": str(verify or "policy"),
        "reason": str(reason),
        "labels": dict(labels),
    }


def manual_snapshot_request(
    *,
    now: datetime,
    new_uuid: Callable[[], UUID],
    labels: Mapping[str, str] = MappingProxyType({}),
    verify: VerifyPolicy | None = None,
) -> dict[str, object]:
    """The same for whoever asks by hand: every id in it is made of `now` and `new_uuid`."""
    return snapshot_request(
        snapshot_id=new_snapshot_id(now, new_uuid()),
        prune_job_id=str(new_uuid()),
        verify_job_id=str(new_uuid()),
        reason=Reason.MANUAL,
        labels=labels,
        verify=verify,
    )


def restore_request(
    *,
    snapshot_id: str,
    to: str | None = None,
    as_superuser: bool = False,
    safeguard_id: str | None = None,
    plan_id: str | None = None,
    target: str | None = None,
    despite_differences: bool = False,
) -> dict[str, object]:
    """What a restore carries. `safeguard_id` is the id of the safety snapshot to take of what is replaced,
    `plan_id` what must still be true, `target` the name of another server that the workers know. With
    `despite_differences` what is restored beside the live database stays though its proof fails.
    """
    return {
        "snapshot_id": snapshot_id,
        "to": to,
        "as_superuser": as_superuser,
        "safeguard": safeguard_id is not None,
        "safeguard_id": safeguard_id,
        "plan_id": plan_id,
        "target": target,
        "despite_differences": despite_differences,
    }


def choose_snapshot(fleet: Fleet, database: str, *, snapshot_id: str | None, at: datetime | None) -> Snapshot:
    """The sealed snapshot that a restore means: by id, by moment, or the newest. NotFound says why.

    Without an id one that is suspect or refuted is passed over, and so is a safeguard.
    """
    with fleet.catalog.transaction() as tx:
        if snapshot_id is not None:
            found = tx.snapshots.get(snapshot_id)
            if found is None or found.database != database:
                raise NotFound(
                    f"database {database} has no snapshot {shown(snapshot_id)}",
                    code="snapshot_unknown",
                    hint=f"`snapfleet snapshot list {database}` shows them",
                )
            if found.state is not SnapshotState.SEALED:
                raise Refused(
                    f"snapshot {snapshot_id} is {found.state}: only a sealed one can be restored",
                    code="snapshot_not_sealed",
                )
            return found
        found = tx.snapshots.newest_good(database, at=at)
        other = tx.snapshots.newest_sealed(database, at=at)
    if found is None:
        when = f" at or before {at.isoformat()}" if at else ""
        raise NotFound(
            f"database {database} has no sealed snapshot{when}"
            + (" that is neither suspect nor refuted" if other else ""),
            code="no_snapshot",
            hint=f"`snapfleet snapshot list {database}` shows what there is; "
            + ("any sealed one can be restored by its id" if other else IF_CATALOG_LOST),
        )
    return found


def passed_over(fleet: Fleet, chosen: Snapshot, *, at: datetime | None) -> Sequence[Snapshot]:
    """Newer sealed ones that `choose_snapshot` left out: suspect or refuted ones, and safeguards."""
    with fleet.catalog.transaction() as tx:
        newer = tx.snapshots.sealed_after(chosen.database, chosen.sequence)
    return [each for each in newer if at is None or (each.taken_at is not None and each.taken_at <= at)]


def find_job(fleet: Fleet, job_id: str) -> Job:
    """A job by its id or the beginning of it."""
    with fleet.catalog.transaction() as tx:
        found = tx.jobs.find(job_id)
    if not found:
        raise NotFound(f"no job {shown(job_id)}", code="job_unknown", hint="`snapfleet jobs` lists them")
    if len(found) > 1:
        raise ambiguous("job", job_id, [each.id for each in found])
    return found[0]


def find_snapshot(fleet: Fleet, snapshot_id: str) -> Snapshot:
    """A snapshot by its id or the beginning of it, whatever became of it."""
    with fleet.catalog.transaction() as tx:
        found = tx.snapshots.find(snapshot_id)
    if not found:
        raise NotFound(
            f"no snapshot {shown(snapshot_id)}",
            code="snapshot_unknown",
            hint="`snapfleet snapshot list` shows them",
        )
    if len(found) > 1:
        raise ambiguous("snapshot", snapshot_id, [each.id for each in found])
    return found[0]


def ambiguous(what: str, beginning: str, ids: Sequence[str]) -> Refused:
    return Refused(
        f"more than one {what} begins with {beginning}",
        code=f"{what}_ambiguous",
        hint=f"give more of its id: {' or '.join(ids)}, for example",
    )


def undoable(fleet: Fleet, restore_job: str) -> Parked:
    """What taking a finished restore back would bring back. Refused where there is nothing (left)."""
    job = find_job(fleet, restore_job)
    if job.kind not in SWAPPING or job.state is not JobState.SUCCEEDED:
        raise Refused(
            f"job {job.id} is a {job.kind} that {job.state}: only a restore or reset that succeeded can be undone",
            code="nothing_to_undo",
        )
    with fleet.catalog.transaction() as tx:
        parked = tx.parked.get(job.id)
    if parked is None or parked.dropped_at is not None:
        raise Refused(
            f"nothing is parked by that {job.kind}: its undo window has passed, or it swapped nothing",
            code="nothing_to_undo",
            hint="restore a snapshot instead: `snapfleet snapshot list`",
        )
    return parked


def undo(fleet: Fleet, restore_job: str, *, job_id: str, idempotency_key: str, by: Actor) -> Accepted:
    """Ask for a finished restore to be taken back. Refused where there is nothing (left) to bring back."""
    parked = undoable(fleet, restore_job)
    new = NewJob(
        id=job_id,
        kind=JobKind.UNDO,
        database=parked.database,
        request={"restore_job": parked.job_id},
        idempotency_key=idempotency_key,
    )
    return submit(fleet, new, by=by)


def cancel(fleet: Fleet, job_id: str, *, by: Actor) -> Job:
    """Ask a job to stop. It ends as cancelled once everything that it began is undone.

    Busy where it is past the point that a cancel could help: use undo.
    """
    job = find_job(fleet, job_id)
    if job.kind in SWAPPING and job.state is JobState.ACTIVE and job.step == "settle":
        raise Busy(
            "the swap has happened already",
            code="too_late_to_cancel",
            hint=f"wait for it to end, then: snapfleet undo {job.id}",
        )
    with fleet.catalog.transaction() as tx:
        asked = tx.jobs.request_cancel(job.id)
        if asked is not None:
            auditing.did(tx, f"{job.kind}.cancel_requested", by=by, database=job.database, job_id=job.id)
    if asked is None:
        raise Refused(f"job {job.id} is {job.state}: there is nothing to cancel", code="job_ended")
    dispatch.reap(fleet, job.id)
    return asked


def pin(fleet: Fleet, snapshot_id: str, *, pinned: bool, by: Actor) -> Snapshot:
    """Keep a snapshot from retention, or let it go again."""
    with fleet.catalog.transaction() as tx:
        changed = tx.snapshots.set_pinned(snapshot_id, pinned=pinned)
        found = tx.snapshots.get(snapshot_id)
        if changed and found is not None:
            action = "snapshot.pinned" if pinned else "snapshot.unpinned"
            data = {"snapshot_id": snapshot_id}
            auditing.did(tx, action, by=by, database=found.database, details=data)
    if not changed or found is None:
        raise NotFound(
            f"no snapshot {shown(snapshot_id)}",
            code="snapshot_unknown",
            hint="`snapfleet snapshot list` shows them",
        )
    standing.keep_one(fleet, found.id)
    return found
