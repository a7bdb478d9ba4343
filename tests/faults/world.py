"""A world to break: real servers, a database under protection, and processes that run its jobs.

One world serves many cases, one after another. `shop` lies on a server of its own, the catalog on another;
everything that speaks to S3, Redis or the catalog can be sent through a wire that misbehaves. Steps run in
processes forked from this one, each with a fleet composed of its own, so that a real signal costs a
fraction of a second. What waits in production (leases of the dead, pauses between attempts, lost
messages) passes at once, unless the wait is what a case is about.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import boto3
import psycopg
import redis
from psycopg import sql
from sqlalchemy import text

from embedded.postgres import Postgres
from embedded.seaweed import SeaweedFS
from embedded.valkey import Valkey
from shared import failpoints
from shared.broker.doorbell import MemoryDoorbell
from shared.catalog import catalog
from shared.catalog.catalog import Catalog
from shared.catalog.migration import migrate
from shared.domain.database import Database
from shared.domain.job import Job, JobState, Lane
from shared.domain.retention import Policy
from shared.domain.snapshot import Reason, Snapshot, SnapshotState
from shared.locks.redis import PREFIX, RedisLocks
from shared.operations.composition import compose
from shared.operations.fleet import Fleet
from shared.operations.jobs import dispatch
from shared.operations.jobs.saga import lock_of
from shared.settings import Settings
from shared.storage import s3
from shared.storage.repository import Repository
from tests.faults.actors import Cast
from tests.faults.crew import Crew
from tests.faults.pids import is_gone, pid_of
from tests.faults.shop import Content, Shop
from tests.faults.wire import Wires

NAME = "shop"
LEASE = timedelta(seconds=6)
READ = timedelta(seconds=30)
DEADLINE_SECONDS = 60.0
PULSE_SECONDS = 0.15
CONFIGURATION = f"""
[[databases]]
name = "{NAME}"
url_env = "SHOP_URL"
part_size = "4MiB"
parallelism = 2
every = "366d"
verify = "never"
"""
# A power cut of the machine is not tried here, but a crash of the server is: nothing reported may be lost.
SERVER = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "jit": "off",
    # Logging in, which is not what is tested here, is most of what some steps would do.
    "scram_iterations": "1",
}
OWNERS = """
select lease_owner from job where lease_until > now() union select lease_owner from part where lease_until > now()
"""
T = TypeVar("T")


class World:
    """Servers, `shop`, the catalog, and who works in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = Postgres(folder / "source", settings=SERVER)
        self.catalog_server = Postgres(folder / "catalog", settings=SERVER)
        self.valkey = Valkey(folder / "valkey", persistent=False)
        self.seaweed = SeaweedFS(folder / "seaweed")
        self.wires = Wires(folder / "wires")
        self.servers = (self.source, self.catalog_server, self.valkey, self.seaweed)
        for server in self.servers:
            server.begin()
        for server in self.servers:
            server.ready()
        for name in ("tmp", "points", "logs", "home"):
            (folder / name).mkdir()
        self.points = folder / "points"
        self.wires.lead(s3=self.seaweed.port, redis=self.valkey.port, catalog=self.catalog_server.port)
        self.shop = Shop(self.source, NAME)
        with psycopg.connect(self.catalog_server.dsn(), autocommit=True) as admin:
            password = sql.Literal(self.catalog_server.secret("keeper"))
            admin.execute(sql.SQL("create role keeper login password {}").format(password))
            admin.execute("create database catalog owner keeper")
        (folder / "snapfleet.toml").write_text(CONFIGURATION)
        self.environment = self._environment()
        self._boto = boto3.Session(
            aws_access_key_id=self.seaweed.access_key,
            aws_secret_access_key=self.seaweed.secret_key,
            region_name=self.seaweed.region,
        )
        # Never used itself: the fleets of the processes are made after it, and it is what settings amount to.
        self._composed = compose(**Settings.load(self.environment, folder).values())
        self._keep, self._warm = 100, False
        self.fleet = self.compose()
        migrate(self.fleet.catalog)
        failpoints.arm(self.points)
        self.cast = Cast(self)
        self.crew = Crew(self)
        self.golden: Content = ()
        self.golden_id = ""
        self.golden_job = ""
        self.safeguarded = False
        """Whether restores take a safety snapshot first."""
        self.restored: tuple[str, tuple[Content, Content]] | None = None
        """A restore that can be undone, and the two contents that change places then."""
        self.seen_whole: set[str] = set()
        """Snapshots that were read to the last byte."""
        self.read_until: dict[Path, int] = {}
        """How far each log was searched."""
        self._must_stay: set[str] = set()
        self._pulsed_at = 0.0

    def close(self) -> None:
        self.cast.kill_all()
        self.crew.dismiss()
        self.fleet.catalog.close()
        self.wires.close()
        for server in self.servers:
            server.stop()

    def begin(self) -> None:
        """Before each case: nothing is planned, everybody is ordinary, and what retention must keep is noted."""
        self.forget()
        self.cast.reset()
        self.keep = 100
        self.warm = False
        self.safeguarded = False
        self.note_what_stays()

    def note_what_stays(self) -> None:
        """What is pinned, and as many of the newest as the policy says; safety snapshots do not count."""
        sealed = self.sealed()
        ordinary = [s for s in sealed if s.reason is not Reason.SAFEGUARD]
        self._must_stay = {s.id for s in ordinary[: self.keep]} | {s.id for s in sealed if s.pinned}

    def must_stay(self) -> set[str]:
        return self._must_stay

    def loose(self) -> list[str]:
        """Sealed snapshots that retention may take, the newest first: refuted ones go by a count of their own."""
        ordinary = [s for s in self.sealed() if not s.pinned and s.reason is not Reason.SAFEGUARD]
        return [s.id for s in ordinary if s.refuted_at is None]

    def sealed(self) -> list[Snapshot]:
        """The newest first."""
        with self.fleet.catalog.transaction() as tx:
            snapshots = tx.snapshots.listing(database=NAME)
        return [snapshot for snapshot in snapshots if snapshot.state is SnapshotState.SEALED]

    def s3_client(self) -> Any:
        return self._boto.client("s3", endpoint_url=self.seaweed.endpoint)

    def let_go(self) -> None:
        """In a process forked from ours: the folders of the servers are not held by it."""
        for server in self.servers:
            server._lock.release()  # noqa: SLF001 - a server has no use for this but here

    # Fleets

    @property
    def keep(self) -> int:
        """How many snapshots retention keeps."""
        return self._keep

    @keep.setter
    def keep(self, many: int) -> None:
        self._keep = many
        self.fleet = replace(self.fleet, databases=self._databases())

    @property
    def warm(self) -> bool:
        """Whether what a proof has restored is kept."""
        return self._warm

    @warm.setter
    def warm(self, kept: bool) -> None:
        self._warm = kept
        self.fleet = replace(self.fleet, databases=self._databases())

    def _databases(self) -> dict[str, Database]:
        policy = Policy(last=self.keep)
        return {NAME: replace(self._composed.databases[NAME], policy=policy, warm=self.warm)}

    def compose(
        self,
        *,
        lease: timedelta = LEASE,
        wired: bool = False,
        read_timeout: timedelta = READ,
        forked: bool = False,
        **changes: Any,
    ) -> Fleet:
        """What a process of the fleet works with; `wired` has it reach S3, Redis and catalog by the wires."""
        endpoint = f"http://127.0.0.1:{self.wires.port('s3')}" if wired else self.seaweed.endpoint
        made = replace(
            self._composed,
            catalog=self._catalog(forked=forked, wired=wired),
            locks=RedisLocks.connect(self.redis_url(wired=wired)),
            repository=Repository(
                s3.connect(
                    bucket=self.seaweed.bucket,
                    endpoint_url=endpoint,
                    session=self._boto,
                    read_timeout=read_timeout,
                )
            ),
            doorbell=MemoryDoorbell(),
            databases=self._databases(),
            lease=lease,
            lock_wait=timedelta(seconds=1),
            owner=f"actor:{os.getpid()}",
        )
        return replace(made, **changes)

    def _catalog(self, *, forked: bool, wired: bool) -> Catalog:
        """A forked process has connections of its own, and keeps the statements that ours has compiled."""
        if wired or not forked:
            return catalog.connect(self.catalog_url(wired=wired))
        self.fleet.catalog.engine.dispose(close=False)
        return self.fleet.catalog

    def catalog_url(self, *, wired: bool = False) -> str:
        url = self.catalog_server.dsn("catalog", user="keeper", password=self.catalog_server.secret("keeper"))
        return (
            url.replace(f":{self.catalog_server.port}/", f":{self.wires.port('catalog')}/") if wired else url
        )

    def redis_url(self, *, wired: bool = False) -> str:
        url = self.valkey.url
        return url.replace(f":{self.valkey.port}/", f":{self.wires.port('redis')}/") if wired else url

    def secrets(self) -> list[str]:
        return [
            self.source.secret("owner"),
            self.source.password,
            self.catalog_server.secret("keeper"),
            self.valkey.password,
            self.seaweed.secret_key,
        ]

    # Faults

    def plan(self, point: str, act: str) -> None:
        """Let the first process that reaches this moment be struck there."""
        (self.points / point).write_text(act)

    def struck(self, point: str) -> bool:
        return (self.points / f"{point}{failpoints.STRUCK}").exists()

    def release(self, point: str) -> None:
        """Let whoever is held there go on."""
        (self.points / f"{point}{failpoints.STRUCK}").unlink()

    def passed(self) -> list[str]:
        """Every moment that was reached since `forget`, each once, in order."""
        file = self.points / failpoints.PASSED
        return list(dict.fromkeys(file.read_text().split())) if file.exists() else []

    def forget(self) -> list[str]:
        """Plan nothing any more; where something has struck."""
        struck = [
            path.name.removesuffix(failpoints.STRUCK) for path in self.points.glob(f"*{failpoints.STRUCK}")
        ]
        for path in self.points.iterdir():
            path.unlink()
        self.wires.mend()
        return struck

    @contextmanager
    def held_at(self, point: str, start: Callable[[], Any]) -> Generator[None]:
        """Inside it a process stands at this moment; afterwards it goes on."""
        self.plan(point, "hold")
        start()
        self.work_until(lambda: self.struck(point), f"somebody at {point}")
        try:
            yield
        finally:
            if self.struck(point):
                self.release(point)

    # Work

    def job(self, job_id: str) -> Job:
        with self.fleet.catalog.transaction() as tx:
            found = tx.jobs.get(job_id)
        assert found is not None, job_id
        return found

    def unfinished(self) -> list[Job]:
        with self.fleet.catalog.transaction() as tx:
            return [job for id_ in self._unfinished() if (job := tx.jobs.get(id_)) is not None]

    def _unfinished(self) -> list[str]:
        query = text("select id::text from job where finished_at is null order by created_at, id")
        with self.fleet.catalog.engine.connect() as connection:
            return [str(found) for found in connection.execute(query).scalars()]

    def work_until(
        self, look: Callable[[], T | None], what: str | Callable[[], str], *, pause: float = 0.01
    ) -> T:
        """Let whoever is needed come to work until `look` finds something."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (found := look()):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain for {what if isinstance(what, str) else what()}")
            if self.cast.lost_somebody() or time.monotonic() > self._pulsed_at + PULSE_SECONDS:
                self.pulse()
            time.sleep(pause)
        return found

    def settle(self) -> None:
        """Work until no job waits or runs."""
        self.work_until(
            lambda: not self.unfinished(),
            lambda: f"the end of {[(str(j.kind), str(j.state), j.step, j.error) for j in self.unfinished()]}",
            pause=0.03,
        )
        self.cast.leave()
        with redis.Redis.from_url(self.valkey.url) as client:  # of the dead, who held it when all was done
            for lane in Lane:
                client.pexpire(f"{PREFIX}{lock_of(NAME, lane)}", 1)

    def ended(self, job_id: str) -> Job:
        """The job once it and all that it gave rise to is over."""
        self.settle()
        return self.job(job_id)

    def pulse(self) -> None:
        """What beat and time do: the dead are found, waiting is over, and whoever is rung for comes."""
        self._pulsed_at = time.monotonic()
        self.cast.count()
        with self.fleet.catalog.engine.begin() as connection:
            if gone := [p for p in map(pid_of, connection.execute(text(OWNERS)).scalars()) if is_gone(p)]:
                ended = "lease_until = now() - interval '1 s' where lease_until > now() and lease_owner like any (:who)"
                values = {"who": [f"%:{pid}:%" for pid in gone]}
                connection.execute(text(f"update job set {ended}"), values)
                connection.execute(text(f"update part set {ended}"), values)
            waiting = "lease_until is null and enqueued_at is null and state in ('active', 'rolling_back')"
            connection.execute(text(f"update job set not_before = now() where {waiting}"))
        dispatch.reap(self.fleet)
        for job in self.unfinished():
            if job.state is not JobState.PENDING and job.lease_until is None:
                self.cast.call(job)

    def a_day_passes(self) -> None:
        """For what retention waits for."""
        with self.fleet.catalog.engine.begin() as connection:
            connection.execute(text("update chunk set touched_at = touched_at - interval '25 h'"))
            times = ("created_at", "taken_at", "sealed_at", "failed_at", "verified_at", "kept_until")
            earlier = ", ".join(f"{name} = {name} - interval '25 h'" for name in times)
            connection.execute(text(f"update snapshot set {earlier}"))

    def messages_are_lost(self) -> None:
        """So much time passes that what was rung and not claimed is rung again."""
        with self.fleet.catalog.engine.begin() as connection:
            connection.execute(
                text("update job set enqueued_at = now() - interval '2 h' where lease_until is null")
            )

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],  # noqa: TID251 - programs are found as they are by a user
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "SHOP_URL": self.shop.url,
            "CATALOG_URL": self.catalog_url(),
            "REDIS_URL": self.redis_url(),
            **self.seaweed.environment,
            "LEASE_SECONDS": "4",
            "LOG_FORMAT": "json",
        }


def new_key() -> str:
    return str(uuid.uuid4())
