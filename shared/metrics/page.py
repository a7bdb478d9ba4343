"""The page about metrics, made from their declarations."""

from __future__ import annotations

from shared.metrics.table import METRICS, Metric, Origin

INTRODUCTION = """\
# Metrics

<!-- Made by `python -m shared.metrics > docs/metrics.md`. Do not edit by hand. -->

Two kinds, from two places:

* **State** is read from the catalog, from Redis and from storage when Prometheus asks, and kept for 15 seconds. It
  is the same whoever exports it (`snapfleet exporter`, or the API at `/metrics`), and right after every restart. What
  does not exist yet has no series; what could not be read within 5 seconds has none either, and `snapfleet_source_up`
  says so: no number here is stale, and none is made up.
* **Rates** are counted by each worker since it was started, in the processes of its pool together, and served by its
  main process (`--metrics-port`). They are for `rate()`; how many snapshots there are is state.

Times are the catalog server's. Labels have few values: configured databases, kinds, states, steps and queues.
[monitoring.md](monitoring.md) says how to scrape them and what alerts are made of them.
"""


def render() -> str:
    """The page."""
    return "\n".join(
        [
            INTRODUCTION,
            "## State, from the exporter\n",
            *rows(Origin.EXPORTER),
            "",
            "## Rates, from the workers\n",
            *rows(Origin.WORKER),
            "",
        ]
    )


def rows(origin: Origin) -> list[str]:
    head = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    return head + [row(metric) for metric in METRICS if metric.origin is origin]


def row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.type} | {labels} | {metric.meaning} |"
