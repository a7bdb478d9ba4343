"""A page of metrics is written quickly, and is the one that the client library writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from shared.metrics import text

FORMS = (
    "",
    "text/plain;version=0.0.4",
    "text/plain;version=1.0.0;escaping=allow-utf-8",
    "text/plain;version=1.0.0;escaping=dots",
    "application/openmetrics-text;version=0.0.1",
    "application/openmetrics-text;version=1.0.0",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
    "application/openmetrics-text;version=1.0.0;escaping=underscores",
    "application/openmetrics-text;version=1.0.0;escaping=values",
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ['"', "\\", "\n", "\\n", 'a"b\\c\nd']
)
NUMBERS = st.floats() | st.integers(min_value=-(2**60), max_value=2**60)


class Collected:
    def __init__(self, *families: Family) -> None:
        self._families = families

    def collect(self) -> tuple[Family, ...]:
        return self._families


def same(registry: text.Collects, accept: str) -> bool:
    theirs, their_type = choose_encoder(accept)
    ours, our_type = text.choose(accept)
    return ours(registry) == theirs(registry) and our_type == their_type


@pytest.mark.parametrize("accept", FORMS)
@given(meaning=TEXTS, rows=st.lists(st.tuples(TEXTS, TEXTS, NUMBERS), max_size=5))
def test_whatever_is_in_labels_meanings_and_values_it_is_written_as_by_the_library(
    accept: str, meaning: str, rows: list[tuple[str, str, float]]
) -> None:
    gauge = GaugeMetricFamily("snapfleet_one", meaning, labels=("standing", "database"))
    counter = CounterMetricFamily("snapfleet_two_total", meaning, labels=("database",))
    alone = GaugeMetricFamily("snapfleet_three", meaning)
    for standing, database, value in rows:
        gauge.add_metric((standing, database), value)
        counter.add_metric((database,), value)
        alone.add_metric((), value)
    assert same(Collected(gauge, counter, alone), accept)


@pytest.mark.parametrize("accept", FORMS)
def test_what_has_buckets_a_time_or_no_samples_is_too(accept: str) -> None:
    registry = CollectorRegistry()
    Histogram("snapfleet_seconds", "Seconds.", ("step",), registry=registry).labels("copy").observe(0.3)
    timed = GaugeMetricFamily("snapfleet_timed", "At a time.")
    timed.add_metric((), 1.0, timestamp=1.5)
    assert same(Collected(*registry.collect(), timed, GaugeMetricFamily("snapfleet_none", "None.")), accept)
