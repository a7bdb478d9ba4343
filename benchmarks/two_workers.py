"""`make bench-workers`: is the copy of the sample database faster with two worker processes than with one?

    one  two  one  two  …      each a fresh fleet; every chunk is read, compressed and stored each time

Rounds alternate, so that what else the machine does falls on both; medians are compared.
"""

# ruff: noqa: T201 - what a benchmark has to say is its output
from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks.fleet import bench, restore, snapshot
from embedded import journal


def main() -> int:
    """Print the figures; 0 when two workers were faster."""
    options = parser().parse_args()
    copies: dict[int, list[float]] = {1: [], 2: []}
    loads: dict[int, list[float]] = {1: [], 2: []}
    with bench(options.thoughts) as measured:
        for number in range(1, options.rounds + 1):
            for workers in (1, 2):
                with measured.workers(workers) as (fleet, _):
                    taken = snapshot(fleet)
                    brought = restore(fleet)
                copies[workers].append(taken.steps["copy"])
                loads[workers].append(brought.steps["load"])
                print(
                    f"round {number}, {workers} worker(s): copy {taken.steps['copy']:5.2f} s, "
                    f"load {brought.steps['load']:5.2f} s, restore {brought.total:5.2f} s",
                    flush=True,
                )
    for name, found in (("copy", copies), ("load", loads)):
        one, two = (statistics.median(found[workers]) for workers in (1, 2))
        print(
            f"{name}: one worker {one:.2f} s, two {two:.2f} s (medians); two are {one / two:.2f} times as fast"
        )
    return int(statistics.median(copies[2]) >= statistics.median(copies[1]))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.two_workers", description=__doc__)
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--thoughts", type=int, default=journal.THOUGHTS, help="the size of the journal")
    return made


if __name__ == "__main__":
    sys.exit(main())
