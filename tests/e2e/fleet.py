"""A fleet to break: servers of its own, real workers and a real beat, and a database they protect.

The catalog lies on another server than the protected database, and the S3 server stands behind a gate.
Waiting here does what `--wait` does: it looks at rows, and reaps. Pauses between two attempts pass at once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import boto3
import psycopg
from psycopg import sql
from sqlalchemy import text

from embedded.postgres import Postgres
from embedded.process import Child
from embedded.seaweed import SeaweedFS
from embedded.valkey import Valkey
from shared.catalog.migration import migrate
from shared.domain.job import Job, JobKind, NewJob
from shared.operations.composition import compose
from shared.operations.fleet import Fleet
from shared.operations.jobs import dispatch, requests
from shared.settings import Settings
from shared.storage import s3
from shared.storage.repository import Repository
from tests.actors import TESTER
from tests.conftest import FAST
from tests.e2e.gate import Gate

NAME = "shop"
DEADLINE_SECONDS = 60.0
LEASE_SECONDS = 4
MIB = 1 << 20
T = TypeVar("T")

CONFIGURATION = f"""
[[databases]]
name = "{NAME}"
url_env = "SHOP_URL"
part_size = "1MiB"
parallelism = 2
every = "366d"
verify = "never"
"""
SCHEMA = """
create table big (id bigint primary key, salt text not null, pad bytea not null);
create table account (id int primary key, balance bigint not null);
create table transfer (id bigint generated always as identity primary key,
    giver int not null references account, taker int not null references account, amount bigint not null);
