"""The state of the fleet as plain numbers, for whoever exports them: each source is asked by itself.

Nothing is made up: what is not there yet is None or missing, never 0.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.catalog.measures import (
    EndedMeasures,
    JobMeasures,
    KnownMeasures,
    OutboxMeasures,
    ProofMeasures,
    SnapshotMeasures,
    StandingMeasures,
    StoredMeasures,
)
from shared.domain import schedule
from shared.domain.database import Database
from shared.domain.job import JobKind
from shared.domain.proof import SMALL_BYTES, VerifyPolicy
from shared.operations.databases import preview
from shared.operations.fleet import Fleet
from shared.storage import keys
from shared.streams.base import DEAD, EVENTS, REQUESTS, Streams

A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseState:
    """One configured database. `known` is None before the first tick, `proof` before the first restore."""

    schedule_interval: timedelta
    """The longest time between two slots at present."""
    proof_interval: timedelta | None
    """How often a snapshot is to be proven; None where the policy wants no proof."""
    restore_objective: timedelta
    schedule_lag: timedelta | None
    """How long the oldest slot that is not decided yet is due."""
    known: KnownMeasures | None
    snapshot: SnapshotMeasures
    standing: StandingMeasures | None
    proof: ProofMeasures | None
    estimated_restore_seconds: float | None
    """What restoring the newest snapshot would take, at the pace of the last restores."""
    stored: StoredMeasures | None
    failed_in_a_row: Mapping[str, int]
    """By kind of job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogState:
    databases: Mapping[str, DatabaseState]
    jobs: tuple[JobMeasures, ...]
    ended: tuple[EndedMeasures, ...]
    outbox: OutboxMeasures
    canaries: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class BusState:
    """Entries in the streams of the event bus."""

    requests: int
    events: int
    dead_letters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryState:
    """It answered. The disk's sizes are None unless snapshots lie in a folder that exists here."""

    disk_size_bytes: int | None
    disk_free_bytes: int | None


def catalog_state(fleet: Fleet) -> CatalogState:
    """Raises what the catalog raises, also where it needs more than a few seconds."""
    names = sorted(fleet.databases)
    with fleet.catalog.transaction() as tx:
        tx.measures.limit()
        now = tx.jobs.now().astimezone(UTC)
        known = tx.measures.databases(names)
        snapshots = tx.measures.snapshots(names)
        standings = tx.measures.standings(names)
        proofs = tx.measures.proofs(names)
        stored = tx.measures.stored(names)
        failures = tx.measures.failures(names, list(JobKind))
        jobs = tx.measures.jobs()
        ended = tx.measures.ended()
        outbox = tx.measures.outbox()
        canaries = tx.measures.canaries()
    in_a_row: dict[str, dict[str, int]] = {}
    for (name, kind), failed in failures.items():
        in_a_row.setdefault(name, {})[kind] = failed
    return CatalogState(
        databases={
            name: DatabaseState(
                schedule_interval=schedule.longest_gap(database.schedule, now),
                proof_interval=proof_interval(database, snapshots[name], now),
                restore_objective=database.restore_objective,
                schedule_lag=lag(database, known.get(name), now),
                known=known.get(name),
                snapshot=snapshots[name],
                standing=standings.get(name),
                proof=proofs.get(name),
                estimated_restore_seconds=estimate(snapshots[name], proofs.get(name)),
                stored=stored.get(name),
                failed_in_a_row=in_a_row.get(name, {}),
            )
            for name, database in sorted(fleet.databases.items())
        },
        jobs=jobs,
        ended=ended,
        outbox=outbox,
        canaries=canaries,
    )


def bus_state(streams: Streams) -> BusState:
    """Raises Unreachable."""
    return BusState(
        requests=streams.length(REQUESTS), events=streams.length(EVENTS), dead_letters=streams.length(DEAD)
    )


def repository_state(fleet: Fleet, *, folder: Path | None) -> RepositoryState:
    """One small question to each place where snapshots are kept. Raises what the storage raises."""
    for _ in fleet.repository.storage.list(f"{keys.PROBES}/"):
        break
    if folder is None or not folder.is_dir():
        return RepositoryState(disk_size_bytes=None, disk_free_bytes=None)
    disk = shutil.disk_usage(folder)
    return RepositoryState(disk_size_bytes=disk.total, disk_free_bytes=disk.free)


def proof_interval(database: Database, newest: SnapshotMeasures, now: datetime) -> timedelta | None:
    interval = schedule.longest_gap(database.schedule, now)
    match database.verify:
        case VerifyPolicy.NEVER:
            return None
        case VerifyPolicy.ALWAYS:
            return interval
        case VerifyPolicy.SIZE if (newest.raw_bytes or 0) <= SMALL_BYTES:
            return interval
        case _:
            return max(interval, A_DAY)


def lag(database: Database, known: KnownMeasures | None, now: datetime) -> timedelta | None:
    if known is None:
        return None
    undecided = schedule.next_slot(database.schedule, known.slots_until.astimezone(UTC))
    return max(now - undecided, timedelta())


def estimate(newest: SnapshotMeasures, proof: ProofMeasures | None) -> float | None:
    if proof is None or proof.pace is None or not newest.raw_bytes:
        return None
    return preview.estimate(newest.raw_bytes, [proof.pace])
