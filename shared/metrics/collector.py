"""The state of the fleet as Prometheus reads it: asked for when it is scraped, remembered for 15 seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample as Exported

from shared.broker.gauge import Gauge
from shared.metrics import families
from shared.metrics.families import Sample
from shared.metrics.source import Source
from shared.metrics.table import BY_NAME, Metric, Type
from shared.operations.fleet import Fleet
from shared.operations.health import measuring
from shared.streams.base import Streams

PATIENCE_SECONDS = 5.0
"""For all sources together: half of what Prometheus waits for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One source, and what samples its answers make."""

    source: Source[Any]
    samples: Callable[[Any], Iterator[Sample]]


class StateCollector(Collector):
    """Samples of whatever answers in time. Never raises: a source that is away is a sample too."""

    def __init__(self, readings: Sequence[Reading], *, version: str) -> None:
        self._readings = readings
        self._version = version

    def describe(self) -> Iterator[Family]:
        """Nothing: or registering it would ask every source."""
        return iter(())

    def collect(self) -> Iterator[Family]:
        found: list[Sample] = list(families.sample("build_info", 1, self._version))
        for reading in self._readings:  # all at once; then each is waited for
            reading.source.begin()
        standings, begun = {}, time.monotonic()
        for reading in self._readings:
            left = begun + PATIENCE_SECONDS - time.monotonic()
            answer = reading.source.look(patience=timedelta(seconds=max(0.0, left)))
            if answer is not None:
                found += reading.samples(answer)
            standings[reading.source.name] = (answer is not None, reading.source.standing)
        found += families.of_sources(standings)
        by_name: dict[str, list[Sample]] = {}
        for sample in found:
            by_name.setdefault(sample.name, []).append(sample)
        for name, samples in by_name.items():
            yield family(BY_NAME[name], samples)


def family(metric: Metric, samples: Sequence[Sample]) -> Family:
    kind = CounterMetricFamily if metric.type is Type.COUNTER else GaugeMetricFamily
    made = kind(metric.name, metric.meaning, labels=metric.labels)
    made.samples = [
        Exported(each.name, dict(zip(metric.labels, each.labels, strict=True)), each.value)
        for each in samples
    ]
    return made


def registry_of(
    fleet: Fleet, *, gauge: Gauge, streams: Streams, folder: Path | None, version: str
) -> CollectorRegistry:
    """A registry with the state of this fleet and nothing else. Asks for nothing yet."""
    readings = (
        Reading(
            source=Source("catalog", lambda: measuring.catalog_state(fleet)), samples=families.of_catalog
        ),
        Reading(source=Source("redis", gauge.read), samples=families.of_traffic),
        Reading(source=Source("bus", lambda: measuring.bus_state(streams)), samples=families.of_bus),
        Reading(
            source=Source("repository", lambda: measuring.repository_state(fleet, folder=folder)),
            samples=families.of_repository,
        ),
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StateCollector(readings, version=version))
    return registry