create index on transfer (giver);
insert into account select i, 1000 from generate_series(1, 100) i;
"""
BIG_ROWS = 60_000  # some 20 MB


class RealFleet:
    """`shop` on a server of its own, with owner, comment, grants and settings to lose."""

    def __init__(self, *, catalog_server: Postgres, folder: Path) -> None:
        self.folder = folder
        # It will be killed, and must not forget what was written before.
        self.source = Postgres(folder / "source", settings={**FAST, "synchronous_commit": "on"})
        self.valkey = Valkey(folder / "valkey", persistent=False)
        self.seaweed = SeaweedFS(folder / "seaweed")
        self.servers = (self.source, self.valkey, self.seaweed)
        for server in self.servers:
            server.begin()
        for server in self.servers:
            server.ready()
        self.gate = Gate(self.seaweed.port)
        self.catalog_server, self.catalog = catalog_server, f"catalog_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(catalog_server.dsn(), autocommit=True) as admin:
            admin.execute(sql.SQL("create database {}").format(sql.Identifier(self.catalog)))
        self._make_shop()
        (folder / "snapfleet.toml").write_text(CONFIGURATION)
        (folder / "tmp").mkdir()
        self.environment = self._environment()
        self.fleet = self._compose()
        migrate(self.fleet.catalog)
        self.children: dict[str, Child] = {}
        self._heard: dict[str, int] = {}

    def close(self) -> None:
        self.gate.open()
        for child in self.children.values():
            if child.alive:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait(timedelta(seconds=10))
        self.fleet.catalog.close()
        self.gate.__exit__()
        for server in self.servers:
            server.stop()
        with psycopg.connect(self.catalog_server.dsn(), autocommit=True) as admin:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(self.catalog)))

    # The protected database

    def url(self, name: str = NAME) -> str:
        return self.source.dsn(name, user="owner", password=self.source.secret("owner"))

    @contextmanager
    def session(self, name: str = NAME) -> Generator[psycopg.Connection]:
        """As the database's owner."""
        with psycopg.connect(self.url(name), autocommit=True) as session:
            yield session

    @contextmanager
    def admin(self) -> Generator[psycopg.Connection]:
        with psycopg.connect(self.source.dsn(), autocommit=True) as session:
            yield session

    def refill(self) -> None:
        """Other bytes in every page of the big table, such as no compression makes fewer."""
        noise = " || ".join(f"sha512(convert_to(%(salt)s || i || '{n}', 'UTF8'))" for n in range(4))
        with self.session() as shop:
            shop.execute("truncate big")
            shop.execute(
                f"insert into big select i, %(salt)s, {noise} from generate_series(1, {BIG_ROWS}) i".encode(),
                {"salt": uuid.uuid4().hex},
            )

    def content(self, name: str = NAME) -> dict[str, tuple[int, int]]:
        """Rows of each table and a digest of them."""
        found = {}
        with self.session(name) as shop:
            for table in ("big", "account", "transfer"):
                digest = (
                    f"select count(*), coalesce(sum(hashtext({table}::text)::bigint), 0)::bigint from {table}"
                )
                row = shop.execute(digest.encode()).fetchone()
                assert row is not None
                found[table] = (int(row[0]), int(row[1]))
        return found

    # The fleet

    def start(self, name: str, *argv: str) -> Child:
        child = Child(
            name,
            [sys.executable, "-m", *argv],
            environment=self.environment,
            log=self.folder / f"{name}.log",
            folder=self.folder,
        )
        self.children[name] = child
        return child

    def start_worker(self, name: str) -> Child:
        return self.start(name, "workers", "--concurrency", "1", "--name", name)

    def with_workers(self, *names: str) -> None:
        """Exactly these run."""
        for name in names:
            if name not in self.children or not self.children[name].alive:
                self.start_worker(name)
        for name in [*self.children]:
            if name not in names and name != "beat":
                self.kill_whole(name)
                del self.children[name]

    def kill_whole(self, name: str) -> None:
        """SIGKILL to a worker and all of its pool, as if its machine had gone."""
        child = self.children[name]
        if child.alive:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(timedelta(seconds=10))

    def name_of(self, pid: int) -> str:
        """The worker whose pool's child this is."""
        return next(name for name, child in self.children.items() if os.getpgid(pid) == child.pid)

    def listen(self) -> None:
        """Forget what the workers have said so far."""
        self._heard = {log.stem: log.stat().st_size for log in self.folder.glob("*.log")}

    def said(self, event: str, *names: str) -> bool:
        """Whether one of these workers has logged this since."""
        for name in names:
            with (self.folder / f"{name}.log").open("rb") as lines:
                lines.seek(self._heard.get(name, 0))
                if f'"{event}"'.encode() in lines.read():
                    return True
        return False

    # Jobs

    def take(self) -> str:
        request = requests.manual_snapshot_request(now=datetime.now(UTC), new_uuid=uuid.uuid4)
        return self._submit(JobKind.SNAPSHOT, request)

    def restore(self, *, to: str | None = None, snapshot_id: str | None = None) -> str:
        chosen = requests.choose_snapshot(self.fleet, NAME, snapshot_id=snapshot_id, at=None)
        return self._submit(JobKind.RESTORE, requests.restore_request(snapshot_id=chosen.id, to=to))

    def _submit(self, kind: JobKind, request: dict[str, Any]) -> str:
        job_id = str(uuid.uuid4())
        new = NewJob(id=job_id, kind=kind, database=NAME, request=request, idempotency_key=job_id)
        requests.submit(self.fleet, new, by=TESTER)
        return job_id

    def job(self, job_id: str) -> Job:
        return requests.find_job(self.fleet, job_id)

    def ended(self, job_id: str) -> Job:
        """The job once it is over, the fleet being reaped meanwhile."""
        return self.until(
            lambda: job if (job := self.job(job_id)).state.is_final else None,
            lambda: f"the end of {self.job(job_id)}",
        )

    def at_rest(self) -> None:
        """Wait until no job waits or runs: a snapshot is followed by a job that prunes."""

        def unfinished() -> list[str]:
            with self.fleet.catalog.transaction() as tx:
                return [f"{j.kind} {j.state} {j.error}" for j in tx.jobs.listing() if not j.state.is_final]

        self.until(lambda: not unfinished(), lambda: f"the end of {unfinished()}")

    def until(self, look: Callable[[], T | None], what: str | Callable[[], str]) -> T:
        """What `look` finds, once it finds something; reaps meanwhile, as whoever waits does."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (found := look()):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain for {what if isinstance(what, str) else what()}")
            self.pulse()
            time.sleep(0.05)
        return found

    def pulse(self) -> None:
        with self.fleet.catalog.engine.begin() as connection:
            waiting = "lease_until is null and enqueued_at is null and finished_at is null"
            connection.execute(text(f"update job set not_before = now() where {waiting}"))
        dispatch.reap(self.fleet)

    def messages_count_as_lost(self) -> None:
        """As if so much time had passed that what was rung and not claimed is rung again."""
        with self.fleet.catalog.engine.begin() as connection:
            connection.execute(
                text("update job set enqueued_at = now() - interval '2 h' where lease_until is null")
            )

    def lead(self, job_id: str) -> int:
        """The process that leads the running step."""
        owner = self.until(lambda: self.job(job_id).lease_owner, "a lead")
        return int(owner.split(":")[1])

    def hand(self, job_id: str) -> int:
        """A process that has taken a part and is not the lead."""
        lead = self.lead(job_id)
        query = text("select lease_owner from part where job_id = :id and state = 'taken'")

        def look() -> int | None:
            with self.fleet.catalog.engine.connect() as connection:
                owners = [str(owner) for owner in connection.execute(query, {"id": job_id}).scalars()]
            return next((pid for owner in owners if (pid := int(owner.split(":")[1])) != lead), None)

        return self.until(look, "a hand")

    def parts_done(self, job_id: str) -> int:
        with self.fleet.catalog.transaction() as tx:
            return tx.parts.progress(job_id).done

    @contextmanager
    def stopped_in(self, job_id: str, step: str) -> Generator[None]:
        """Inside it the step is half done and gets no further; close the gate first."""
        self.until(
            lambda: self.job(job_id).step == step and self.parts_done(job_id) > 0 and self.gate.holds,
            lambda: f"the middle of {step}: {self.job(job_id)}",
        )
        try:
            yield
        finally:
            self.gate.open()

    # Where it all is

    def secrets(self) -> list[str]:
        return [
            self.source.secret("owner"),
            self.catalog_server.password,
            self.valkey.password,
            self.seaweed.secret_key,
        ]

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],  # noqa: TID251 - programs are found as they are by a user
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "SHOP_URL": self.url(),
            "CATALOG_URL": self.catalog_server.dsn(self.catalog),
            "REDIS_URL": self.valkey.url,
            **self.seaweed.environment,
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.gate.port}",
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "LOG_FORMAT": "json",
        }

    def s3_session(self) -> boto3.Session:
        return boto3.Session(
            aws_access_key_id=self.seaweed.access_key,
            aws_secret_access_key=self.seaweed.secret_key,
            region_name=self.seaweed.region,
        )

    def _compose(self) -> Fleet:
        """What the command line would work with; its S3 client does not go through the gate."""
        settings = Settings.load(self.environment, self.folder)
        composed = compose(**settings.values())
        direct = s3.connect(
            bucket=self.seaweed.bucket, endpoint_url=self.seaweed.endpoint, session=self.s3_session()
        )
        return replace(composed, repository=Repository(direct))

    def _make_shop(self) -> None:
        with self.admin() as admin:
            password = sql.Literal(self.source.secret("owner"))
            admin.execute(sql.SQL("create role owner login createdb password {}").format(password))
            admin.execute("create role reader nologin")
            admin.execute("create database shop owner owner")
        with self.session() as shop:
            shop.execute(SCHEMA.encode())
            shop.execute("comment on database shop is 'what is sold'")
            shop.execute("revoke all on database shop from public")
            shop.execute("grant connect on database shop to reader")
            shop.execute("alter database shop set work_mem = '5MB'")


def gone(pid: int) -> bool:
    """Whether a process is dead, reaped or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
