"""`make bench-queue`: many tiny databases at once, how soon a doorbell is answered, and what a fleet costs at rest.

    names (1,000) ──► places (20 real databases): what is snapshotted is tiny, what is kept track of is not

Each snapshot is followed by its job that prunes, and both count as one. Processor seconds, and what the servers have
counted, say more than seconds by the wall wherever others are at work.
"""

# ruff: noqa: T201 - what a benchmark has to say is its output
from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import psycopg
from sqlalchemy import text

from benchmarks.fleet import composed, facts, wait_until_ready
from benchmarks.speed.measure import cpu_of
from benchmarks.speed.ours import Ours
from benchmarks.speed.site import ADDRESSES, Named, Site, bins
from embedded import ports
from embedded.process import Child, clean_environment
from shared import logs
from shared.broker.doorbell import MemoryDoorbell
from shared.catalog.migration import migrate
from shared.domain.ids import new_snapshot_id
from shared.operations.fleet import Fleet
from shared.operations.upkeep import schedule

PLACES = 20
SCRAPE_EVERY = 15.0

STATEMENTS = """
select coalesce(sum(calls) filter (where datname = 'catalog' and not control), 0)::bigint as catalog_statements,
       coalesce(sum(calls) filter (where datname = 'catalog' and control), 0)::bigint as catalog_begins_and_ends,
       coalesce(sum(calls) filter (where datname like 'tiny%' and not control), 0)::bigint as source_statements
  from (select calls, dbid, query ilike any (array['begin%', 'commit%', 'rollback%']) as control
          from pg_stat_statements) s
  join pg_database d on d.oid = s.dbid"""
