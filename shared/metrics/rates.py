"""What the processes of one worker count together: one file for each place in the pool.

    <folder>/counter_0.db  histogram_0.db  counter_1.db …   written by the pool's processes
    <folder>/*.db          ─► added up by the main process, when it is scraped

A process that dies leaves its counts, and the one that takes its place goes on with them: so they only grow,
and there are never more files than places, however often the pool replaces its processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector

from shared.metrics.table import BY_NAME

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class Rates:
    """The real meters. Make one before the pool is forked; `slot` names the place that this process has."""

    def __init__(self, folder: Path, *, slot: Callable[[], str]) -> None:
        # The library looks there for the folder, and in its module for what a value is; nowhere else.
        os.environ[VARIABLE] = str(folder)  # noqa: TID251 - see above
        values.ValueClass = values.MultiProcessValue(slot)  # type: ignore[no-untyped-call] # the library has no types there
        self._folder = folder
        self._parts = counter("parts_total")
        self._part_bytes = counter("part_bytes_total")
        self._part_seconds = histogram("part_seconds")
        self._steps = histogram("step_seconds")
        self._renewals = counter("lease_renewals_total")
        self._renewal_seconds = histogram("lease_renewal_seconds")
        self._requests = histogram("storage_request_seconds")
        self._bytes = counter("storage_bytes_total")
        self._errors = counter("storage_errors_total")
        self._retries = counter("storage_retries_total")
        # What has not happened yet is known to have not: from the beginning on these are 0.
        for outcome in ("renewed", "failed", "lost"):
            self._renewals.labels(outcome)
        for operation in ("PutObject", "GetObject", "HeadObject", "DeleteObject", "ListObjectsV2"):
            self._retries.labels(operation)

    def registry(self) -> CollectorRegistry:
        """What all processes have counted, read from the files when it is asked for."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._folder))  # type: ignore[no-untyped-call] # nor there
        return registry

    def part_done(self, step: str, *, raw_bytes: int, seconds: float) -> None:
        self._parts.labels(step).inc()
        self._part_bytes.labels(step).inc(raw_bytes)
        self._part_seconds.labels(step).observe(seconds)

    def step_ended(self, kind: str, step: str, *, outcome: str, seconds: float) -> None:
        self._steps.labels(kind, step, outcome).observe(seconds)

    def lease_renewed(self, outcome: str, *, seconds: float) -> None:
        self._renewals.labels(outcome).inc()
        if outcome == "renewed":
            self._renewal_seconds.observe(seconds)

    def storage_called(
        self, place: str, operation: str, *, seconds: float, put_bytes: int, got_bytes: int, code: str | None
    ) -> None:
        self._requests.labels(place, operation).observe(seconds)
        if code is not None:
            self._errors.labels(place, operation, code).inc()
        if put_bytes:
            self._bytes.labels(place, "put").inc(put_bytes)
        if got_bytes:
            self._bytes.labels(place, "get").inc(got_bytes)

    def storage_retried(self, operation: str) -> None:
        self._retries.labels(operation).inc()


def counter(name: str) -> Counter:
    metric = BY_NAME[f"snapfleet_{name}"]
    return Counter(metric.name, metric.meaning, metric.labels, registry=None)


def histogram(name: str) -> Histogram:
    metric = BY_NAME[f"snapfleet_{name}"]
    return Histogram(metric.name, metric.meaning, metric.labels, registry=None, buckets=metric.buckets)
