"""Rows about what does it: jobs and queues, workers and hands, storage."""

from __future__ import annotations

from monitoring.grafana.panels import (
    ALL_OR_RED,
    GREEN,
    NONE_OR_YELLOW,
    RED,
    YELLOW,
    Kind,
    Panel,
    Query,
    Row,
    of,
    one,
    quantile,
    rate,
)

ROWS: tuple[Row, ...] = (
    Row(
        title="Jobs and queues",
        panels=(
            Panel(
                title="Jobs that are not over",
                says="Pending ones wait for their turn; rolling back is undoing what was begun.",
                unit="none",
                kind=Kind.STACKED,
                queries=one("sum by (state) (max by (kind, state) (snapfleet_jobs))", "{{state}}"),
            ),
            Panel(
                title="Ended within 24 hours",
                says="By how they ended.",
                unit="none",
                kind=Kind.STACKED,
                queries=one("sum by (state) (max by (kind, state) (snapfleet_jobs_ended))", "{{state}}"),
            ),
            Panel(
                title="Waiting and stuck",
                says="The longest wait for a turn; leases that nobody took over; rings that nobody answered.",
                unit="none",
                thresholds=NONE_OR_YELLOW,
                queries=(
                    Query(
                        expr="max(snapfleet_job_oldest_waiting_seconds) / 60 or 0 * max(snapfleet_build_info)",
                        legend="longest wait, minutes",
                    ),
                    Query(expr="sum(max by (kind) (snapfleet_leases_expired))", legend="leases that ran out"),
                    Query(
                        expr="max(snapfleet_job_unanswered_rings) or 0 * max(snapfleet_build_info)",
                        legend="rings in vain",
                    ),
                ),
            ),
            Panel(
                title="Messages in Redis",
                says="By queue. Hands are asked for generously: what waits in parts may never be needed.",
                unit="none",
                queries=one("max by (queue) (snapfleet_queue_messages)", "{{queue}}"),
            ),
            Panel(
                title="Events",
                says="Requests that are not settled, events that are not published, and requests that were refused.",
                unit="none",
                queries=(
                    Query(expr="max(snapfleet_bus_requests)", legend="requests"),
                    Query(expr="max(snapfleet_outbox_events)", legend="outbox"),
                    Query(expr="max(snapfleet_dead_letters)", legend="dead letters"),
                ),
            ),
            Panel(
                title="Signs of life",
                says="Since a worker took beat's own message, and how long a slot has been due.",
                unit="s",
                queries=(
                    Query(expr="min by (queue) (snapfleet_canary_age_seconds)", legend="canary {{queue}}"),
                    Query(expr=of("schedule_lag_seconds"), legend="{{database}} late"),
                ),
            ),
        ),
    ),
    Row(
        title="Workers and hands",
        panels=(
            Panel(
                title="Workers",
                says="That answered within a second, by the queues that they take from.",
                unit="none",
                queries=one("max by (queue) (snapfleet_queue_workers)", "{{queue}}"),
            ),
            Panel(
                title="Parts",
                says="Done per second, by step, on lead and hands together.",
                unit="ops",
                queries=one(rate("parts_total", "step"), "{{step}}"),
            ),
            Panel(
                title="Throughput",
                says="Raw bytes of parts per second, by step.",
                unit="Bps",
                queries=one(rate("part_bytes_total", "step"), "{{step}}"),
            ),
            Panel(
                title="What a part takes",
                says="Half of them at most the lower line, nineteen of twenty at most the upper one.",
                unit="s",
                queries=(
                    Query(expr=quantile(0.5, "part_seconds", "step"), legend="{{step}} half"),
                    Query(expr=quantile(0.95, "part_seconds", "step"), legend="{{step}} 95 %"),
                ),
            ),
            Panel(
                title="What a step takes",
                says="On average, by kind and step, of those that were done.",
                unit="s",
                queries=one(
                    'sum by (kind, step) (rate(snapfleet_step_seconds_sum{outcome="done"}[$__rate_interval]))'
                    ' / (sum by (kind, step) (rate(snapfleet_step_seconds_count{outcome="done"}[$__rate_interval])) > 0)',
                    "{{kind}}.{{step}}",
                ),
            ),
            Panel(
                title="How steps end",
                says="Per second. Retried ones are tried again later; failed ones turn their job round; superseded ones were taken over.",
                unit="ops",
                kind=Kind.STACKED,
                queries=one(rate("step_seconds_count", "outcome"), "{{outcome}}"),
            ),
            Panel(
                title="Lease renewals",
                says="Per second, by how they ended. Failed ones were not heard; lost ones belong to another worker by now.",
                unit="ops",
                kind=Kind.STACKED,
                queries=one(rate("lease_renewals_total", "outcome"), "{{outcome}}"),
            ),
            Panel(
                title="What a renewal takes",
                says="Nineteen of twenty at most. It is the catalog's and Redis's latency as workers see it.",
                unit="s",
                thresholds=((None, GREEN), (1, YELLOW), (5, RED)),
                queries=one(
                    "histogram_quantile(0.95, sum by (le) (rate(snapfleet_lease_renewal_seconds_bucket[$__rate_interval])))",
                    "95 %",
                ),
            ),
            Panel(
                title="Tasks, as Celery tells of them",
                says="Per second, by what happened to them. Flower counts these events, and forgets what happened while it was down.",
                unit="ops",
                queries=one("sum by (type) (rate(flower_events_total[$__rate_interval]))", "{{type}}"),
            ),
        ),
    ),
    Row(
        title="Storage",
        panels=(
            Panel(
                title="Latency",
                says="Nineteen of twenty calls at most, by place and operation, retries inside the client included.",
                unit="s",
                queries=one(
                    quantile(0.95, "storage_request_seconds", "place, operation"), "{{place}} {{operation}}"
                ),
            ),
            Panel(
                title="Traffic",
                says="Bytes of objects per second.",
                unit="Bps",
                queries=one(rate("storage_bytes_total", "place, direction"), "{{place}} {{direction}}"),
            ),
            Panel(
                title="Errors",
                says="Calls that failed per second, by code. What is only looked for and not there counts too: object_missing.",
                unit="ops",
                thresholds=((None, GREEN), (0.1, YELLOW)),
                queries=one(
                    f"{rate('storage_errors_total', 'place, code')} or 0 * {rate('storage_request_seconds_count', 'place')}",
                    "{{place}} {{code}}",
                ),
            ),
            Panel(
                title="Retries",
                says="Requests that the S3 client sent again, per second.",
                unit="ops",
                thresholds=((None, GREEN), (0.1, YELLOW)),
                queries=one(rate("storage_retries_total", "operation"), "{{operation}}"),
            ),
            Panel(
                title="Sources of this dashboard",
                says="1 where the exporter could read it, else 0; and how long that took.",
                unit="none",
                thresholds=ALL_OR_RED,
                queries=(
                    Query(expr="max by (source) (snapfleet_source_up)", legend="{{source}}"),
                    Query(
                        expr="max by (source) (snapfleet_source_read_seconds)", legend="{{source}}, seconds"
                    ),
                ),
            ),
            Panel(
                title="Disk of the folder",
                says="What is free, where snapshots lie in a folder that the exporter can see.",
                unit="bytes",
                queries=(
                    Query(expr="min(snapfleet_repository_disk_free_bytes)", legend="free"),
                    Query(expr="min(snapfleet_repository_disk_size_bytes)", legend="size"),
                ),
            ),
        ),
    ),
)
