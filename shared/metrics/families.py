"""From plain values to samples. A sample is a metric's name, its labels' values, and the number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from shared.broker.gauge import Traffic
from shared.catalog.measures import EndedMeasures
from shared.domain.job import JobKind, JobState
from shared.domain.snapshot import SnapshotState
from shared.metrics.source import Standing
from shared.operations.health.measuring import BusState, CatalogState, DatabaseState, RepositoryState

LIVE = tuple(str(state) for state in JobState if not state.is_final)
FINAL = tuple(str(state) for state in JobState if state.is_final)
STANDINGS = (
    *(str(state) for state in SnapshotState if state is not SnapshotState.DELETED),
    "verified",
    "suspect",
    "refuted",
)


class Sample(NamedTuple):
    """Some thirty for each database: a tuple is made in a third of the time that a frozen dataclass takes."""

    name: str
    labels: tuple[str, ...]
    value: float


def sample(name: str, value: float | None, *labels: str) -> Iterator[Sample]:
    """Nothing where there is no value."""
    if value is not None:
        yield Sample(f"snapfleet_{name}", labels, float(value))


def of_catalog(state: CatalogState) -> Iterator[Sample]:
    for name, database in state.databases.items():
        yield from of_schedule(name, database)
        yield from of_snapshots(name, database)
        yield from of_proof(name, database)
        yield from of_stored(name, database)
    yield from of_jobs(state)
    yield from of_pruned(state)
    yield from sample("outbox_events", state.outbox.waiting)
    yield from sample("outbox_oldest_seconds", state.outbox.oldest_seconds)
    for queue, age in sorted(state.canaries.items()):
        yield from sample("canary_age_seconds", age, queue)


def of_schedule(name: str, database: DatabaseState) -> Iterator[Sample]:
    yield from sample("schedule_interval_seconds", database.schedule_interval.total_seconds(), name)
    yield from sample("restore_objective_seconds", database.restore_objective.total_seconds(), name)
    if database.proof_interval is not None:
        yield from sample("proof_interval_seconds", database.proof_interval.total_seconds(), name)
    if database.schedule_lag is not None:
        yield from sample("schedule_lag_seconds", database.schedule_lag.total_seconds(), name)
    if database.known is not None:
        yield from sample("database_known_seconds", database.known.known_seconds, name)
        yield from sample("database_blocked", database.known.blocked, name)
        yield from sample("slots_missed", database.known.missed_slots, name)
        yield from sample("parked_databases", database.known.parked, name)
    for kind, failed in sorted(database.failed_in_a_row.items()):
        yield from sample("jobs_failed_in_a_row", failed, name, kind)


def of_snapshots(name: str, database: DatabaseState) -> Iterator[Sample]:
    newest = database.snapshot
    for standing, age in sorted(newest.ages_seconds.items()):
        yield from sample("snapshot_age_seconds", age, name, standing)
    yield from sample("snapshot_raw_bytes", newest.raw_bytes, name)
    yield from sample("snapshot_stored_bytes", newest.stored_bytes, name)
    yield from sample("snapshot_new_bytes", newest.new_bytes, name)
    yield from sample("snapshot_unread_bytes", newest.unread_bytes, name)
    yield from sample("snapshot_rows", newest.row_count, name)
    yield from sample("snapshot_duration_seconds", newest.duration_seconds, name)
    yield from sample("snapshot_dedup_ratio", saved(newest.new_bytes, newest.stored_bytes), name)
    if database.known is None:
        return
    # Known to the catalog: that there is none of these is a fact, and not a gap.
    numbers = database.standing.numbers if database.standing is not None else {}
    for standing in STANDINGS:
        yield from sample("snapshots", numbers.get(standing, 0), name, standing)
    yield from sample("snapshots_pinned", database.standing.pinned if database.standing else 0, name)


def of_proof(name: str, database: DatabaseState) -> Iterator[Sample]:
    yield from sample("restore_estimated_seconds", database.estimated_restore_seconds, name)
    if database.proof is not None:
        yield from sample("proof_age_seconds", database.proof.age_seconds, name)
        yield from sample("proof_matched", database.proof.matched, name)
        yield from sample("restore_measured_seconds", database.proof.restore_seconds, name)


def of_stored(name: str, database: DatabaseState) -> Iterator[Sample]:
    if database.stored is None:
        return
    yield from sample("repository_chunks", database.stored.chunks, name)
    yield from sample("repository_raw_bytes", database.stored.raw_bytes, name)
    yield from sample("repository_stored_bytes", database.stored.stored_bytes, name)
    alone = database.standing.stored_bytes if database.standing is not None else 0
    yield from sample("repository_dedup_ratio", saved(database.stored.stored_bytes, alone), name)


def saved(stored_bytes: int | None, without_bytes: int | None) -> float | None:
    """The share that needed no storing; None of nothing."""
    if stored_bytes is None or not without_bytes:
        return None
    # More may be stored than snapshots need: chunks that retention has not removed yet.
    return max(0.0, 1 - stored_bytes / without_bytes)


def of_jobs(state: CatalogState) -> Iterator[Sample]:
    live = {(jobs.kind, jobs.state): jobs.number for jobs in state.jobs}
    ended: dict[tuple[str, str], int] = {}
    for jobs in state.ended:
        ended[jobs.kind, jobs.state] = ended.get((jobs.kind, jobs.state), 0) + jobs.number
    expired = dict.fromkeys((str(kind) for kind in JobKind), 0)
    for each in state.jobs:
        expired[each.kind] += each.expired_leases
        yield from sample("job_oldest_waiting_seconds", each.oldest_waiting_seconds, each.kind)
        yield from sample("job_attempts", each.attempts, each.kind, each.state)
        yield from sample("job_unanswered_rings", each.unanswered_rings, each.kind, each.state)
    for kind, number in expired.items():
        yield from sample("leases_expired", number, kind)
        for name in LIVE:
            yield from sample("jobs", live.get((kind, name), 0), kind, name)
        for name in FINAL:
            yield from sample("jobs_ended", ended.get((kind, name), 0), kind, name)


def of_pruned(state: CatalogState) -> Iterator[Sample]:
    prunes: dict[str, list[EndedMeasures]] = {}
    for each in state.ended:
        if each.kind == JobKind.PRUNE:
            prunes.setdefault(each.database, []).append(each)
    for name in state.databases:
        if name in prunes:
            yield from sample("pruned_bytes", sum(each.freed_bytes for each in prunes[name]), name)
            yield from sample("pruned_snapshots", sum(each.removed for each in prunes[name]), name)


def of_traffic(traffic: Traffic) -> Iterator[Sample]:
    for queue, number in traffic.waiting.items():
        yield from sample("queue_messages", number, queue)
    for queue, number in traffic.takers.items():
        yield from sample("queue_workers", number, queue)
    yield from sample("workers", traffic.workers)


def of_bus(bus: BusState) -> Iterator[Sample]:
    yield from sample("bus_requests", bus.requests)
    yield from sample("bus_events", bus.events)
    yield from sample("dead_letters", bus.dead_letters)


def of_repository(repository: RepositoryState) -> Iterator[Sample]:
    yield from sample("repository_disk_size_bytes", repository.disk_size_bytes)
    yield from sample("repository_disk_free_bytes", repository.disk_free_bytes)


def of_sources(standings: Mapping[str, tuple[bool, Standing]]) -> Iterator[Sample]:
    for name, (is_up, standing) in standings.items():
        yield from sample("source_up", is_up, name)
        yield from sample("source_success_timestamp_seconds", standing.succeeded_at, name)
        yield from sample("source_read_seconds", standing.seconds, name)
        yield from sample("source_errors_total", standing.errors, name)
