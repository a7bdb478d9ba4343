"""`make round-trips-large`: databases of unusual size, snapshotted, lost and restored, each on a new server.

Too slow, and too hungry, for every commit: the largest case takes some gigabytes of memory. A line for
each, with the seconds of the snapshot and the restore and the peak memory of the process that did both.
"""

# ruff: noqa: T201 - what it found is its output
from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.large.cases import CASES
from tests.large.trying import SERVERS, tried


def main() -> int:
    """Print a line for each case; 0 if all ended as they should."""
    options = parser().parse_args()
    chosen = [case for case in CASES if options.only in case.name]
    print(f"{'case':<52} {'snapshot':>9} {'restore':>9} {'memory':>9}  how it ended")
    wrong = 0
    spawn = multiprocessing.get_context("spawn")
    for case in chosen:
        # A process of its own: its peak is of this case alone.
        with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
            outcome = pool.submit(tried, CASES.index(case), options.major).result()
        seconds = [f"{s:>7.1f} s" for s in outcome.seconds] + ["        -"] * (2 - len(outcome.seconds))
        print(f"{case.name:<52} {' '.join(seconds)} {outcome.peak_mb:>6} MB  {outcome.said}", flush=True)
        wrong += not outcome.is_right
    print(f"round trips: {len(chosen)} cases on PostgreSQL {options.major}, {wrong} wrong")
    return int(wrong > 0)


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m tests.large", description=__doc__)
    found.add_argument("--only", default="", help="cases with these words in their name")
    found.add_argument("--major", default="18", choices=SERVERS, help="of the server")
    return found


if __name__ == "__main__":
    sys.exit(main())
