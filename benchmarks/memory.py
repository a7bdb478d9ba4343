"""`make bench-memory`: the peak memory of every process of the fleet, on the sample and on one four times as large.

The kernel's own high-water mark of each process is read several times a second, while two workers take
two snapshots and bring one back.
"""

# ruff: noqa: T201 - what a benchmark has to say is its output
from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from benchmarks.fleet import bench, restore, snapshot
from embedded import journal
from embedded.process import Child

LIMIT_MB = 200
EVERY_SECONDS = 0.1


def main() -> int:
    """Print the figures; 0 when every process stayed under the limit."""
    options = parser().parse_args()
    highest = 0.0
    for factor in (1, 4):
        with (
            bench(options.thoughts * factor) as measured,
            measured.workers(2, beat=True) as (fleet, children),
            watched(children) as peaks,
        ):
            for job in (snapshot, snapshot, restore):
                job(fleet)
        for name, peak in sorted(peaks.items()):
            print(f"  {name:<34} {peak:6.0f} MB")
        highest = max(highest, *peaks.values())
    print(f"highest of ours: {highest:.0f} MB; the limit is {LIMIT_MB}")
    return int(highest >= LIMIT_MB)


@contextmanager
def watched(children: Iterable[Child]) -> Generator[dict[str, float]]:
    """Peaks in MB, by name: each process of ours, what its pool forked, and what that called."""
    roots = {child.pid: child.name for child in children}
    peaks: dict[str, float] = {}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(EVERY_SECONDS):
            for name, peak in family(roots):
                peaks[name] = max(peak, peaks.get(name, 0.0))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


def family(roots: dict[int, str]) -> Generator[tuple[str, float]]:
    found = {status["Pid"]: status for status in statuses()}
    for status in found.values():
        line, pid = [status["Name"]], status["Pid"]
        while pid in found and int(pid) not in roots:
            pid = found[pid]["PPid"]
            if pid in found:
                line.append(found[pid]["Name"])
        if pid not in found or "VmHWM" not in status:
            continue
        depth = len(line) - 1
        program = (
            status["Name"]
            if status["Name"].startswith("pg_")
            else ("parent", "pool child", "grandchild")[depth]
        )
        yield f"{roots[int(pid)]} {program}", int(status["VmHWM"].split()[0]) * 1024 / 1e6


def statuses() -> Generator[dict[str, str]]:
    for file in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = file.read_text().splitlines()
        except OSError:
            continue
        yield {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    made.add_argument(
        "--thoughts", type=int, default=journal.THOUGHTS, help="the size of the smaller journal"
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
