"""Rows about what could come back: snapshots, their proofs, what they take, and what retention lets go."""

from __future__ import annotations

from monitoring.grafana.panels import (
    ALL_OR_RED,
    GREEN,
    NONE_OR_RED,
    NONE_OR_YELLOW,
    RED,
    YELLOW,
    Kind,
    Panel,
    Query,
    Row,
    age,
    of,
    one,
    share,
)

RESTORE = f"({of('restore_estimated_seconds')} or {of('restore_measured_seconds')})"

ROWS: tuple[Row, ...] = (
    Row(
        title="Could every database come back now, to when, and how long would it take?",
        panels=(
            Panel(
                title="Could come back",
                says="The share of databases with a snapshot that a restore would take, no older than one and a half times the schedule's longest gap.",
                unit="percentunit",
                kind=Kind.STAT,
                thresholds=ALL_OR_RED,
                width=4,
                queries=one(
                    share(
                        f"{age('good')} <= 1.5 * {of('schedule_interval_seconds')}",
                        of("schedule_interval_seconds"),
                    )
                ),
            ),
            Panel(
                title="Proven to",
                says="Of the databases whose snapshots are to be proven: the share whose newest proven one is no older than one and a half times that interval.",
                unit="percentunit",
                kind=Kind.STAT,
                thresholds=ALL_OR_RED,
                width=4,
                queries=one(
                    share(
                        f"{age('proven')} <= 1.5 * {of('proof_interval_seconds')}",
                        of("proof_interval_seconds"),
                    )
                ),
            ),
            Panel(
                title="To when, at worst",
                says="What would be lost if all came back now: the age of the oldest among the newest proven snapshots.",
                unit="s",
                kind=Kind.STAT,
                thresholds=((None, GREEN), (9 * 3600, YELLOW), (36 * 3600, RED)),
                width=4,
                queries=one(f"max({age('proven')})"),
            ),
            Panel(
                title="How long, at worst",
                says="What restoring the newest snapshot would take, of the database that takes longest, at the pace of its last restores and proofs.",
                unit="s",
                kind=Kind.STAT,
                thresholds=((None, GREEN), (240, YELLOW), (300, RED)),
                width=4,
                queries=one(f"max({RESTORE})"),
            ),
            Panel(
                title="Differences found",
                says="Databases whose newest comparison with a real restore has found any.",
                unit="none",
                kind=Kind.STAT,
                thresholds=NONE_OR_RED,
                width=4,
                queries=one(f"count({of('proof_matched')} == 0) or 0 * count({of('proof_matched')})"),
            ),
            Panel(
                title="Alerts",
                says="Alerts of Snapfleet that fire now, of any severity. The runbook has a section for each.",
                unit="none",
                kind=Kind.STAT,
                thresholds=NONE_OR_RED,
                width=4,
                queries=one(
                    'count(ALERTS{alertname=~"Snapfleet.+", alertstate="firing"}) or 0 * max(snapfleet_build_info)'
                ),
            ),
            Panel(
                title="Each database",
                says="By database: how old the newest proven snapshot and the newest that a restore would take are, what restoring takes, and what it may take.",
                unit="s",
                kind=Kind.TABLE,
                width=24,
                queries=(
                    Query(expr=age("proven"), legend="proven, age"),
                    Query(expr=age("good"), legend="newest, age"),
                    Query(expr=RESTORE, legend="restore takes"),
                    Query(expr=of("restore_objective_seconds"), legend="restore may take"),
                    Query(expr=of("schedule_interval_seconds"), legend="longest gap"),
                ),
            ),
        ),
    ),
    Row(
        title="Snapshots over time",
        panels=(
            Panel(
                title="Age of the newest proven snapshot",
                says="It falls with each proof. One that only rises will page.",
                unit="s",
                queries=one(age("proven"), "{{database}}"),
            ),
            Panel(
                title="Snapshots by what they are worth",
                says="Verified ones have been restored; suspect and refuted ones are taken by no restore.",
                unit="none",
                kind=Kind.STACKED,
                queries=one(
                    'sum by (standing) (max by (database, standing) (snapfleet_snapshots{database=~"$database"}))',
                    "{{standing}}",
                ),
            ),
            Panel(
                title="Failed in a row",
                says="Jobs that failed or were rolled back since one of their kind succeeded.",
                unit="none",
                thresholds=NONE_OR_YELLOW,
                queries=one(
                    'max by (database, kind) (snapfleet_jobs_failed_in_a_row{database=~"$database"})',
                    "{{database}} {{kind}}",
                ),
            ),
            Panel(
                title="How long copying took",
                says="Of the newest snapshot of each database.",
                unit="s",
                queries=one(of("snapshot_duration_seconds"), "{{database}}"),
            ),
            Panel(
                title="Rows",
                says="Of the newest snapshot of each database. A cliff is worth a question.",
                unit="short",
                queries=one(of("snapshot_rows"), "{{database}}"),
            ),
            Panel(
                title="Missed slots",
                says="Slots that nobody was there to run, ever.",
                unit="none",
                queries=one(of("slots_missed"), "{{database}}"),
            ),
        ),
    ),
    Row(
        title="Sizes, and what storing equal chunks once saves",
        panels=(
            Panel(
                title="The newest snapshot",
                says="What it holds uncompressed, what its chunks take, and what of it was new.",
                unit="bytes",
                queries=(
                    Query(expr=of("snapshot_raw_bytes"), legend="{{database}} raw"),
                    Query(expr=of("snapshot_stored_bytes"), legend="{{database}} stored"),
                    Query(expr=of("snapshot_new_bytes"), legend="{{database}} new"),
                ),
            ),
            Panel(
                title="The repository",
                says="What is stored of each database, each chunk once.",
                unit="bytes",
                kind=Kind.STACKED,
                queries=one(of("repository_stored_bytes"), "{{database}}"),
            ),
            Panel(
                title="Saved",
                says="The share of the newest snapshot that was stored before, and of all snapshots that sharing chunks has saved.",
                unit="percentunit",
                queries=(
                    Query(expr=of("snapshot_dedup_ratio"), legend="{{database}} newest"),
                    Query(expr=of("repository_dedup_ratio"), legend="{{database}} all"),
                ),
            ),
        ),
    ),
    Row(
        title="Restore drills",
        panels=(
            Panel(
                title="What restores take, and may take",
                says="Measured by the newest proof or restore, and estimated for the newest snapshot.",
                unit="s",
                queries=(
                    Query(expr=of("restore_measured_seconds"), legend="{{database}} measured"),
                    Query(expr=of("restore_estimated_seconds"), legend="{{database}} estimated"),
                    Query(expr=of("restore_objective_seconds"), legend="{{database}} objective"),
                ),
            ),
            Panel(
                title="The newest comparison",
                says="1 where a real restore gave what was recorded, 0 where it did not.",
                unit="bool_yes_no",
                thresholds=ALL_OR_RED,
                queries=one(of("proof_matched"), "{{database}}"),
            ),
            Panel(
                title="Since the newest comparison",
                says="Whatever it showed.",
                unit="s",
                queries=one(of("proof_age_seconds"), "{{database}}"),
            ),
        ),
    ),
    Row(
        title="Retention",
        panels=(
            Panel(
                title="Let go within 24 hours",
                says="Snapshots, by database.",
                unit="none",
                queries=one(of("pruned_snapshots"), "{{database}}"),
            ),
            Panel(
                title="Freed within 24 hours",
                says="Stored bytes, by database. A chunk goes a day after nobody has used it any more.",
                unit="bytes",
                queries=one(of("pruned_bytes"), "{{database}}"),
            ),
            Panel(
                title="Kept from retention",
                says="Pinned snapshots, and databases that an undo can still bring back.",
                unit="none",
                queries=(
                    Query(expr=of("snapshots_pinned"), legend="{{database}} pinned"),
                    Query(expr=of("parked_databases"), legend="{{database}} parked"),
                ),
            ),
        ),
    ),
)
