"""The declarations of the metrics: what their names promise, and the page that is made of them."""

from __future__ import annotations

import re
from pathlib import Path

from shared.metrics.page import render
from shared.metrics.table import METRICS, UNITS, Origin, Type

DOCS = Path(__file__).parents[2] / "docs"
BOUNDED = {
    "database", "standing", "kind", "state", "queue", "source", "version", "step", "outcome", "place",
    "operation", "direction", "code",
}  # fmt: skip
COUNTS = {
    "snapfleet_database_blocked", "snapfleet_slots_missed", "snapfleet_proof_matched", "snapfleet_parked_databases",
    "snapfleet_snapshot_rows", "snapfleet_snapshots", "snapfleet_snapshots_pinned", "snapfleet_jobs",
    "snapfleet_jobs_ended", "snapfleet_jobs_failed_in_a_row", "snapfleet_job_attempts",
    "snapfleet_job_unanswered_rings", "snapfleet_leases_expired", "snapfleet_pruned_snapshots",
    "snapfleet_repository_chunks", "snapfleet_queue_messages", "snapfleet_queue_workers", "snapfleet_workers",
    "snapfleet_outbox_events", "snapfleet_bus_requests", "snapfleet_bus_events", "snapfleet_dead_letters",
    "snapfleet_source_up",
}  # fmt: skip
"""Plain numbers of things, or yes and no: whoever adds one says so here."""


def test_names_end_in_their_unit() -> None:
    for metric in METRICS:
        unit = metric.name.rpartition("_")[2]
        assert unit in UNITS or metric.name in COUNTS, metric.name
        assert (metric.type is Type.COUNTER) == (unit == "total"), metric.name
    assert {metric.name for metric in METRICS} >= COUNTS


def test_no_two_metrics_have_one_name() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_no_label_can_have_any_number_of_values() -> None:
    for metric in METRICS:
        assert set(metric.labels) <= BOUNDED, metric.name


def test_rates_have_counters_and_histograms_only() -> None:
    """Files that outlive a process add up; what was true of a dead one does not."""
    assert {m.type for m in METRICS if m.origin is Origin.WORKER} == {Type.COUNTER, Type.HISTOGRAM}


def test_the_page_is_made_of_the_declarations() -> None:
    made = render()
    assert (DOCS / "metrics.md").read_text() == made, "python -m shared.metrics > docs/metrics.md"
    assert set(re.findall(r"`(snapfleet_\w+)` \|", made)) == {metric.name for metric in METRICS}
