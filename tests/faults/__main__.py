"""`python -m tests.faults`: break a fleet in every known way, and look every promise up after each.

    python -m tests.faults [--runners 2] [--seeds 1] [--part] [--only "SIGKILL inside restore"]

Ends with a table of kinds and, as its last line, `faults: N cases, K kinds, V violations`. Status 0 only
where V is 0 and every moment that the code names was struck.
"""

# ruff: noqa: T201 - what it has to say is its output
from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from shared.domain.job import SAGAS
from tests.faults import points
from tests.faults.case import Result

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
LOOK_SECONDS = 0.5
TELL_EVERY = 25


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="snapfleet-board-") as folder:
        board = Path(folder)
        (board / "taken").mkdir()
        statuses = run_all(board, options)
        results = [*read(board)]
    print(table(results))
    missed = [] if options.only else sorted(points.everything() - {p for r in results for p in r.struck})
    for point in missed:
        print(f"never struck: {point}")
    unlike = [] if options.only else unlike_the_page({result.kind for result in results})
    for kind in unlike:
        print(f"not the same here and in docs/faults.md: {kind}")
    violations = sum(result.trouble is not None for result in results)
    kinds = {result.kind for result in results}
    print(f"{time.monotonic() - began:.0f} s, {options.runners} runners")
    print(f"faults: {len(results)} cases, {len(kinds)} kinds, {violations} violations", flush=True)
    return int(bool(violations or missed or unlike or any(statuses) or not results))


def run_all(board: Path, options: argparse.Namespace) -> list[int]:
    """Every runner to its end; what goes wrong is told at once."""
    command = [sys.executable, "-m", "tests.faults.running", str(board)]
    extent = "part" if options.part else "whole"
    rest = [str(options.runners), str(options.seeds), options.only, extent]
    runners = [subprocess.Popen([*command, str(number), *rest]) for number in range(options.runners)]
    told = 0
    try:
        while any(runner.poll() is None for runner in runners):
            time.sleep(LOOK_SECONDS)
            told = tell(board, told)
        return [runner.wait() for runner in runners]
    finally:
        for runner in runners:
            runner.kill()
            runner.wait()


def tell(board: Path, told: int) -> int:
    """What has become of the cases since so many were told of; of how many by now."""
    results = [*read(board)]
    for result in results[told:]:
        if result.trouble is not None:
            print(f"VIOLATION {result.kind}: {result.name}\n{result.trouble}\n", flush=True)
    if len(results) // TELL_EVERY > told // TELL_EVERY:
        print(f"… {len(results)} cases", flush=True)
    return len(results)


def read(board: Path) -> Iterable[Result]:
    """In the order in which they ended."""
    file = board / "results"
    for line in file.read_text().splitlines() if file.exists() else ():
        said = json.loads(line)
        yield Result(**{**said, "struck": tuple(said["struck"])})


def table(results: Iterable[Result]) -> str:
    """One line per kind."""
    kinds: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        kinds[result.kind].append(result)
    width = max(map(len, kinds), default=4)
    lines = [f"{'kind':{width}}  cases  violations  seconds"]
    for kind, found in sorted(kinds.items()):
        wrong = sum(result.trouble is not None for result in found)
        seconds = sum(result.seconds for result in found)
        lines.append(f"{kind:{width}}  {len(found):5}  {wrong:10}  {seconds:7.1f}")
    return "\n".join(lines)


def unlike_the_page(kinds: Iterable[str]) -> list[str]:
    """What the page explains and was not done, and what was done and the page does not explain."""
    lines = PAGE.read_text("utf-8").partition("## The kinds")[2].splitlines()
    first = {line.split("|")[1].strip() for line in lines if line.startswith("|")}
    return sorted({of_any_job(kind) for kind in kinds} ^ (first - {"kind", "---"}))


def of_any_job(kind: str) -> str:
    """A kind of fault, whatever kind of job stands in it."""
    return re.sub(rf"\b({'|'.join(SAGAS)})\b", "*job*", kind)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    made.add_argument("--runners", type=int, default=2, help="worlds side by side")
    made.add_argument("--seeds", type=int, default=1, help="how many times the random ones, each time others")
    made.add_argument("--part", action="store_true", help="every kind and every moment, but not every case")
    made.add_argument("--only", default="", help="cases whose label holds this")
    return made


if __name__ == "__main__":
    sys.exit(main())