SESSIONS = """
select coalesce(sum(sessions) filter (where datname like 'tiny%'), 0)::bigint as source_sessions,
       coalesce(sum(sessions) filter (where datname = 'catalog'), 0)::bigint as catalog_sessions,
       (select coalesce(sum(fsyncs), 0) from pg_stat_io where object = 'wal')::bigint as log_flushes
  from pg_stat_database"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    databases: int = 1_000
    jobs: int = 200
    doorbells: int = 100
    idle_seconds: float = 60.0
    """0: rest is not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All of one run."""

    tiny_snapshots_per_second: float
    tiny_snapshots_per_cpu_second: float
    """Of all processes together, the servers too: what one core gives that nobody else takes anything of."""
    doorbell_to_claim_p50_ms: float
    doorbell_to_claim_p99_ms: float
    per_job: Mapping[str, float]
    """What the servers counted, and milliseconds of processor time, for one snapshot and its pruning."""
    idle_cores: Mapping[str, float]
    """Of each process of a fleet at rest."""
    ticks: Mapping[str, float]
    """Seconds and statements of a tick over all databases: with nothing due, and with everything."""


def measure(site: Site, load: Load) -> Figures:
    """On servers that run, with PostgreSQL 18: one worker process to a core, one task at a time in each."""
    cores = os.cpu_count() or 1
    named = named_databases(site, load.databases)
    with fleet_of(site, named, workers=cores) as running:
        ours = Ours(fleet=running.fleet, children=running.workers)
        names = itertools.cycle([each.name for each in named])
        for _ in range(2 * cores):
            ours.snapshot(next(names))
        waits = sorted(answered(ours, next(names)) for _ in range(load.doorbells))
        processes = {"worker": [child.pid for child in running.workers]} | servers(site)
        counts, used, began = counted(site), used_by(processes), time.monotonic()
        for _ in range(load.jobs):
            ours.submit_snapshot(next(names))
        ours.rest()
        seconds = time.monotonic() - began
        spent = less(used_by(processes), used)
        per_job = less(counted(site), counts) | {f"{name}_cpu_ms": 1000 * s for name, s in spent.items()}
        idle = dict[str, float]()
        if load.idle_seconds:
            with running.others() as others:
                idle = at_rest(processes | others, load.idle_seconds, exporter=running.exporter_port)
            idle["a worker"] = idle["worker"] / cores
        ticks = ticked(site, running.fleet)
    return Figures(
        tiny_snapshots_per_second=load.jobs / seconds,
        tiny_snapshots_per_cpu_second=load.jobs / sum(spent.values()),
        doorbell_to_claim_p50_ms=1000 * waits[len(waits) // 2],
        doorbell_to_claim_p99_ms=1000 * waits[min(len(waits) - 1, int(len(waits) * 0.99))],
        per_job={name: count / load.jobs for name, count in per_job.items()},
        idle_cores=idle,
        ticks=ticks,
    )


def named_databases(site: Site, count: int) -> list[Named]:
    places = [f"tiny_{number:02}" for number in range(PLACES)]
    if count > len(places) * len(ADDRESSES):
        raise SystemExit(f"at most {len(places) * len(ADDRESSES)} databases")
    for name in places:
        site.create(name)
        with psycopg.connect(site.url(name), autocommit=True) as session:
            session.execute("create table note (id int primary key, text text)")
            session.execute("insert into note select i, 'note ' || i from generate_series(1, 100) i")
    with site.admin("catalog") as admin:
        admin.execute("create extension if not exists pg_stat_statements")
    pairs = islice(itertools.product(ADDRESSES, places), count)
    return [
        Named(name=f"tiny-{number:04}", url=site.url(place, address=address), parallelism=1)
        for number, (address, place) in enumerate(pairs)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    fleet: Fleet
    workers: Sequence[Child]
    environment: Mapping[str, str]
    folder: Path
    exporter_port: int

    @contextmanager
    def others(self) -> Generator[dict[str, list[int]]]:
        """All that belongs to a fleet beside its workers, started."""
        argv = {
            "beat": ("beat",),
            "bus": ("bus",),
            "api": ("api",),
            "exporter": ("cli", "exporter", "--port", str(self.exporter_port)),
        }
        children = [spawned(name, words, self.environment, self.folder) for name, words in argv.items()]
        try:
            yield {child.name: [child.pid] for child in children}
        finally:
            for child in children:
                child.stop()


@contextmanager
def fleet_of(site: Site, named: Sequence[Named], *, workers: int) -> Generator[Running]:
    folder = site.folder / f"fleet-{uuid.uuid4().hex[:8]}"
    (folder / "tmp").mkdir(parents=True)
    environment = environment_of(site, folder, named)
    fleet = composed(environment)
    migrate(fleet.catalog)
    names = [f"w{number}" for number in range(1, workers + 1)]
    children = [
        spawned(name, ("workers", "--concurrency", "1", "--name", name), environment, folder)
        for name in names
    ]
    try:
        wait_until_ready(children)
        yield Running(
            fleet=fleet,
            workers=children,
            environment=environment,
            folder=folder,
            exporter_port=ports.free(1)[0],
        )
    finally:
        for child in children:
            child.stop()
        fleet.catalog.close()


def environment_of(site: Site, folder: Path, named: Sequence[Named]) -> Mapping[str, str]:
    """Of every process of the fleet. Nothing is due by itself."""
    (folder / "snapfleet.toml").write_text(
        "".join(
            f'[[databases]]\nname = "{each.name}"\nurl_env = "URL_{number}"\n'
            f'parallelism = 1\nevery = "366d"\nverify = "never"\ncheck = "never"\n'
            for number, each in enumerate(named)
        )
    )
    catalog = site.postgres.dsn("catalog", user="catalog", password=site.postgres.secret("catalog"))
    return {
        **clean_environment(folder),
        **site.seaweed.environment,
        **{f"URL_{number}": each.url for number, each in enumerate(named)},
        "TMPDIR": str(folder / "tmp"),
        "SNAPFLEET_CONFIG": str(folder / "snapfleet.toml"),
        "CATALOG_URL": catalog,
        "REDIS_URL": site.valkey.url,
        "PG_BIN_DIR": str(site.bin_dir),
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "API_PORT": "0",
        "API_ANONYMOUS": "true",
    }


def spawned(name: str, words: Sequence[str], environment: Mapping[str, str], folder: Path) -> Child:
    argv = [sys.executable, "-m", *words]
    return Child(name, argv, environment=environment, log=folder / f"{name}.log")


def answered(ours: Ours, name: str) -> float:
    """Seconds from the row of a job to its first step, in an idle fleet."""
    job_id = ours.submit_snapshot(name)
    ours.ended(job_id)
    ours.rest()
    query = text(
        "select extract(epoch from min(s.started_at) - j.created_at) from job j join job_step s on s.job_id = j.id"
        " where j.id = :id group by j.created_at"
    )
    with ours.fleet.catalog.engine.connect() as catalog:
        return float(catalog.execute(query, {"id": job_id}).scalar_one())


def at_rest(processes: Mapping[str, Sequence[int]], seconds: float, *, exporter: int) -> dict[str, float]:
    """Cores that each of them uses; the exporter is asked as often as Prometheus asks."""
    url = f"http://127.0.0.1:{exporter}/metrics"
    settled = time.monotonic() + SCRAPE_EVERY
    while time.monotonic() < settled:  # whatever a start costs is no rest
        time.sleep(1.0)
    used, began = used_by(processes), time.monotonic()
    while (left := began + seconds - time.monotonic()) > 0:
        with urllib.request.urlopen(url, timeout=30) as answer:
            answer.read()
        time.sleep(min(SCRAPE_EVERY, max(left, 0.1)))
    passed = time.monotonic() - began
    return {name: spent / passed for name, spent in less(used_by(processes), used).items()}


def ticked(site: Site, fleet: Fleet) -> dict[str, float]:
    """With a doorbell that nobody hears: what is made is not run."""
    unheard = replace(fleet, doorbell=MemoryDoorbell())
    found = dict[str, float]()
    for what in ("nothing_due", "all_due"):
        if what == "all_due":
            with site.admin("catalog") as admin:
                admin.execute("update database set slots_until = now() - interval '367 days'")
        counts, began = counted(site), time.monotonic()
        made = schedule.tick(
            unheard,
            new_job_id=lambda: str(uuid.uuid4()),
            new_snapshot_id=lambda now: new_snapshot_id(now.astimezone(UTC), uuid.uuid4()),
        )
        found[f"{what}_seconds"] = time.monotonic() - began
        found[f"{what}_statements"] = less(counted(site), counts)["catalog_statements"]
        found[f"{what}_jobs"] = made
    return found


def servers(site: Site) -> dict[str, list[int]]:
    found = {"postgres": site.postgres, "s3": site.seaweed, "redis": site.valkey}
    return {name: [server.pid] for name, server in found.items()}


def used_by(processes: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Seconds that they, and all that they have started, have used."""
    return {name: cpu_of(roots) for name, roots in processes.items()}


