"""How far a database's snapshots can be relied on today: how old the newest proven one is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from shared.domain import schedule
from shared.domain.findings import Finding, found
from shared.domain.proof import VerifyPolicy
from shared.domain.schedule import Schedule
from shared.domain.snapshot import Snapshot, SnapshotState
from shared.operations.jobs.saga import StepRun
from shared.operations.restores import bootstrap

A_DAY = timedelta(days=1)


def look(run: StepRun) -> Iterator[Finding]:
    with run.fleet.catalog.transaction() as tx:
        now = tx.jobs.now().astimezone(UTC)
        why = tx.schedules.blocked(run.job.database)
        listed = tx.snapshots.listing(database=run.job.database)
    if why is not None:
        yield found(
            "database_blocked", run.job.database, f"no snapshots of {run.job.database} are taken: {why}"
        )
    sealed = [s for s in listed if s.state is SnapshotState.SEALED]
    unproven_too = run.database.verify is VerifyPolicy.NEVER
    yield from of_age(run.job.database, sealed, now=now, of=run.database.schedule, unproven_too=unproven_too)
    yield from of_newest(sealed)


def of_age(
    database: str, sealed: Sequence[Snapshot], *, now: datetime, of: Schedule, unproven_too: bool
) -> Iterator[Finding]:
    """Proofs follow snapshots, and of a large database one a day: more than that is too old."""
    newest = bootstrap.newest_reliable(sealed, unproven_too=unproven_too)
    worth = "good" if unproven_too else "verified"
    if newest is None or newest.taken_at is None:
        yield found("never_proven", database, f"{database} has no {worth} snapshot")
        return
    age, limit = now - newest.taken_at, 2 * interval(of, now) + A_DAY
    if age > limit:
        hours = age / timedelta(hours=1)
        what = f"the newest {worth} snapshot, {newest.id}, is {hours:,.0f} hours old"
        yield found("proof_old", database, what)


def interval(of: Schedule, now: datetime) -> timedelta:
    """From the next slot to the one after it."""
    first = schedule.next_slot(of, now)
    return schedule.next_slot(of, first) - first


def of_newest(sealed: Sequence[Snapshot]) -> Iterator[Finding]:
    newest = next(iter(sealed), None)
    if newest is None:
        return
    if newest.is_suspect:
        yield found("newest_suspect", newest.id, f"snapshot {newest.id}: {'; '.join(newest.suspicions)}")
    if newest.refuted_at is not None:
        yield found("newest_refuted", newest.id, f"snapshot {newest.id} was refuted by a real restore")
