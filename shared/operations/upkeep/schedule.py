"""Beat's two duties: the tick (make due slots' jobs, find stuck ones) and housekeeping.

Both may run twice, late, or not for a day: slots are rows under a unique key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from shared.catalog.catalog import Transaction
from shared.domain import schedule
from shared.domain.job import JobKind, NewJob
from shared.domain.schedule import Every
from shared.domain.snapshot import Reason
from shared.errors import SnapfleetError
from shared.operations.databases import source
from shared.operations.fleet import Fleet
from shared.operations.jobs import dispatch
from shared.operations.jobs.requests import snapshot_request
from shared.operations.trust import auditing, chain, standing
from shared.operations.upkeep import check, warm_copies
from shared.postgres import databases

log = structlog.get_logger(__name__)

OUTBOX_KEPT = timedelta(days=30)
A_DAY = timedelta(days=1)
# Longer than a request is ever granted for, so that none is granted twice.
INBOX_KEPT = timedelta(days=30)

NewSnapshotId = Callable[[datetime], str]


def tick(fleet: Fleet, *, new_job_id: Callable[[], str], new_snapshot_id: NewSnapshotId) -> int:
    """Make the newest due slot of every schedule, record the older ones as missed, look each database over
    once a day, reap; jobs made.
    """
    made = 0
    with fleet.catalog.transaction() as tx:
        tx.schedules.know(fleet.databases)
    for name in sorted(fleet.databases):
        made += make_slots(fleet, name, new_job_id=new_job_id, new_snapshot_id=new_snapshot_id)
        made += make_check(fleet, name, new_job_id=new_job_id)
    dispatch.reap(fleet)
    return made


def make_slots(
    fleet: Fleet, name: str, *, new_job_id: Callable[[], str], new_snapshot_id: NewSnapshotId
) -> int:
    """One database's due slots. By the catalog's clock; its row is locked, so two ticks take turns."""
    with fleet.catalog.transaction() as tx:
        known = tx.schedules.lock(name)
        now = tx.jobs.now().astimezone(UTC)
        found = schedule.due(fleet.databases[name].schedule, after=known.slots_until.astimezone(UTC), now=now)
        if found.latest is None:
            return 0
        tx.schedules.miss_slots(name, found.missed)
        if found.missed:
            log.warning("slots_missed", database=name, count=len(found.missed))
            tell_missed(tx, name, found.missed, why="nobody was there to run them")
        if known.blocked_why is not None:
            tx.schedules.miss_slots(name, [found.latest])
            tell_missed(tx, name, [found.latest], why=known.blocked_why)
            tx.schedules.decided_until(name, found.latest)
            log.warning("slot_blocked", database=name, why=known.blocked_why)
            return 0
        job, is_new = tx.jobs.submit(
            NewJob(
                id=new_job_id(),
                kind=JobKind.SNAPSHOT,
                database=name,
                request=snapshot_request(
                    snapshot_id=new_snapshot_id(now),
                    prune_job_id=new_job_id(),
                    verify_job_id=new_job_id(),
                    reason=Reason.SCHEDULE,
                    labels={},
                ),
                idempotency_key=f"slot:{name}:{found.latest:%Y-%m-%dT%H:%M:%SZ}",
            )
        )
        if is_new:
            data = {"kind": str(job.kind), "slot": found.latest.isoformat()}
            tx.outbox.add("snapshot.accepted", database=name, job_id=job.id, data=data)
            auditing.requested(tx, job, by=auditing.SCHEDULE)
        tx.schedules.make_slot(name, due_at=found.latest, job_id=job.id)
        tx.schedules.decided_until(name, found.latest)
    return int(is_new)


def tell_missed(tx: Transaction, name: str, slots: Sequence[datetime], *, why: str) -> None:
    moments = {"first": slots[0].isoformat(), "last": slots[-1].isoformat()}
    data = {"count": len(slots), **moments, "why": why}
    tx.outbox.add("schedule.missed", database=name, job_id=None, data=data)


def make_check(fleet: Fleet, name: str, *, new_job_id: Callable[[], str]) -> int:
    """One database's check of this day. Of the days that nobody ticked on only the last one is made up for."""
    if not fleet.databases[name].checked_daily:
        return 0
    with fleet.catalog.transaction() as tx:
        due = schedule.last_slot(daily(name), tx.jobs.now().astimezone(UTC))
        key = f"check:{name}:{due:%Y-%m-%d}"
        if due < tx.schedules.lock(name).created_at or tx.jobs.by_key(key) is not None:
            return 0
        job, _ = tx.jobs.submit(
            NewJob(
                id=new_job_id(),
                kind=JobKind.CHECK,
                database=name,
                request=check.request(),
                idempotency_key=key,
            )
        )
        data = {"kind": str(job.kind), "slot": due.isoformat()}
        tx.outbox.add("check.accepted", database=name, job_id=job.id, data=data)
        auditing.requested(tx, job, by=auditing.SCHEDULE)
    return 1


def daily(name: str) -> Every:
    """Spread over the day, so that not all databases are looked at in one hour."""
    return Every(every=A_DAY, phase=schedule.phase_of(f"check {name}", A_DAY))


def housekeeping(fleet: Fleet) -> None:
    """Drop parked databases whose undo window has passed and warm copies that are of no use any more, and mend
    whatever killed processes left undone.
    """
    standing.keep(fleet)
    chain.keep(fleet, sorted(fleet.databases))
    with fleet.catalog.transaction() as tx:
        tx.outbox.trim(older_than=OUTBOX_KEPT)
        tx.inbox.trim(older_than=INBOX_KEPT)
        expired = tx.parked.expired()
        head = tx.audit.head()
    # A log is kept elsewhere: so it tells later whether the audit's end was cut off, or all of it written anew.
    log.info("audit_head", seq=head.seq, hash=head.hash)
    for parked in expired:
        if parked.database not in fleet.databases:
            log.warning("parked_database_unknown", database=parked.database, name=parked.parked_name)
            continue
        try:
            dsn = fleet.dsn(parked.database)
            with source.maintenance(dsn, "snapfleet:housekeeping") as session:
                # By its oid: the name could by now be another's.
                if databases.oid_of(session, parked.parked_name) == parked.parked_oid:
                    source.drop(dsn, session, parked.parked_name)
            with fleet.catalog.transaction() as tx:
                tx.parked.dropped(parked.job_id)
        except SnapfleetError as exc:
            log.warning("parked_database_not_dropped", database=parked.database, code=exc.code)
    warm_copies.tidy(fleet)
