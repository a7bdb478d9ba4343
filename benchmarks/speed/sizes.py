"""How much is measured: BENCH_SIZE."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.speed.opponents import DUMP, DUMP_FOLDER, DUMP_ZSTD


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """`rows` of the narrow table; everything else grows with it, at some 205 bytes of disk to a row in all."""

    minutes: float
    """What a run takes at most, unless it is told otherwise."""
    rows: int
    older_rows: int
    """The same on PostgreSQL 15: fewer, for what is compared are ratios."""
    rounds: int
    hands: tuple[int, ...]
    changes: tuple[str, ...] = ("unchanged", "corner", "scattered", "append")
    """What happens between two snapshots: keys of `data.CHANGES`."""
    rivals_next: tuple[str, ...] = (DUMP_ZSTD,)
    """What is measured after the last change too, though it reads and stores everything again."""
    small_tables: int
    workers_rows: int
    """Of the table that one and two workers share."""
    tiny_databases: int
    tiny_jobs: int
    doorbells: int
    idle_seconds: float
    """0: rest is not measured."""
    growth_rows: tuple[int, ...]
    """At some 145 bytes, for here there are no keys."""
    growth_tables: tuple[int, ...]


SIZES = {
    "tiny": Size(
        minutes=30,
        rows=90_000,
        older_rows=90_000,
        rounds=1,
        hands=(2,),
        changes=("scattered",),
        rivals_next=(),
        small_tables=4,
        workers_rows=50_000,
        tiny_databases=20,
        tiny_jobs=4,
        doorbells=2,
        idle_seconds=0,
        growth_rows=(),
        growth_tables=(1,),
    ),
    "small": Size(
        minutes=3,
        rows=300_000,
        older_rows=100_000,
        rounds=3,
        hands=(1, 2, 4),
        small_tables=200,
        workers_rows=300_000,
        tiny_databases=100,
        tiny_jobs=40,
        doorbells=10,
        idle_seconds=0,
        growth_rows=(150_000, 300_000, 600_000),
        growth_tables=(1, 100),
    ),
    "medium": Size(
        minutes=20,
        rows=9_000_000,
        older_rows=1_500_000,
        rounds=3,
        hands=(1, 2, 4),
        small_tables=200,
        workers_rows=3_000_000,
        tiny_databases=1_000,
        tiny_jobs=300,
        doorbells=50,
        idle_seconds=20,
        growth_rows=(3_400_000, 6_800_000, 13_700_000, 27_400_000),
        growth_tables=(1, 100, 10_000),
    ),
    "large": Size(
        minutes=90,
        rows=24_000_000,
        older_rows=24_000_000,
        rounds=5,
        hands=(1, 2, 4),
        rivals_next=(DUMP, DUMP_ZSTD, DUMP_FOLDER),
        small_tables=200,
        workers_rows=6_000_000,
        tiny_databases=1_000,
        tiny_jobs=1_000,
        doorbells=200,
        idle_seconds=60,
        growth_rows=(3_400_000, 6_800_000, 13_700_000, 27_400_000),
        growth_tables=(1, 100, 10_000),
    ),
}
