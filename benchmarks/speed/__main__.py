"""`make bench`: ours and every other way to do it, in turn, on the same data and servers; nothing is judged.

    python -m benchmarks.speed --size small|medium|large [--minutes 20] [--major 18] [--only growth queue]

Writes speed.md, latest.json and plots after every single figure, so that whatever ends a run leaves what was measured.
Seconds are this machine's; what carries over are ratios of one run.
"""

# ruff: noqa: T201 - what a benchmark has to say is its output
from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed import about, keeping
from benchmarks.speed.budget import Budget, OutOfTime, cut_off_after
from benchmarks.speed.parts import PARTS, Parts
from benchmarks.speed.record import Record
from benchmarks.speed.site import bins
from benchmarks.speed.sizes import SIZES
from shared import logs

RESULTS = Path(__file__).parents[1] / "results"
PART = RESULTS / "part"
"""Of a run that was asked for less than the whole: its figures are not those that the README quotes."""
WIND_DOWN_SECONDS = 30.0
"""Of the minutes, for ending workers and servers that are at work."""


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    logs.configure(level="critical", style="console")
    size, majors = SIZES[options.size], sorted(bins(), reverse=True)
    chosen = [major for major in majors if options.major in {None, major}]
    whole = options.only is None and options.major is None
    folder = options.results or (RESULTS if whole else PART)
    minutes = size.minutes if options.minutes is None else options.minutes
    seconds = minutes * 60 - WIND_DOWN_SECONDS
    budget = Budget(began=time.monotonic(), seconds=seconds, clock=time.monotonic)
    facts = about.facts(options.size, size, minutes=minutes)
    keeper = keeping.Keeper(folder, newest=chosen[0], facts=facts, budget=budget)

    def changed(words: str) -> None:
        print(f"{budget.spent / 60:5.1f} min  {words}", flush=True)
        keeper.keep(record)

    record = Record(changed=changed)
    # What was cut off may still be writing there.
    with tempfile.TemporaryDirectory(prefix="snapfleet-speed-", ignore_cleanup_errors=True) as temporary:
        parts = Parts(Path(temporary), size=size, record=record, budget=budget, facts=facts)
        try:
            with cut_off_after(seconds):
                parts.run(chosen, only=options.only or PARTS)
        except OutOfTime as exc:
            record.note(f"The run was cut off: {exc}. What it was at then is not in it.")
            parts.failed.append(f"what it was at when {exc}")
    record.note(about.load(facts, os.getloadavg()[0]))
    keeper.finish(record, unfinished=parts.why_not_whole(whole=whole), quote=folder == RESULTS)
    print(f"{budget.spent / 60:.1f} minutes; figures in {folder}", flush=True)
    return 1 if parts.failed else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    made.add_argument("--size", choices=sorted(SIZES), default="medium")
    made.add_argument(
        "--minutes", type=float, help="what it may take at most; rounds, then parts are left out"
    )
    made.add_argument("--major", type=int, choices=sorted(bins()), help="only this server")
    made.add_argument("--only", choices=PARTS, nargs="+", help="only these parts")
    made.add_argument("--results", type=Path, help="the folder to write to")
    return made


if __name__ == "__main__":
    sys.exit(main())
