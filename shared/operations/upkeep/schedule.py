"""Beat's two duties: the tick (make due slots' jobs, find stuck ones) and housekeeping.

Both may run twice, late, or not for a day: slots are rows under a unique key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from shared.catalog.catalog import Transaction
from shared.catalog.schedules import KnownDatabase, Slot
from shared.domain import schedule
from shared.domain.job import Job, JobKind, NewJob
from shared.domain.schedule import Due, Every
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

AT_ONCE = 100
"""Databases whose rows one transaction of a tick locks."""

NewSnapshotId = Callable[[datetime], str]


def tick(fleet: Fleet, *, new_job_id: Callable[[], str], new_snapshot_id: NewSnapshotId) -> int:
    """Make the newest due slot of every schedule, record the older ones as missed, look each database over
    once a day, reap; jobs made.

    Databases are looked at all at once, and only those with something due are locked, some at a time: what it asks
    the catalog for grows with what is due, and not with how many there are.
    """
    with fleet.catalog.transaction() as tx:
        tx.schedules.know(fleet.databases)
        now = tx.jobs.now().astimezone(UTC)
        known = tx.schedules.known(fleet.databases)
        unchecked = without_check(tx, fleet, known, now=now)
    made = 0
    due = [each.name for each in known if due_of(fleet, each, now).latest is not None]
    for first in range(0, len(due), AT_ONCE):
        names = due[first : first + AT_ONCE]
        made += make_slots(fleet, names, new_job_id=new_job_id, new_snapshot_id=new_snapshot_id)
    for first in range(0, len(unchecked), AT_ONCE):
        made += make_checks(fleet, unchecked[first : first + AT_ONCE], new_job_id=new_job_id)
    dispatch.reap(fleet)
    return made


def due_of(fleet: Fleet, known: KnownDatabase, now: datetime) -> Due:
    return schedule.due(fleet.databases[known.name].schedule, after=known.slots_until, now=now)


def make_slots(
    fleet: Fleet, names: Sequence[str], *, new_job_id: Callable[[], str], new_snapshot_id: NewSnapshotId
) -> int:
    """The due slots of some databases. By the catalog's clock; their rows are locked, so two ticks take turns."""
    slots: list[Slot] = []
    wanted: dict[str, tuple[datetime, NewJob]] = {}
    with fleet.catalog.transaction() as tx:
        locked = tx.schedules.lock_all(names)
        now = tx.jobs.now().astimezone(UTC)
        for known in locked:
            name, found = known.name, due_of(fleet, known, now)
            if found.latest is None:  # another tick was quicker
                continue
            slots += missed(tx, name, found.missed, why="nobody was there to run them")
            if known.blocked_why is not None:
                slots += missed(tx, name, [found.latest], why=known.blocked_why)
                continue
            request = snapshot_request(
                snapshot_id=new_snapshot_id(now),
                prune_job_id=new_job_id(),
                verify_job_id=new_job_id(),
                reason=Reason.SCHEDULE,
                labels={},
            )
            new = NewJob(
                id=new_job_id(),
                kind=JobKind.SNAPSHOT,
                database=name,
                request=request,
                idempotency_key=f"slot:{name}:{found.latest:%Y-%m-%dT%H:%M:%SZ}",
            )
            wanted[new.idempotency_key] = found.latest, new
        made = tx.jobs.submit_all([new for _, new in wanted.values()])
        for job, is_new in made:
            due_at, _ = wanted[job.idempotency_key]
            slots.append(Slot(database=job.database, due_at=due_at, job_id=job.id))
            if is_new:
                tell_accepted(tx, job, slot=due_at)
        tx.schedules.decide(slots)
    return sum(is_new for _, is_new in made)


def missed(tx: Transaction, name: str, slots: Sequence[datetime], *, why: str) -> Iterator[Slot]:
    """Tell of slots that nobody runs."""
    if slots:
        log.warning("slots_missed", database=name, count=len(slots), why=why)
        moments = {"first": slots[0].isoformat(), "last": slots[-1].isoformat()}
        data = {"count": len(slots), **moments, "why": why}
        tx.outbox.add("schedule.missed", database=name, job_id=None, data=data)
    return (Slot(database=name, due_at=due_at, job_id=None) for due_at in slots)


def tell_accepted(tx: Transaction, job: Job, *, slot: datetime) -> None:
    data = {"kind": str(job.kind), "slot": slot.isoformat()}
    tx.outbox.add(f"{job.kind}.accepted", database=job.database, job_id=job.id, data=data)
    auditing.requested(tx, job, by=auditing.SCHEDULE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DueCheck:
    database: str
    due_at: datetime

    @property
    def key(self) -> str:
        return f"check:{self.database}:{self.due_at:%Y-%m-%d}"


def without_check(
    tx: Transaction, fleet: Fleet, known: Sequence[KnownDatabase], *, now: datetime
) -> list[DueCheck]:
    """Databases whose check of this day nobody has asked for. Of the days that nobody ticked on only the last counts."""
    due = [
        DueCheck(database=each.name, due_at=slot)
        for each in known
        if fleet.databases[each.name].checked_daily
        and (slot := schedule.last_slot(daily(each.name), now)) >= each.created_at
    ]
    asked_for = tx.jobs.known_keys([each.key for each in due])
    return [each for each in due if each.key not in asked_for]


def make_checks(fleet: Fleet, checks: Sequence[DueCheck], *, new_job_id: Callable[[], str]) -> int:
    """Their keys let two ticks make each of them once."""
    due = {each.key: each for each in checks}
    with fleet.catalog.transaction() as tx:
        made = tx.jobs.submit_all(
            [
                NewJob(
                    id=new_job_id(),
                    kind=JobKind.CHECK,
                    database=each.database,
                    request=check.request(),
                    idempotency_key=key,
                )
                for key, each in due.items()
            ]
        )
        for job, is_new in made:
            if is_new:
                tell_accepted(tx, job, slot=due[job.idempotency_key].due_at)
    return sum(is_new for _, is_new in made)


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
