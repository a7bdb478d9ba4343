"""`snapfleet up`: the embedded fleet in the foreground, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.filesize import decimal

from embedded import journal
from embedded.process import Child
from embedded.remembered import Remembered
from embedded.server import Server
from embedded.stack import Stack
from shared.signals import AskedToEnd, asked_to_end

_LOOK_EVERY_SECONDS = 0.5
# A process that dies at once is started again ever more slowly, and at full speed after a good while.
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=60)
_GOOD_WHILE = timedelta(seconds=60)
# What tells a command where the fleet is.
_LEADING = (
    "DATABASE_URL",
    "CATALOG_URL",
    "REDIS_URL",
    "S3_BUCKET",
    "S3_PREFIX",
    "SNAPSHOT_DIR",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "FLOWER_PASSWORD",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A process that `up` keeps alive."""

    child: Child
    argv: tuple[str, ...]
    address: str
    started_at: float  # on the monotonic clock
    pause: timedelta = _FIRST_PAUSE


def run_up(
    *,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    console: Console | None = None,
    workers: int = 1,
    concurrency: int | None = None,
    thoughts: int = journal.THOUGHTS,
) -> int:
    """Run servers, workers, beat, bus, exporter and Flower until SIGINT or SIGTERM; the exit status.

    Starts again what dies. Without a DATABASE_URL it protects the sample database, which it writes the
    first time, `thoughts` large. `<folder>/environment` leads other commands here. Raises Busy when the folder is in use; ends with the migration's status
    when the catalog cannot be migrated.
    """
    out = console or Console()
    given = os.environ if environ is None else environ  # noqa: TID251 -- embedded/ reads the environment
    with asked_to_end() as asked, Stack(folder, environ=given) as stack:
        for server in stack.servers:
            _say(out, server.name, server.pid, server.address)
        _say_what_was_given(out, given, stack)
        status = _migrate(stack)
        if status == 0 and stack.postgres is not None and not given.get("DATABASE_URL"):
            _provide_sample(out, stack.environment["DATABASE_URL"], thoughts, asked)
        if status != 0 or asked:
            return status
        watch = Remembered(stack.folder / "watch")
        stack.environment.setdefault("FLOWER_PASSWORD", watch.secret("flower"))
        fleet = _fleet(watch, workers, concurrency)
        members = [_started(out, stack, name, argv, address) for name, argv, address in fleet]
        for line in (
            f"{'logs':<12}  log/*.log and */server.log in {stack.folder}",
            "The fleet is up; Ctrl-C stops it. To use it from another terminal, type there:",
            f"  . {_written(stack)}",
        ):
            out.print(line, markup=False, highlight=False, soft_wrap=True)
        while not asked.wait(_LOOK_EVERY_SECONDS):
            for server in stack.servers:
                _revive(out, server)
            members = [_kept_alive(out, stack, member) for member in members]
        out.print("Stopping.")
    return 0


def _fleet(
    watch: Remembered, workers: int, concurrency: int | None
) -> Generator[tuple[str, tuple[str, ...], str]]:
    """Name, argv and, for who serves something to look at, where."""
    tasks = str(concurrency or max(2, os.cpu_count() or 2))
    names = [f"worker-{number}" for number in range(1, workers + 1)]
    flower, exporter, *others = (str(port) for port in watch.ports("flower", "exporter", *names))
    for name, port in zip(names, others, strict=True):
        options = ("--concurrency", tasks, "--name", name, "--metrics-port", port)
        yield name, (sys.executable, "-m", "workers", *options), f"http://127.0.0.1:{port}/metrics"
    yield "beat", (sys.executable, "-m", "beat"), ""
    yield "bus", (sys.executable, "-m", "bus"), ""
    command = (sys.executable, "-m", "cli")
    yield "exporter", (*command, "exporter", "--port", exporter), f"http://127.0.0.1:{exporter}/metrics"
    at = f"http://127.0.0.1:{flower}  as snapfleet, with FLOWER_PASSWORD from the file below"
    yield "flower", (*command, "flower", "--port", flower), at


def _migrate(stack: Stack) -> int:
    return subprocess.run(
        [sys.executable, "-m", "cli", "migrate"], env=stack.environment, stdout=sys.stderr, check=False
    ).returncode


def _provide_sample(out: Console, dsn: str, thoughts: int, asked: AskedToEnd) -> None:
    """Write the sample database where there is none; not a row of it when asked to end meanwhile."""
    if not journal.is_empty(dsn):
        return
    out.print("Writing the sample database, once …")
    with closing(journal.fill(dsn, thoughts=thoughts)) as writing:
        for _ in writing:
            if asked:
                return
    out.print(f"{'journal':<12}  {decimal(journal.size_bytes(dsn))}", highlight=False)


def _written(stack: Stack) -> Path:
    """A file for a shell to read: what leads to this fleet, passwords and all, for its owner alone."""
    file = stack.folder / "environment"
    ours = {name: value for name, value in stack.environment.items() if name in _LEADING}
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        output.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in ours.items())
    return file


def _started(out: Console, stack: Stack, name: str, argv: tuple[str, ...], address: str) -> Member:
    child = stack.spawn(name, argv)
    _say(out, name, child.pid, address)
    return Member(child=child, argv=argv, address=address, started_at=time.monotonic())


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
    again = _started(out, stack, member.child.name, member.argv, member.address)
    return replace(again, pause=pause)


def _revive(out: Console, server: Server) -> None:
    if not server.alive:
        out.print(f"{server.name} ended; starting it again", markup=False)
        server.stop()
        server.start()
        _say(out, server.name, server.pid, server.address)


def _say(out: Console, name: str, pid: int | None, address: str) -> None:
    process = f"pid {pid}" if pid else "not ours"
    out.print(f"{name:<12}  {process:<12}  {address}".rstrip(), markup=False, highlight=False, soft_wrap=True)


def _say_what_was_given(out: Console, given: Mapping[str, str], stack: Stack) -> None:
    for name in ("DATABASE_URL", "CATALOG_URL", "REDIS_URL"):
        if given.get(name):
            _say(out, name, None, _without_password(given[name]))
    if stack.seaweed is None:
        for name in ("S3_BUCKET", "SNAPSHOT_DIR"):
            if given.get(name):
                _say(out, name, None, given[name])


def _without_password(url: str) -> str:
    """Scheme, host, port and path: nothing of the user's name, nor of a query that may hold a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "set"
    if not parts.netloc:
        return "set"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
