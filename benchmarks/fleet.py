"""A real fleet to measure: the embedded servers, the sample journal, worker processes by number."""

# ruff: noqa: T201 - what a benchmark has to say is its output
from __future__ import annotations

import itertools
import os
import platform
import sys
import tempfile
import time
import uuid
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from embedded import databases, journal
from embedded.process import Child, clean_environment
from embedded.stack import Stack
from shared import logs
from shared.catalog.migration import migrate
from shared.domain.access import Actor
from shared.domain.job import JobKind, JobState, NewJob
from shared.operations.composition import compose
from shared.operations.fleet import Fleet
from shared.operations.jobs import following, requests
from shared.settings import Settings

READY_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Seconds of one job's steps, and its result."""

    steps: Mapping[str, float]
    result: Mapping[str, object]

    @property
    def total(self) -> float:
        return sum(self.steps.values())


class Bench:
    """The servers and the journal. Each `workers` is a fleet that calls the database by a new name.

    Under a new name nothing is known of what is stored already: every chunk is compressed and put again.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._names = (f"round-{number}" for number in itertools.count(1))

    @contextmanager
    def workers(self, count: int, *, beat: bool = False) -> Generator[tuple[Fleet, tuple[Child, ...]]]:
        """So many worker processes of one task at a time each, ready for work."""
        self.stack.environment["DATABASE_NAME"] = next(self._names)
        fleet = composed(self.stack.environment)
        argv = {f"worker-{n}": ("workers", "--concurrency", "1") for n in range(1, count + 1)}
        children = tuple(
            self.stack.spawn(name, (sys.executable, "-m", *words, "--name", name))
            for name, words in argv.items()
        )
        if beat:
            children += (self.stack.spawn("beat", (sys.executable, "-m", "beat")),)
        try:
            migrate(fleet.catalog)
            wait_until_ready(children[:count])
            yield fleet, children
        finally:
            for child in children:
                child.stop()
                child.log.unlink()
            fleet.catalog.close()
            self._drop_parked()

    def _drop_parked(self) -> None:
        """What restores replaced: many of them would fill the disk."""
        if self.stack.postgres is None:
            raise RuntimeError("a benchmark has a PostgreSQL of its own")
        kept = [databases.CATALOG, databases.JOURNAL, "postgres"]
        with psycopg.connect(self.stack.postgres.dsn(), autocommit=True) as admin:
            query = "select datname from pg_database where not datistemplate and datname <> all(%s)"
            for (name,) in admin.execute(query, (kept,)).fetchall():
                admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@contextmanager
def bench(thoughts: int) -> Generator[Bench]:
    """Everything in a temporary folder, the journal written."""
    logs.configure(level="critical", style="console")
    with tempfile.TemporaryDirectory(prefix="snapfleet-bench-") as folder:
        home = Path(folder)
        with Stack(home, environ=clean_environment(home)) as stack:
            os.environ.update(stack.environment)  # noqa: TID251 - the S3 client finds its keys there
            with compose_once(stack) as fleet:
                migrate(fleet.catalog)
            for _ in journal.fill(stack.environment["DATABASE_URL"], thoughts=thoughts):
                pass
            size = journal.size_bytes(stack.environment["DATABASE_URL"])
            print(f"{facts()}; the journal has {size / 1e6:.0f} MB")
            yield Bench(stack)


@contextmanager
def compose_once(stack: Stack) -> Generator[Fleet]:
    fleet = composed(stack.environment)
    yield fleet
    fleet.catalog.close()


def composed(environment: Mapping[str, str]) -> Fleet:
    settings = Settings.load(environment, Path(environment["HOME"]))
    return compose(**settings.values())


def wait_until_ready(workers: Iterable[Child]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    for worker in workers:
        while " ready." not in worker.log.read_text():
            if not worker.alive or time.monotonic() > deadline:
                raise SystemExit(f"{worker.name} does not start: {worker.last_words()}")
            time.sleep(0.05)


def snapshot(fleet: Fleet) -> Measured:
    request = requests.manual_snapshot_request(now=datetime.now(UTC), new_uuid=uuid.uuid4)
    return run(fleet, JobKind.SNAPSHOT, request)


def restore(fleet: Fleet) -> Measured:
    name = fleet.database(None).name
    newest = requests.choose_snapshot(fleet, name, snapshot_id=None, at=None)
    return run(fleet, JobKind.RESTORE, requests.restore_request(snapshot_id=newest.id))


def run(fleet: Fleet, kind: JobKind, request: Mapping[str, object]) -> Measured:
    new = NewJob(
        id=str(uuid.uuid4()),
        kind=kind,
        database=fleet.database(None).name,
        request=request,
        idempotency_key=str(uuid.uuid4()),
    )
    requests.submit(fleet, new, by=Actor(name="benchmark", origin="benchmark"))
    *_, last = following.follow(fleet, new.id)
    if last.job.state is not JobState.SUCCEEDED:
        raise SystemExit(f"the {kind} {last.job.state}: {last.job.error}")
    with fleet.catalog.transaction() as tx:
        steps = {
            step.name: (step.finished_at - step.started_at).total_seconds()
            for step in tx.jobs.steps(new.id)
            if step.started_at is not None and step.finished_at is not None
        }
    return Measured(steps=steps, result=last.job.result)


def facts() -> str:
    """The machine, for whoever reads the figures."""
    with Path("/proc/cpuinfo").open() as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GB, Python {platform.python_version()}, load {load:.1f}"
