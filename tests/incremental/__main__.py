"""`make incremental-fuzz`: random statements and incremental snapshots, each compared with what reading gives.

    python -m tests.incremental [--steps 10000] [--seed 1] [--major 18]

Without a major half of the steps are done on either: with checksums on its pages, as 18 has them, a server logs
more. The last line is `N steps, N ranges reused, N ranges wrong`; status 0 where none is wrong.
"""

# ruff: noqa: T201 - what it found is its output
from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import structlog

from tests.incremental.machine import tell
from tests.incremental.running import MAJORS, world_on
from tests.incremental.world import Figures, World

STORIES = 10**6
"""So many lie between those of one seed and those of the next."""


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    majors = [options.major] if options.major else [*MAJORS]
    figures, done, refused, faults = Figures(), Counter[str](), Counter[str](), list[str]()
    for major in majors:
        with (
            tempfile.TemporaryDirectory(prefix="snapfleet-incremental-") as folder,
            world_on(major, Path(folder), log=print if options.verbose else said_nothing) as world,
        ):
            print(f"PostgreSQL {major}", flush=True)
            fuzz(world, steps=options.steps // len(majors), seed=options.seed)
            figures += world.figures
            done += world.talks.done
            refused += world.talks.refused
            faults += world.faults
    print(table(done, refused))
    print("\n".join(faults))
    print(f"{figures.snapshots} snapshots of {figures.ranges} ranges, {figures.bases} of them bases")
    print(figures)
    return int(bool(faults))


def said_nothing(_line: str) -> None:
    """Say nothing."""


def fuzz(world: World, *, steps: int, seed: int) -> None:
    """Stories, until so many steps are done or something is wrong."""
    for story in count(seed * STORIES):
        tell(world, story)
        if world.faults:
            world.faults.append(f"in story {story}")
        if world.faults or world.figures.steps >= steps:
            return


def table(done: Counter[str], refused: Counter[str]) -> str:
    """How often everything was done."""
    kinds = sorted(done | refused)
    width = max(map(len, kinds), default=0)
    return "\n".join(f"{kind:{width}} {done[kind]:6} done {refused[kind]:6} refused" for kind in kinds)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.incremental", description=__doc__)
    made.add_argument("--steps", type=int, default=10_000, help="how many, in all")
    made.add_argument("--seed", type=int, default=1, help="of the stories that are told")
    made.add_argument("--major", choices=[*MAJORS], help="of the server; both, one after the other, without")
    made.add_argument("--verbose", action="store_true", help="a line for each snapshot")
    return made


if __name__ == "__main__":
    sys.exit(main())
