"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.speed.growth import Grown
from benchmarks.speed.results import Results

MEANINGS = {
    "full_vs_pg_dump": "full snapshot with 2 hands / `pg_dump -Fc` to S3",
    "full_vs_best_pg_dump": "full snapshot with 2 hands / the quickest of the `pg_dump` ways",
    "full_vs_copy_limit": "full snapshot with 2 hands / `COPY` of everything to nowhere on all cores",
    "unchanged_vs_full": "next snapshot, nothing changed / full one",
    "corner_vs_full": "next snapshot, 1 % changed in one corner / full one",
    "scattered_vs_full": "next snapshot, 1 % changed in scattered rows / full one",
    "restore_vs_pg_restore": "restore with 2 hands / `pg_restore -j2` from local files",
    "warm_restore_seconds": "restore of the newest snapshot with a warm copy, seconds",
    "two_workers_speedup": "full snapshot with one worker process / with two",
    "worker_rss_mb": "peak memory of any process of a worker, MB",
    "tiny_snapshots_per_second": "snapshots of tiny databases per second",
}
MB = 1e6


def page(results: Results) -> str:
    lines = ["# Speed", "", *facts(results), "", "## Ratios", "", *ratios(results)]
    for major in results.majors:
        lines += ["", f"## PostgreSQL {major}", "", *table(results, major), "", f"![](full-{major}.svg)"]
    lines += ["", "## The queue", "", *queue(results)]
    if results.by_size:
        lines += ["", "## Growth", "", *growth(results), "", "![](growth.svg)"]
    return "\n".join([*lines, "", "## What to know about these figures", "", *bullets(results.caveats), ""])


def facts(results: Results) -> list[str]:
    return bullets(f"{name}: {value}" for name, value in results.about.items())


def ratios(results: Results) -> list[str]:
    by_major = {major: results.medians(major) for major in results.majors}
    lines = [
        "| | " + " | ".join(f"PostgreSQL {major}" for major in by_major) + " |",
        "| --- |" + " ---: |" * len(by_major),
    ]
    for key, meaning in MEANINGS.items():
        values = (
            "not measured" if found[key] is None else f"{found[key]:.2f}" for found in by_major.values()
        )
        lines.append(f"| {meaning} | " + " | ".join(values) + " |")
    return lines


def table(results: Results, major: int) -> list[str]:
    lines = [
        "| work | way | seconds | fastest - slowest | rounds | client CPU s | peak MB | MB stored |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for work in results.works(major):
        for way in results.ways(major, work):
            found = results.of(major, work, way)
            if found is not None:
                m = found.median
                lines.append(
                    f"| {work} | {way.replace('|', '&#124;')} | {m.seconds:.2f} | {found.fastest:.2f} - {found.slowest:.2f}"
                    f" | {found.rounds} | {m.cpu:.2f} | {m.rss_mb:.0f} | {m.bytes / MB:.1f} |"
                )
    return lines


def queue(results: Results) -> list[str]:
    return [
        "| | |",
        "| --- | ---: |",
        *(f"| {name} | {value:.2f} |" for name, value in results.crowd.items()),
    ]


def growth(results: Results) -> list[str]:
    head = [
        "| database MB | tables | seconds | client CPU s | peak MB | objects | objects per GB |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    return head + [row(each) for each in (*results.by_size, *results.by_tables)]


def row(each: Grown) -> str:
    per_gb = each.objects / (each.size_bytes / 1e9)
    return (
        f"| {each.size_bytes / MB:.0f} | {each.tables or 3} | {each.cost.seconds:.2f} | {each.cost.cpu:.2f}"
        f" | {each.cost.rss_mb:.0f} | {each.objects} | {per_gb:.0f} |"
    )


def bullets(lines: Iterable[str]) -> list[str]:
    found: Sequence[str] = [f"* {line}" for line in lines]
    return list(found)
