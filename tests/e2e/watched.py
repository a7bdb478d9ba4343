"""A fleet that is watched: a worker, beat, an exporter, Flower, and a real Prometheus that scrapes them all."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sys
import time
import urllib.parse
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psycopg
import yaml
from prometheus_client.parser import text_string_to_metric_families
from psycopg import sql

from embedded import ports
from embedded.postgres import Postgres
from embedded.process import Child
from embedded.seaweed import SeaweedFS
from embedded.valkey import Valkey
from shared.catalog.migration import migrate
from shared.domain.access import Actor
from shared.domain.job import Job, JobKind, NewJob
from shared.operations.composition import compose
from shared.operations.jobs import dispatch, requests
from shared.settings import Settings
from tests.e2e.gate import Gate
from tests.webhook import Webhook

MONITORING = Path(__file__).parents[2] / "monitoring"
PATIENCE_SECONDS = 60.0
NAME = "shop"
BAD = "a row that must not be"
PASSWORD = "hush"
ROWS = 60_000  # some 10 MB: enough to be cut into parts

CONFIGURATION = f"""
[[databases]]
name = "{NAME}"
url_env = "SHOP_URL"
part_size = "2MiB"
parallelism = 2
every = "366d"
verify = "always"
check = "never"
assertions = ["good.sql"]

