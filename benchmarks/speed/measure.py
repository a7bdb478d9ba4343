"""What one act cost: seconds by the wall, processor seconds and peak memory of the client's processes, bytes stored."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
RESET_PEAK = "5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    seconds: float
    cpu: float
    rss_mb: float
    bytes: int = 0


def apart(module: str, asked: object, *, what: str, environment: Mapping[str, str]) -> Cost:
    """What a module's `main` costs in a process of its own. RuntimeError with its last words where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(asked),
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    if done.returncode != 0:
        raise RuntimeError(f"{what}: {done.stderr.strip()[-500:]}")
    return Cost(**json.loads(done.stdout))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured act: `work` is what was done, `way` by what, `round` when."""

    major: int
    work: str
    way: str
    round: int
    cost: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """One database and its snapshot. `tables` is 0 where rows are what it has more of."""

    tables: int
    size_bytes: int
    objects: int
    cost: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The rounds of one act."""

    median: Cost
    fastest: float
    slowest: float
    rounds: int


def summary(figures: Sequence[Figure]) -> Summary:
    seconds = [figure.cost.seconds for figure in figures]
    return Summary(
        median=Cost(
            seconds=statistics.median(seconds),
            cpu=statistics.median(figure.cost.cpu for figure in figures),
            rss_mb=max(figure.cost.rss_mb for figure in figures),
            bytes=int(statistics.median(figure.cost.bytes for figure in figures)),
        ),
        fastest=min(seconds),
        slowest=max(seconds),
        rounds=len(seconds),
    )


def own(act: Callable[[], int]) -> Cost:
    """Of this process and those that it starts and waits for; `act` answers how many bytes it stored.

    The peak is of this process alone.
    """
    before, began = _own_cpu(), time.monotonic()
    stored = act()
    seconds = time.monotonic() - began
    # Not ru_maxrss: that begins with the peak of whoever started this process.
    return Cost(seconds=seconds, cpu=_own_cpu() - before, rss_mb=_peak_bytes(os.getpid()) / 1e6, bytes=stored)


def without_peak(act: Callable[[], int]) -> Cost:
    """As `own`, where this process only waits, or is the whole benchmark: its peak says nothing."""
    return replace(own(act), rss_mb=0.0)


def _own_cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


class Trees:
    """Processes that live on, with all that they have started: what an act cost them, and this process too."""

    def __init__(self, roots: Iterable[int]) -> None:
        self._roots = frozenset(roots)

    @contextmanager
    def watching(self) -> Generator[Callable[[int], Cost]]:
        """Gives a function that ends the watch: bytes stored in, cost out."""
        for pid in self._members():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
        before, began = self.cpu(), time.monotonic()

        def ended(stored: int) -> Cost:
            seconds = time.monotonic() - began
            return Cost(seconds=seconds, cpu=self.cpu() - before, rss_mb=self._peak_mb(), bytes=stored)

        yield ended

    def cpu(self) -> float:
        """Seconds used so far. What has ended counts as its parent's."""
        return cpu_of(self._roots) + _own_cpu()

    def _members(self) -> list[int]:
        return members(self._roots)

    def _peak_mb(self) -> float:
        return max((_peak_bytes(pid) for pid in self._members()), default=0) / 1e6


def cpu_of(roots: Collection[int]) -> float:
    """Seconds that these processes, and all that come from them, have used so far."""
    return sum(_stat(pid)[1] for pid in members(roots)) / TICKS


def members(roots: Collection[int]) -> list[int]:
    """These processes, and all that come from them."""
    parents = {pid: _stat(pid)[0] for pid in _all()}
    found = []
    for pid in parents:
        line = pid
        while line in parents and line not in roots:
            line = parents[line]
        if line in roots:
            found.append(pid)
    return found


def _all() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> tuple[int, int]:
    """Its parent, and the ticks that it and its ended children have used; 0 for one that is gone."""
    try:
        # The name in parentheses may hold anything.
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, 0
    return int(words[1]), sum(int(word) for word in words[11:15])


def _peak_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
