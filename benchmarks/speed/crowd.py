"""The queue's part of a run: `benchmarks.queue` at this size, each figure by a name of its own."""

from __future__ import annotations

import os

from benchmarks import queue
from benchmarks.speed.record import Record
from benchmarks.speed.site import Site
from benchmarks.speed.sizes import Size

FLEET = ("worker", "beat", "bus", "api", "exporter")
"""What is ours of what idles."""


def measure(site: Site, size: Size, record: Record) -> None:
    load = queue.Load(
        databases=size.tiny_databases,
        jobs=size.tiny_jobs,
        doorbells=size.doorbells,
        idle_seconds=size.idle_seconds,
    )
    found = queue.measure(site, load)
    cores = os.cpu_count() or 1
    record.add_crowd(
        {
            "tiny_databases": float(size.tiny_databases),
            "tiny_snapshots": float(size.tiny_jobs),
            "tiny_snapshots_per_second": found.tiny_snapshots_per_second,
            "tiny_snapshots_per_second_per_core": found.tiny_snapshots_per_second / cores,
            "tiny_snapshots_per_cpu_second": found.tiny_snapshots_per_cpu_second,
            "doorbell_to_claim_p50_ms": found.doorbell_to_claim_p50_ms,
            "doorbell_to_claim_p99_ms": found.doorbell_to_claim_p99_ms,
            **{f"{name}_per_tiny_snapshot": value for name, value in found.per_job.items()},
        }
    )
    if found.idle_cores:
        idle = {f"idle_cores of {name}": value for name, value in found.idle_cores.items()}
        record.add_crowd({"idle_cores": sum(found.idle_cores[name] for name in FLEET), **idle})
        record.add_crowd({f"tick: {name}": value for name, value in found.ticks.items()})