[[notify]]
name = "on-call"
url_env = "PAGER_URL"
"""

T = TypeVar("T")


class Watched:
    def __init__(self, *, postgres: Postgres, seaweed: SeaweedFS, folder: Path) -> None:
        self.folder, self._postgres = folder, postgres
        self.valkey = Valkey(folder / "valkey", persistent=False)
        self.valkey.start()
        self.gate = Gate(seaweed.port)
        self.webhook = Webhook()
        tag = uuid.uuid4().hex[:8]
        self._owner, self._names = f"owner_{tag}", (f"shop_{tag}", f"catalog_{tag}")
        with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
            role = sql.Identifier(self._owner)
            admin.execute(sql.SQL("create role {} login createdb password 'secret'").format(role))
            for name in self._names:
                admin.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(name), role))
        (folder / "snapfleet.toml").write_text(CONFIGURATION)
        (folder / "good.sql").write_text(f"select not exists (select 1 from item where pad = '{BAD}')")
        (folder / "tmp").mkdir()
        self.port = dict(zip(("worker", "exporter", "flower", "prometheus"), ports.free(4), strict=True))
        self.environment = self._environment(seaweed, tag)
        self.fleet = compose(**Settings.load(self.environment, folder).values())
        migrate(self.fleet.catalog)
        self.children: dict[str, Child] = {}

    def close(self) -> None:
        self.gate.open()
        for child in self.children.values():
            child.ask()
        for child in self.children.values():
            child.stop()
        self.fleet.catalog.close()
        self.gate.__exit__()
        self.webhook.close()
        self.valkey.stop()
        with psycopg.connect(self._postgres.dsn(), autocommit=True) as admin:
            query = "select datname from pg_database where pg_get_userbyid(datdba) = %s"
            for (name,) in admin.execute(query, [self._owner]).fetchall():
                admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(self._owner)))

    def fill(self) -> None:
        self.say(
            "create table item as select i, md5(i::text) || md5((-i)::text) || md5((2*i)::text)"
            f" || md5((3*i)::text) as pad from generate_series(1, {ROWS}) i"
        )

    def say(self, statement: str) -> None:
        with psycopg.connect(self.environment["SHOP_URL"]) as session:
            session.execute(statement.encode())

    @contextmanager
    def locked(self, table: str) -> Generator[None]:
        """Inside it nobody else reads this table."""
        with psycopg.connect(self.environment["SHOP_URL"]) as session:
            session.execute(f"lock table {table} in access exclusive mode".encode())
            yield

    # Processes

    def start(self, name: str, *argv: str) -> Child:
        child = Child(
            name,
            [sys.executable, "-m", *argv],
            environment=self.environment,
            log=self.folder / f"{name}.log",
            folder=self.folder,
            patience=timedelta(seconds=5),
        )
        self.children[name] = child
        return child

    def start_worker(self) -> None:
        port = str(self.port["worker"])
        self.start("worker", "workers", "--concurrency", "2", "--metrics-port", port)

    def start_all(self) -> None:
        self.start_worker()
        self.start("beat", "beat")
        self.start("bus", "bus")
        self.start("exporter", "cli", "exporter", "--port", str(self.port["exporter"]))
        self.start("flower", "cli", "flower", "--port", str(self.port["flower"]))
        self.children["prometheus"] = self._start_prometheus()

    def pool(self) -> list[int]:
        """The processes of the worker's pool."""
        parent = self.children["worker"].pid
        found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [int(pid) for pid in found]

    def kill_pool(self) -> None:
        for pid in self.pool():
            os.kill(pid, signal.SIGKILL)

    # Jobs

    def take(self) -> Job:
        """A snapshot, and the proof and the retention that follow it, to their end."""
        job = self.ended(self.begin())
        self.until(lambda: not self.unfinished(), lambda: f"the end of {self.unfinished()}")
        return job

    def begin(self) -> str:
        job_id = str(uuid.uuid4())
        request = requests.manual_snapshot_request(now=datetime.now(UTC), new_uuid=uuid.uuid4)
        new = NewJob(id=job_id, kind=JobKind.SNAPSHOT, database=NAME, request=request, idempotency_key=job_id)
        requests.submit(self.fleet, new, by=Actor(name="test", origin="test"))
        return job_id

    def ended(self, job_id: str) -> Job:
        def look() -> Job | None:
            job = requests.find_job(self.fleet, job_id)
            return job if job.state.is_final else None

        return self.until(look, f"the end of {job_id}")

    def unfinished(self) -> list[str]:
        with self.fleet.catalog.transaction() as tx:
            return [f"{j.kind} {j.state} {j.error}" for j in tx.jobs.listing() if not j.state.is_final]

    def until(self, look: Callable[[], T | None], what: str | Callable[[], str]) -> T:
        """What `look` finds, once it finds something; reaps meanwhile, as whoever waits does."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := look()):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain for {what if isinstance(what, str) else what()}")
            dispatch.reap(self.fleet)
            time.sleep(0.1)
        return found

    # What is seen

    def page(
        self, name: str, path: str, *, method: str = "GET", password: str | None = None
    ) -> tuple[int, str]:
        """Status and body; 0 where nobody listens yet."""
        who = None if password is None else ("snapfleet", password)
        try:
            answer = httpx.request(method, f"http://127.0.0.1:{self.port[name]}{path}", auth=who, timeout=20)
        except httpx.TransportError:
            return 0, ""
        return answer.status_code, answer.text

    def counters(self) -> dict[tuple[str, str], float]:
        """Everything that the worker counts, by name and labels."""
        status, body = self.page("worker", "/metrics")
        assert status == 200
        return {
            (sample.name, json.dumps(sample.labels, sort_keys=True)): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }

    def query(self, promql: str) -> list[tuple[Mapping[str, str], float]]:
        """What Prometheus answers, numbers only."""
        asked = urllib.parse.urlencode({"query": promql})
        _, body = self.page("prometheus", f"/api/v1/query?{asked}")
        answer: dict[str, Any] = json.loads(body or "{}")
        assert answer.get("status", "success") == "success", (promql, answer)
        found = [
            (series["metric"], float(series["value"][1]))
            for series in answer.get("data", {}).get("result", [])
        ]
        return [(labels, value) for labels, value in found if not math.isnan(value)]

    def notices(self) -> set[str]:
        """What was told by hook: kinds of events."""
        return {str(notice["title"]).split(": ")[1] for notice in self.webhook.got}

    def alerts(self) -> set[str]:
        """The names of those that fire, or wait for their time to do so."""
        return {str(labels["alertname"]) for labels, _ in self.query("ALERTS")}

    def _start_prometheus(self) -> Child:
        """With the configuration that we ship: only where it scrapes, and how often, is another."""
        config = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(MONITORING / "prometheus" / "alerts.yml")]
        del config["alerting"]
        of_job = {"snapfleet": "exporter", "snapfleet-workers": "worker"}
        for job in config["scrape_configs"]:
            job.pop("dns_sd_configs", None)
            port = self.port[of_job.get(job["job_name"], job["job_name"])]
            job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
            if job["job_name"] == "snapfleet":
                # It waits for a source that hangs for 5 seconds.
                job["scrape_timeout"] = job["scrape_interval"] = "6s"
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        return Child(
            "prometheus",
            [
                shutil.which("prometheus") or "prometheus",
                f"--config.file={self.folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.folder / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{self.port['prometheus']}",
            ],
            environment={"PATH": os.environ["PATH"]},  # noqa: TID251 - programs are found as they are by a user
            log=self.folder / "prometheus.log",
            folder=self.folder,
        )

    def _environment(self, seaweed: SeaweedFS, tag: str) -> dict[str, str]:
        shop, catalog = (self._postgres.dsn(n, user=self._owner, password="secret") for n in self._names)
        return {
            "PATH": os.environ["PATH"],  # noqa: TID251 - programs are found as they are by a user
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "SHOP_URL": shop,
            "CATALOG_URL": catalog,
            "REDIS_URL": self.valkey.url,
            **seaweed.environment,
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.gate.port}",
            "S3_PREFIX": tag,
            "SNAPSHOT_DIR": str(self.folder / "repository"),
            "LEASE_SECONDS": "4",
            "LOG_FORMAT": "json",
            "FLOWER_PASSWORD": PASSWORD,
            "PAGER_URL": self.webhook.url,
        }
