"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.speed.measure import Grown
from benchmarks.speed.results import Results
from benchmarks.speed.targets import MEANINGS

MB = 1e6
PLOTTED = ("full", "restore")


def page(results: Results) -> str:
    lines = ["# Speed", "", *unfinished(results), *facts(results), "", "## Ratios", "", *ratios(results)]
    for major in results.majors:
        if results.works(major):
            lines += ["", f"## PostgreSQL {major}", "", *table(results, major)]
            lines += [f"\n![](./{work}-{major}.svg)" for work in PLOTTED if results.ways(major, work)]
            lines.append(f"\n![](./next-{major}.svg)")
    if results.crowd:
        lines += ["", "## The queue", "", *queue(results)]
    if results.by_size or results.by_tables:
        lines += ["", "## Growth", "", *growth(results)]
    if results.by_size:
        lines += ["", "![](./growth.svg)", "", "![](./memory.svg)"]
    if results.by_tables:
        lines += ["", "![](./tables.svg)"]
    return "\n".join([*lines, "", "## What to know about these figures", "", *bullets(results.caveats), ""])


def unfinished(results: Results) -> list[str]:
    return [] if results.unfinished is None else [f"**Not the whole: {results.unfinished}**", ""]


def facts(results: Results) -> list[str]:
    return bullets(f"{name}: {said(value)}" for name, value in results.about.items())


def said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {each}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def ratios(results: Results) -> list[str]:
    by_major = {major: results.medians(major) for major in results.majors}
    lines = [
        "| | to reach | " + " | ".join(f"PostgreSQL {major}" for major in by_major) + " |",
        "| --- | --- |" + " ---: |" * len(by_major),
    ]
    for key, meaning in MEANINGS.items():
        values = (
            "not measured" if (value := found[key]) is None else f"{value:.2f}" for found in by_major.values()
        )
        lines.append(f"| {meaning.words} | {meaning.to_reach} | " + " | ".join(values) + " |")
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
                    f" | {found.rounds} | {m.cpu:.2f} | {known(m.rss_mb, 0)} | {known(m.bytes / MB, 1)} |"
                )
    return lines


def known(value: float, digits: int) -> str:
    """Nothing where nothing was measured, or stored."""
    return f"{value:.{digits}f}" if value else ""


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
