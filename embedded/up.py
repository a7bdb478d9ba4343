"""`snapfleet up`: the embedded fleet in the foreground, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from rich.console import Console

from embedded.process import Child
from embedded.server import Server
from embedded.stack import Stack

_LOOK_EVERY_SECONDS = 0.5
# A process that dies at once is started again ever more slowly, and at full speed after a good while.
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=60)
_GOOD_WHILE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A process that `up` keeps alive."""

    child: Child
    argv: tuple[str, ...]
    started_at: float  # on the monotonic clock
    pause: timedelta = _FIRST_PAUSE


def run_up(
    *,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    console: Console | None = None,
    workers: int = 1,
    concurrency: int | None = None,
) -> int:
    """Run servers, workers and beat until SIGINT or SIGTERM; the exit status.

    Starts again what dies. Raises Busy when the folder is in use; ends with the migration's status
    when the catalog cannot be migrated.
    """
    out = console or Console()
    given = os.environ if environ is None else environ  # noqa: TID251 -- embedded/ reads the environment
    with _asked_to_end() as end, Stack(folder, environ=given) as stack:
        for server in stack.servers:
            _say(out, server.name, server.pid, server.address, server.log)
        _say_what_was_given(out, given, stack)
        status = _migrate(stack)
        if status != 0 or end.is_set():
            return status
        members = [_started(out, stack, name, argv) for name, argv in _fleet(workers, concurrency)]
        out.print("The fleet is up. Ctrl-C stops it.")
        while not end.wait(_LOOK_EVERY_SECONDS):
            for server in stack.servers:
                _revive(out, server)
            members = [_kept_alive(out, stack, member) for member in members]
        out.print("Stopping.")
    return 0


def _fleet(workers: int, concurrency: int | None) -> Generator[tuple[str, tuple[str, ...]]]:
    tasks = concurrency or max(2, os.cpu_count() or 2)
    for number in range(1, workers + 1):
        name = f"worker-{number}"
        yield name, (sys.executable, "-m", "workers", "--concurrency", str(tasks), "--name", name)
    yield "beat", (sys.executable, "-m", "beat")


def _migrate(stack: Stack) -> int:
    return subprocess.run(
        [sys.executable, "-m", "cli", "migrate"], env=stack.environment, stdout=sys.stderr, check=False
    ).returncode


def _started(out: Console, stack: Stack, name: str, argv: tuple[str, ...]) -> Member:
    child = stack.spawn(name, argv)
    _say(out, name, child.pid, "", child.log)
    return Member(child=child, argv=argv, started_at=time.monotonic())


def _kept_alive(out: Console, stack: Stack, member: Member) -> Member:
    if member.child.alive:
        return member
    lived = time.monotonic() - member.started_at
    if lived < member.pause.total_seconds():
        return member
    out.print(
        f"{member.child.name} ended with status {member.child.returncode}: "
        f"{member.child.last_words()}; starting it again",
        markup=False,
    )
    pause = _FIRST_PAUSE if lived > _GOOD_WHILE.total_seconds() else min(2 * member.pause, _LONGEST_PAUSE)
    return replace(_started(out, stack, member.child.name, member.argv), pause=pause)


def _revive(out: Console, server: Server) -> None:
    if not server.alive:
        out.print(f"{server.name} ended; starting it again", markup=False)
        server.stop()
        server.start()
        _say(out, server.name, server.pid, server.address, server.log)


def _say(out: Console, name: str, pid: int | None, address: str, log: Path | None) -> None:
    parts = (f"{name:<12}", f"pid {pid}" if pid else "not ours", address, str(log) if log else "")
    out.print("  ".join(part for part in parts if part), markup=False, highlight=False, soft_wrap=True)


def _say_what_was_given(out: Console, given: Mapping[str, str], stack: Stack) -> None:
    for name in ("DATABASE_URL", "CATALOG_URL", "REDIS_URL"):
        if given.get(name):
            _say(out, name, None, _without_password(given[name]), None)
    if stack.seaweed is None:
        for name in ("S3_BUCKET", "SNAPSHOT_DIR"):
            if given.get(name):
                _say(out, name, None, given[name], None)


def _without_password(url: str) -> str:
    """Scheme, host, port and path: nothing of the user's name, nor of a query that may hold a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "set"
    if not parts.netloc:
        return "set"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def _asked_to_end() -> Generator[threading.Event]:
    """An event that SIGINT and SIGTERM set, instead of what they did before."""
    asked = threading.Event()

    def hear(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
