"""`make bench`: ours and every other way to do it, in turn, on the same data and servers; nothing is judged.

    python -m benchmarks.speed --size small|medium|large [--major 18] [--only works|queue|growth] [--results FOLDER]

Writes speed.md, latest.json and plots. Seconds are this machine's; what carries over are ratios of one run.
"""

# ruff: noqa: T201 - what a benchmark has to say is its output
from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.fleet import facts
from benchmarks.speed import crowd, data, growth, page, plots, works
from benchmarks.speed.growth import Grown
from benchmarks.speed.measure import Figure
from benchmarks.speed.results import Results
from benchmarks.speed.site import BENCH, TUNED, Site, bins
from benchmarks.speed.sizes import SIZES, Size
from embedded import binaries
from shared import logs

RESULTS = Path(__file__).parents[1] / "results"
CAVEATS = (
    "Servers and clients share the same cores and the same disk, so whatever saves processor time counts twice.",
    "Peak memory of theirs is of the process that uploads; tools beside it are not counted.",
    "Every server runs with the same settings: "
    + ", ".join(f"{name} = {value}" for name, value in TUNED.items())
    + ".",
    "A hand of ours is a worker process of one task at a time; with n hands n of them work on one snapshot.",
    "A snapshot of ours is compared with what storage says of it, and carries digests of a sample of its rows.",
    "A restore of ours has counted every table and compared the digests before it is done; theirs has not.",
    "Two workers against one are measured with a server on the same cores, which sets the limit.",
    "Starting the command line, about a second, is not in ours, nor is starting Python in theirs.",
    "There is no warm copy yet: warm_restore_seconds is not measured.",
    "pg_dump -Fd -j2 compresses with zstd at 1 where it was built with it, and else with gzip at 1.",
    "pgcopydb keeps no copy, it clones a server to another one: left out.",
)


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    logs.configure(level="critical", style="console")
    size, chosen = SIZES[options.size], {m: b for m, b in bins().items() if options.major in {None, m}}
    began, load = time.monotonic(), os.getloadavg()[0]
    figures, notes = list[Figure](), list[str]()
    queue: Mapping[str, float] = {}
    grown: tuple[Sequence[Grown], Sequence[Grown]] = ((), ())
    sizes = dict[int, int]()
    with tempfile.TemporaryDirectory(prefix="snapfleet-speed-") as folder:
        for major, bin_dir in chosen.items():
            site = Site(
                Path(folder) / str(major), major=major, bin_dir=bin_dir, addresses=works.addresses(size)
            )
            with site:
                os.environ.update(site.seaweed.environment)  # noqa: TID251 - the S3 client finds its keys there
                if options.only in {None, "works"}:
                    measured = works.Works(site, size, say=say)
                    measured.measure()
                    figures += measured.figures
                    notes += measured.notes
                    sizes[major] = measured.size_bytes
                    site.drop(BENCH)
                if major == max(chosen):
                    queue, grown = beside(site, size, options.only)
    if load > 1:
        notes.append(busy(load, os.getloadavg()[0]))
    results = Results(
        about=about(options.size, size, sizes, load, time.monotonic() - began),
        figures=figures,
        crowd=queue,
        by_size=grown[0],
        by_tables=grown[1],
        caveats=(*CAVEATS, *notes),
    )
    write(results, options.results)
    return 0


def beside(
    site: Site, size: Size, only: str | None
) -> tuple[Mapping[str, float], tuple[Sequence[Grown], Sequence[Grown]]]:
    """What is measured on one server only."""
    queue: Mapping[str, float] = {}
    grown: tuple[Sequence[Grown], Sequence[Grown]] = ((), ())
    if only in {None, "queue"}:
        queue = crowd.measure(site, size)
        print("queue:", {name: round(value, 3) for name, value in queue.items()}, flush=True)
    if only in {None, "growth"}:
        grown = growth.by_size(site, size), growth.by_tables(site, size)
    return queue, grown


def busy(before: float, after: float) -> str:
    return (
        f"Others were at work on this machine: the load was {before:.1f} before the first measurement and {after:.1f}"
        " after the last one. What gains by running side by side gains little there, and single rounds differ by a"
        " factor of two: run it again on a machine of one's own before these figures are quoted."
    )


def say(figure: Figure) -> None:
    cost = figure.cost
    print(
        f"{figure.major} round {figure.round}: {figure.work:<16} {figure.way:<32} {cost.seconds:7.2f} s"
        f" {cost.cpu:7.2f} CPU s {cost.rss_mb:5.0f} MB {cost.bytes / 1e6:9.1f} MB stored",
        flush=True,
    )


def about(name: str, size: Size, sizes: Mapping[int, int], load: float, seconds: float) -> dict[str, Any]:
    return {
        "size": name,
        "machine": facts(),
        "system": platform.platform(),
        "load before": round(load, 1),
        "database MB": {major: round(bytes_ / 1e6) for major, bytes_ in sizes.items()},
        "rows": size.rows,
        "rounds": size.rounds,
        "seed": data.SEED,
        "PostgreSQL": [version([str(path / "postgres"), "--version"]) for path in bins().values()],
        "S3 server": version([str(binaries.weed()), "version"]),
        "zstd": version(["zstd", "--version"]),
        "revision": version(["git", "rev-parse", "--short", "HEAD"]),
        "minutes": round(seconds / 60, 1),
    }


def version(argv: Sequence[str]) -> str:
    """The first line of what a tool says of itself; "?" where there is none."""
    try:
        said = subprocess.run(list(argv), capture_output=True, text=True, check=False, cwd=RESULTS)
    except OSError:
        return "?"
    return (said.stdout.strip().splitlines() or ["?"])[0]


def write(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if results.figures:
        (folder / "latest.json").write_text(json.dumps(results.as_json(), indent=1) + "\n")
        (folder / "speed.md").write_text(page.page(results))
    for major in results.majors:
        for work in ("full", "restore"):
            (folder / f"{work}-{major}.svg").write_text(plots.bars(results, major, work))
    if results.by_size:
        (folder / "growth.svg").write_text(plots.growth(results.by_size))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    made.add_argument("--size", choices=sorted(SIZES), default="medium")
    made.add_argument("--major", type=int, choices=sorted(bins()), help="only this server")
    made.add_argument("--only", choices=("works", "queue", "growth"))
    made.add_argument("--results", type=Path, default=RESULTS, help="the folder to write to")
    return made


if __name__ == "__main__":
    sys.exit(main())
