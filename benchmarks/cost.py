"""`make bench-cost`: what one worker costs at rest and at work, in memory and in connections.

Memory is proportional set size: pages that the pool's processes share with the one that forked them count once.
Connections are sockets to each server's port, counted for each process of the worker several times a second.
"""

# ruff: noqa: T201 - what a benchmark has to say is its output
from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fleet import bench, restore, snapshot
from benchmarks.memory import statuses
from embedded.stack import Stack
from shared.operations.fleet import Fleet

EVERY_SECONDS = 0.1
ESTABLISHED = "01"
PORT_FIELD, STATE_FIELD, INODE_FIELD = 2, 3, 9


@dataclass(slots=True)
class Peak:
    """The most that was seen at one moment, of each thing by itself."""

    megabytes: float = 0.0
    connections: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        to = ", ".join(f"{count} to {name}" for name, count in sorted(self.connections.items()))
        return f"{self.megabytes:6.0f} MB, connections: {to or 'none'}"


def main() -> int:
    """Print a line for the worker at rest and for each kind of job."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__)
    options.add_argument("--thoughts", type=int, default=200_000, help="the size of the journal")
    with (
        bench(options.parse_args().thoughts) as measured,
        measured.workers(1) as (fleet, (worker,)),
    ):
        ports = {str(port): name for name, port in servers(measured.stack).items()}
        jobs: tuple[tuple[str, Callable[[Fleet], object]], ...] = (
            ("snapshot", snapshot),
            ("restore", restore),
        )
        with watched(worker.pid, ports) as peak:
            threading.Event().wait(3.0)
        print(f"  {'at rest, before any job':<26} {peak}")
        for name, job in jobs:
            with watched(worker.pid, ports) as peak:
                job(fleet)
            print(f"  {'at work: ' + name:<26} {peak}")
        with watched(worker.pid, ports) as peak:
            threading.Event().wait(3.0)
        print(f"  {'at rest, after them':<26} {peak}")
    return 0


def servers(stack: Stack) -> Mapping[str, int]:
    found = {"PostgreSQL": stack.postgres, "Redis": stack.valkey, "S3": stack.seaweed}
    return {name: server.port for name, server in found.items() if server is not None}


@contextmanager
def watched(pid: int, ports: Mapping[str, str]) -> Generator[Peak]:
    peak, ended = Peak(), threading.Event()

    def look() -> None:
        while not ended.wait(EVERY_SECONDS):
            family = members(pid)
            peak.megabytes = max(peak.megabytes, sum(map(proportional_mb, family)))
            for name, count in connections(family, ports).items():
                peak.connections[name] = max(count, peak.connections.get(name, 0))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def members(root: int) -> list[int]:
    """The process, and all that come from it."""
    parents = {int(status["Pid"]): int(status["PPid"]) for status in statuses()}
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def proportional_mb(pid: int) -> float:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024 / 1e6
    return 0.0


def connections(family: list[int], ports: Mapping[str, str]) -> dict[str, int]:
    """How many lead to each server."""
    led: dict[str, str] = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        port = str(int(fields[PORT_FIELD].rpartition(":")[2], 16))
        if fields[STATE_FIELD] == ESTABLISHED and port in ports:
            led[f"socket:[{fields[INODE_FIELD]}]"] = ports[port]
    counts: dict[str, int] = {}
    for pid in family:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    name = led.get(str(descriptor.readlink()))
                    if name is not None:
                        counts[name] = counts.get(name, 0) + 1
    return counts


if __name__ == "__main__":
    sys.exit(main())
