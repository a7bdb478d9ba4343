"""The fleet of docker-compose.yml, watched by a real Prometheus with the configuration that is shipped.

Beside the file there is what an operator adds to it: a configuration file and a few variables, as an override has
them. Times are shorter here, and S3 stands behind a gate.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import time
import urllib.parse
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psycopg
import yaml
from prometheus_client.parser import text_string_to_metric_families

from embedded.process import Child
from shared.domain.access import Actor
from shared.domain.job import Job, JobKind, NewJob
from shared.operations.composition import compose
from shared.operations.jobs import dispatch, requests
from shared.settings import Settings
from tests.e2e.compose import HERE, ROOT, Host
from tests.webhook import Webhook

MONITORING = ROOT / "monitoring"
PATIENCE_SECONDS = 120.0
NAME = "app"
BAD = "a row that must not be"
ROWS = 60_000  # some 10 MB: enough to be cut into parts
ONE_SHOTS = ("migrate", "catalog-rights")
OURS = ("control", "worker", "beat", "bus", "api", "exporter", "flower")
PORT_OF = {"worker": "9465", "exporter": "9464", "flower": "5555", "prometheus": "9090"}
OVERRIDE = {
    "SNAPFLEET_CONFIG": "/etc/snapfleet/snapfleet.toml",
    "SNAPSHOT_DIR": "/srv/snapshots",
    "LEASE_SECONDS": "4",
}
CONFIGURATION = """
[[databases]]
name = "{name}"
url_file = "{secrets}/database_url"
part_size = "2MiB"
parallelism = 2
every = "366d"
verify = "always"
check = "never"
assertions = ["good.sql"]

[[notify]]
name = "on-call"
url_file = "{secrets}/pager_url"
"""

T = TypeVar("T")


class Watched(Host):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, override=OVERRIDE)
        self.webhook = Webhook()

    def begin(self) -> None:
        """The whole fleet, healthy, and scraped once; something to protect."""
        super().begin()
        self._configure()
        self._fill()
        for name in ONE_SHOTS:
            ended = self.run(name)
            assert ended.returncode == 0, ended.stderr
        self.fleet = compose(**Settings.load(self.environment("worker"), self.folder).values())
        self.start(*OURS)
        self.until_healthy(*OURS)
        self.children["prometheus"] = self._start_prometheus()
        self.until(lambda: self.query("snapfleet_build_info"), "the first scrape")

    def close(self) -> None:
        self.webhook.close()
        super().close()
        if hasattr(self, "fleet"):
            self.fleet.catalog.close()

    # The database

    def session(self) -> psycopg.Connection:
        """As the application's own role."""
        url = self.placed((self.secrets / "database_url").read_text().strip())
        return psycopg.connect(url, autocommit=True)

    def say(self, statement: str) -> None:
        with self.session() as session:
            session.execute(statement.encode())

    @contextmanager
    def locked(self, table: str) -> Generator[None]:
        """Inside it nobody else reads this table."""
        with self.session() as session, session.transaction():
            session.execute(f"lock table {table} in access exclusive mode".encode())
            yield

    # Processes

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
        job = self.ended(self.ask())
        self.until(lambda: not self.unfinished(), lambda: f"the end of {self.unfinished()}")
        return job

    def ask(self) -> str:
        """For a snapshot."""
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
        at = f"http://{HERE}:{self.ports[PORT_OF[name]]}{path}"
        try:
            answer = httpx.request(method, at, auth=who, timeout=20)
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
        """The names of those that fire."""
        return {str(labels["alertname"]) for labels, _ in self.query('ALERTS{alertstate="firing"}')}

    # How it is set up

    def _fill(self) -> None:
        self.say(
            "create table item as select i, md5(i::text) || md5((-i)::text) || md5((2*i)::text)"
            f" || md5((3*i)::text) as pad from generate_series(1, {ROWS}) i"
        )

    def _places(self, service: str) -> Mapping[str, str]:
        added = {"/etc/snapfleet": str(self.folder / "etc"), "/srv/snapshots": str(self.folder / "snapshots")}
        return {**super()._places(service), **added}

    def _configure(self) -> None:
        (self.secrets / "pager_url").write_text(self.webhook.url)
        folder = self.folder / "etc"
        folder.mkdir()
        (folder / "snapfleet.toml").write_text(CONFIGURATION.format(name=NAME, secrets=self.secrets))
        (folder / "good.sql").write_text(f"select not exists (select 1 from item where pad = '{BAD}')")

    def _start_prometheus(self) -> Child:
        """By the command of the file: only where it scrapes and how often, and how long an alert waits, is another."""
        folder = self.home("prometheus")
        config = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        del config["alerting"]
        for job in config["scrape_configs"]:
            job["static_configs"] = [{"targets": [self._target(job)]}]
            job.pop("dns_sd_configs", None)
            if job["job_name"] == "snapfleet":
                # It waits for a source that hangs for 5 seconds.
                job["scrape_timeout"] = job["scrape_interval"] = "6s"
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        rules = yaml.safe_load((MONITORING / "prometheus" / "alerts.yml").read_text())
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            rule.pop("for", None)
        (folder / "alerts.yml").write_text(yaml.safe_dump(rules))
        there = {"=/etc/prometheus": f"={folder}", "=/prometheus": f"={folder / 'data'}"}
        words = self.services["prometheus"]["command"]
        for place, here in there.items():
            words = [word.replace(place, here) for word in words]
        listening = f"--web.listen-address={HERE}:{self.ports['9090']}"
        return Child(
            "prometheus",
            [shutil.which("prometheus") or "prometheus", *words, listening],
            environment={"PATH": os.environ["PATH"]},  # noqa: TID251 - programs are found as they are by a user
            log=self.folder / "prometheus.log",
            folder=folder,
        )

    def _target(self, job: Mapping[str, Any]) -> str:
        """The same port as in the file, here."""
        if "dns_sd_configs" in job:
            port = str(job["dns_sd_configs"][0]["port"])
        else:
            port = job["static_configs"][0]["targets"][0].rpartition(":")[2]
        return f"{HERE}:{self.ports[port]}"
