"""How much is measured: BENCH_SIZE."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """`rows` of the narrow table; everything else grows with it, at about 160 bytes of disk to a row in all."""

    rows: int
    rounds: int
    hands: tuple[int, ...]
    changes: tuple[str, ...] = ("unchanged", "corner", "scattered", "append")
    """What happens between two snapshots: keys of `data.CHANGES`."""
    small_tables: int
    tiny_databases: int
    tiny_jobs: int
    doorbells: int
    growth_rows: tuple[int, ...]
    growth_tables: tuple[int, ...]


SIZES = {
    "tiny": Size(
        rows=90_000,
        rounds=1,
        hands=(1, 2),
        changes=("scattered",),
        small_tables=4,
        tiny_databases=2,
        tiny_jobs=2,
        doorbells=2,
        growth_rows=(10_000,),
        growth_tables=(1,),
    ),
    "small": Size(
        rows=1_000_000,
        rounds=3,
        hands=(1, 2, 4),
        small_tables=200,
        tiny_databases=10,
        tiny_jobs=60,
        doorbells=20,
        growth_rows=(250_000, 500_000, 1_000_000),
        growth_tables=(1, 100),
    ),
    "medium": Size(
        rows=12_000_000,
        rounds=3,
        hands=(1, 2, 4),
        small_tables=200,
        tiny_databases=100,
        tiny_jobs=500,
        doorbells=100,
        growth_rows=(1_500_000, 3_000_000, 6_000_000, 12_000_000),
        growth_tables=(1, 100, 10_000),
    ),
    "large": Size(
        rows=24_000_000,
        rounds=5,
        hands=(1, 2, 4),
        small_tables=200,
        tiny_databases=1_000,
        tiny_jobs=1_000,
        doorbells=200,
        growth_rows=(3_000_000, 6_000_000, 12_000_000, 24_000_000),
        growth_tables=(1, 100, 10_000),
    ),
}
