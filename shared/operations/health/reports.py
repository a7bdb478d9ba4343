"""What people and scripts ask the fleet: read models, each put together in one place. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.catalog.catalog import Transaction
from shared.catalog.parked import Parked
from shared.catalog.parts import PartsProgress
from shared.catalog.readings import Reading
from shared.catalog.verifications import Verification
from shared.domain import schedule
from shared.domain.job import Job, JobKind, Step
from shared.domain.snapshot import Snapshot
from shared.errors import Unreachable
from shared.operations.databases import preview
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseReport:
    """One configured database at one moment."""

    name: str
    where: str
    """Host, port and database, without who logs in."""
    newest: Snapshot | None
    """The newest sealed one."""
    proven: Snapshot | None
    """The newest that a real restore has matched; no suspect one, and no safeguard."""
    restore_seconds: float | None
    """What restoring the newest would take, by what its restores and proofs took; None without any."""
    next_slot: datetime
    missed_slots: int
    blocked: str | None
    """Why no snapshot of it is taken until somebody decides; None where nothing is in the way."""
    live_job: Job | None
    """The one job that may change it now."""
    lock_holder: str | None
    """The id of the job that holds its lock in Redis."""
    lock_known: bool
    """False when Redis could not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """`parked` is what the job's swap put aside, or what the restore that it undoes did."""

    job: Job
    steps: Sequence[Step]
    parts: PartsProgress | None
    parked: Parked | None
    verification: Verification | None
    """What comparing its restore with the snapshot has shown."""

    @property
    def seconds(self) -> float | None:
        """From its first step's start to its end; None before both are known."""
        began = self.steps[0].started_at
        if began is None or self.job.finished_at is None:
            return None
        return (self.job.finished_at - began).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotReport:
    snapshot: Snapshot
    table_rows: Mapping[str, int]
    """Rows of each table, by `schema.name`."""
    verifications: Sequence[Verification]
    """The newest first."""
    reading: Reading | None
    """The newest time that all of it was read again."""


def now(fleet: Fleet) -> datetime:
    """The catalog's clock, by which all times in these reports are to be read."""
    with fleet.catalog.transaction() as tx:
        return tx.jobs.now()


def databases(fleet: Fleet, only: Collection[str] | None = None) -> tuple[DatabaseReport, ...]:
    """Every configured database, or these, by name."""
    names = sorted(fleet.databases if only is None else only)
    holders = lock_holders(fleet, names)
    with fleet.catalog.transaction() as tx:
        moment = tx.jobs.now()
        newest = {name: tx.snapshots.newest_sealed(name) for name in names}
        return tuple(
            DatabaseReport(
                name=name,
                where=fleet.dsn(name).where,
                newest=newest[name],
                proven=tx.snapshots.newest_good(name, verified=True),
                restore_seconds=restore_seconds(tx, name, newest[name]),
                next_slot=schedule.next_slot(fleet.databases[name].schedule, moment),
                missed_slots=tx.schedules.missed(name),
                blocked=tx.schedules.blocked(name),
                live_job=tx.jobs.live(name),
                lock_holder=holders[name] if holders else None,
                lock_known=holders is not None,
            )
            for name in names
        )


def restore_seconds(tx: Transaction, database: str, newest: Snapshot | None) -> float | None:
    if newest is None or not newest.raw_bytes:
        return None
    return preview.estimate(newest.raw_bytes, tx.jobs.restore_durations(database))


def lock_holders(fleet: Fleet, names: Sequence[str]) -> Mapping[str, str | None] | None:
    """The job that holds each database's lock; None when Redis does not say."""
    try:
        tokens = {name: fleet.locks.holder(name) for name in names}
    except Unreachable:
        return None
    return {name: token.rpartition(":")[0] if token else None for name, token in tokens.items()}


def job(fleet: Fleet, job_id: str) -> JobReport:
    """A job by its id or the beginning of it, with its steps. NotFound, or Refused where several match."""
    return job_report(fleet, requests.find_job(fleet, job_id))


def job_report(fleet: Fleet, found: Job) -> JobReport:
    with fleet.catalog.transaction() as tx:
        parts = tx.parts.progress(found.id)
        parked_by = found.request["restore_job"] if found.kind is JobKind.UNDO else found.id
        return JobReport(
            job=found,
            steps=tx.jobs.steps(found.id),
            parts=parts if parts.total else None,
            parked=tx.parked.get(parked_by),
            verification=tx.verifications.of_job(found.id),
        )


def jobs(fleet: Fleet, database: str | None, *, limit: int) -> Sequence[Job]:
    """The newest, of one database or of all."""
    with fleet.catalog.transaction() as tx:
        return tx.jobs.listing(database=database, limit=limit)


def snapshots(fleet: Fleet, database: str | None, *, limit: int) -> Sequence[Snapshot]:
    """Of those that exist the newest, of one database or of all."""
    with fleet.catalog.transaction() as tx:
        if database is not None:
            return tx.pages.snapshots(database, limit=limit)
        return tx.pages.newest_snapshots(limit=limit)


def snapshot(fleet: Fleet, snapshot_id: str) -> SnapshotReport:
    """A snapshot by its id or the beginning of it. NotFound, or Refused where several match."""
    return snapshot_report(fleet, requests.find_snapshot(fleet, snapshot_id))


def snapshot_report(fleet: Fleet, found: Snapshot) -> SnapshotReport:
    with fleet.catalog.transaction() as tx:
        return SnapshotReport(
            snapshot=found,
            table_rows=tx.snapshots.table_rows(found.id),
            verifications=tx.verifications.of_snapshot(found.id),
            reading=tx.readings.newest(found.id),
        )
