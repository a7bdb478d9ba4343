"""Every metric there is, declared once: the code exports nothing else, and the page is made of this.

Names end in their unit; what has none is a plain number of things. A label has values out of a set that is
known beforehand: names of configured databases, and words of our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Type(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Origin(StrEnum):
    EXPORTER = "exporter"
    """State: read from catalog, Redis and storage when somebody asks, the same from every exporter."""
    WORKER = "worker"
    """Rates: counted by a worker's processes since it was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    name: str
    type: Type
    origin: Origin
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


UNITS = ("seconds", "bytes", "ratio", "total", "info")
"""What a name ends in, unless it counts things as they are now."""

QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LONG = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 10800.0)

DATABASE = ("database",)


def state(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(
        name=f"snapfleet_{name}", type=Type.GAUGE, origin=Origin.EXPORTER, labels=labels, meaning=meaning
    )


def counted(name: str, meaning: str, *labels: str, origin: Origin = Origin.WORKER) -> Metric:
    return Metric(name=f"snapfleet_{name}", type=Type.COUNTER, origin=origin, labels=labels, meaning=meaning)


def timed(name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = QUICK) -> Metric:
    return Metric(
        name=f"snapfleet_{name}",
        type=Type.HISTOGRAM,
        origin=Origin.WORKER,
        labels=labels,
        meaning=meaning,
        buckets=buckets,
    )


METRICS: tuple[Metric, ...] = (
    # Could every database come back?
    state(
        "snapshot_age_seconds",
        "Since the moment that the newest snapshot shows. `standing` is sealed for the newest of all, good for"
        " the newest that a restore would take by itself, proven for the newest that a real restore has"
        " matched. Missing where there is none.",
        "database",
        "standing",
    ),
    state("schedule_interval_seconds", "The longest time between two slots of the schedule.", "database"),
    state(
        "proof_interval_seconds",
        "How often a snapshot is to be proven. Missing where `verify` is never.",
        "database",
    ),
    state("database_known_seconds", "Since the catalog knows the database.", "database"),
    state(
        "database_blocked", "1 while no snapshot of it is taken until somebody decides, else 0.", "database"
    ),
    state("schedule_lag_seconds", "How long the oldest undecided slot is due; 0 where none is.", "database"),
    state("slots_missed", "Slots that nobody was there to run, ever.", "database"),
    state(
        "restore_measured_seconds",
        "What the newest restore that matched took, building it up and comparing it. Missing before the first.",
        "database",
    ),
    state(
        "restore_estimated_seconds",
        "What restoring the newest snapshot would take, at the pace of the last five. Missing before the first.",
        "database",
    ),
    state("restore_objective_seconds", "What a restore may take, as configured.", "database"),
    state(
        "proof_age_seconds",
        "Since the newest comparison with a real restore, whatever it showed.",
        "database",
    ),
    state(
        "proof_matched",
        "1 where the newest comparison with a real restore found no difference, else 0.",
        "database",
    ),
    state("parked_databases", "Databases that an undo can still bring back.", "database"),
    # Snapshots
    state("snapshot_raw_bytes", "Of the newest sealed snapshot: what it holds, uncompressed.", "database"),
    state(
        "snapshot_stored_bytes", "Of the newest sealed snapshot: its chunks as they are stored.", "database"
    ),
    state("snapshot_new_bytes", "Of the newest sealed snapshot: what was not stored before.", "database"),
    state(
        "snapshot_unread_bytes",
        "Of the newest sealed snapshot: what was taken over from an earlier one unread, uncompressed.",
        "database",
    ),
    state("snapshot_rows", "Of the newest sealed snapshot: rows.", "database"),
    state(
        "snapshot_duration_seconds", "Of the newest sealed snapshot: how long copying it took.", "database"
    ),
    state(
        "snapshot_dedup_ratio",
        "Of the newest sealed snapshot: the share of its stored bytes that was stored before.",
        "database",
    ),
    state(
        "snapshots",
        "Snapshots by what they are worth: copying, sealed, verified, suspect, refuted, failed or deleting.",
        "database",
        "standing",
    ),
    state("snapshots_pinned", "Pinned snapshots.", "database"),
    # Jobs
    state("jobs", "Jobs that are not over, by state: pending, active or rolling_back.", "kind", "state"),
    state(
        "jobs_ended",
        "Jobs that ended within the last 24 hours, by final state: succeeded, rolled_back, failed or cancelled.",
        "kind",
        "state",
    ),
    state(
        "jobs_failed_in_a_row",
        "How many of the newest jobs failed or were rolled back since one succeeded, at most 10 of the last 31"
        " days. Missing where none has ended.",
        "database",
        "kind",
    ),
    state(
        "job_oldest_waiting_seconds",
        "How long the oldest job that may begin waits for its turn. Missing where none waits.",
        "kind",
    ),
    state("job_attempts", "The most often that a job which is not over has tried its step.", "kind", "state"),
    state(
        "job_unanswered_rings",
        "How often the fleet was rung for a job in vain: 5 are some 8 minutes.",
        "kind",
        "state",
    ),
    state(
        "leases_expired",
        "Jobs whose worker has not renewed its lease, and that nobody took over yet.",
        "kind",
    ),
    # Retention and what is stored
    state("pruned_bytes", "What retention freed within the last 24 hours.", "database"),
    state("pruned_snapshots", "Snapshots that retention let go within the last 24 hours.", "database"),
    state("repository_stored_bytes", "What is stored of a database, each chunk once.", "database"),
    state("repository_raw_bytes", "The same, uncompressed.", "database"),
    state("repository_chunks", "Chunks that are stored.", "database"),
    state(
        "repository_dedup_ratio",
        "The share that storing equal chunks once has saved, of what the sealed snapshots would take alone.",
        "database",
    ),
    state("repository_disk_size_bytes", "The disk of the folder for snapshots, where there is one here."),
    state("repository_disk_free_bytes", "What is free on that disk."),
    # Queues, streams and workers
    state("queue_messages", "Messages that wait in Redis.", "queue"),
    state("queue_workers", "Workers that take from the queue: those that answered within a second.", "queue"),
    state("workers", "Workers that answered within a second."),
    state("canary_age_seconds", "Since a worker last took beat's own message.", "queue"),
    state("outbox_events", "Events that are not published yet."),
    state("outbox_oldest_seconds", "How long the oldest of them waits. Missing where none does."),
    state("bus_requests", "Requests on the event bus that are not settled yet."),
    state("bus_events", "Events that Redis keeps for readers."),
    state("dead_letters", "Requests that were not granted, kept for an operator."),
    # The exporter itself
    state("source_up", "1 where the source answered the last time that it was asked, else 0.", "source"),
    state(
        "source_success_timestamp_seconds", "When it last answered. Missing before the first time.", "source"
    ),
    state("source_read_seconds", "How long its last answer took.", "source"),
    counted(
        "source_errors_total",
        "How often it did not answer, since this process was started.",
        "source",
        origin=Origin.EXPORTER,
    ),
    state("build_info", "1, labelled with the release of this process.", "version"),
    # Rates, from the workers
    counted("parts_total", "Parts of copies and loads that were done, by step.", "step"),
    counted("part_bytes_total", "Raw bytes of these parts.", "step"),
    timed("part_seconds", "What a part took.", "step", buckets=LONG),
    timed(
        "step_seconds",
        "What a step took, by how it ended: done, retried (again later), failed (the job turns round) or"
        " superseded (another worker has taken over).",
        "kind",
        "step",
        "outcome",
        buckets=LONG,
    ),
    counted("lease_renewals_total", "Renewals of leases: renewed, failed (not heard) or lost.", "outcome"),
    timed("lease_renewal_seconds", "What a renewal took that was heard."),
    timed(
        "storage_request_seconds",
        "What a call of the storage took, retries inside the client included, by place (s3 or folder) and"
        " operation.",
        "place",
        "operation",
    ),
    counted(
        "storage_bytes_total",
        "Bytes of objects, by place and direction: put or get.",
        "place",
        "direction",
    ),
    counted(
        "storage_errors_total",
        "Calls of the storage that failed, by place, operation and error code.",
        "place",
        "operation",
        "code",
    ),
    counted("storage_retries_total", "Requests that the S3 client sent again.", "operation"),
)

BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}
