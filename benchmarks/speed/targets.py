"""What each ratio means, and what was set out to be reached with it; nothing is judged by it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meaning:
    words: str
    to_reach: str = ""


MEANINGS = {
    "full_vs_pg_dump": Meaning("full snapshot with 2 hands / `pg_dump -Fc` to S3", "≤ 0.30"),
    "full_vs_best_pg_dump": Meaning(
        "full snapshot with 2 hands / the quickest of the `pg_dump` ways", "≤ 0.60"
    ),
    "full_vs_copy_limit": Meaning(
        "full snapshot with 2 hands / `COPY` of everything to nowhere on all cores", "≤ 1.4"
    ),
    "unchanged_vs_full": Meaning(
        "next snapshot, nothing changed / full one", "≤ 0.10 with WAL summaries, else ≤ 0.60"
    ),
    "corner_vs_full": Meaning(
        "next snapshot, 1 % changed in one corner / full one", "≤ 0.15 with WAL summaries, else ≤ 0.60"
    ),
    "scattered_vs_full": Meaning(
        "next snapshot, 1 % changed in scattered rows / full one", "≤ 0.60 where all is read"
    ),
    "restore_vs_pg_restore": Meaning("restore with 2 hands / `pg_restore -j2` from local files", "≤ 0.60"),
    "warm_restore_seconds": Meaning(
        "restore of the newest snapshot with a warm copy, and with the safety snapshot of what it replaces: seconds",
        "≤ 10",
    ),
    "warm_restore_without_safety_snapshot_seconds": Meaning("the same without the safety snapshot", "≤ 10"),
    "two_workers_speedup": Meaning(
        "full snapshot with one worker process / with two, each held to a core", "≥ 1.6"
    ),
    "worker_rss_mb": Meaning("peak memory of any process of a worker, MB", "≤ 150"),
    "tiny_snapshots_per_second": Meaning("snapshots of tiny databases per second"),
    "tiny_snapshots_per_second_per_core": Meaning("the same for each core", "≥ 5"),
    "idle_cores": Meaning("cores that an idle fleet uses", "≤ 0.02"),
    "unchanged_seconds": Meaning("next snapshot, nothing changed: seconds", "≤ 2 for 2 GB"),
    "corner_stored_vs_changed": Meaning(
        "1 % changed in one corner: bytes stored / the changed rows alone, compressed", "≤ 2"
    ),
    "append_stored_vs_changed": Meaning("1 % appended: the same", "≤ 2"),
}