def counted(site: Site) -> dict[str, float]:
    with site.admin("catalog") as admin:
        found = dict[str, float]()
        for query in (STATEMENTS, SESSIONS):
            cursor = admin.execute(query.encode())
            row = cursor.fetchone()
            if row is not None and cursor.description is not None:
                found |= {
                    column.name: float(value) for column, value in zip(cursor.description, row, strict=True)
                }
        return found


def less(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: value - before[name] for name, value in after.items()}


def main() -> int:
    """Print the figures, as JSON if wanted."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    for name, value in asdict(Load()).items():
        options.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options.add_argument("--json", action="store_true")
    given = vars(options.parse_args())
    as_json = given.pop("json")
    logs.configure(level="critical", style="console")
    with tempfile.TemporaryDirectory(prefix="snapfleet-bench-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        site = Site(place, major=18, bin_dir=bins()[18], addresses=ADDRESSES)
        with site:
            os.environ.update(site.seaweed.environment)  # noqa: TID251 - the S3 client finds its keys there
            found = measure(site, Load(**given))
    if as_json:
        print(json.dumps(asdict(found)))
        return 0
    print(f"{datetime.now(UTC):%Y-%m-%d}: {facts()}")
    for name, value in asdict(found).items():
        told = value if isinstance(value, dict) else {"": value}
        for what, figure in told.items():
            print(f"  {name + (' ' + what if what else ''):<48} {figure:10.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
