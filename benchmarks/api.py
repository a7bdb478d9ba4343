"""Fifty clients of the REST API, mixed, for a minute, over a catalog of 100,000 snapshots: how long answers take.

make bench-api        exit status 0 only without any 5xx, and with the 99th percentile of reads under 250 ms
"""

# ruff: noqa: T201 - what it has to say is its output
from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
from sqlalchemy import text

from embedded.postgres import Postgres
from embedded.process import Child, clean_environment
from embedded.valkey import Valkey
from shared import logs
from shared.catalog import catalog
from shared.catalog.migration import migrate
from shared.domain import tokens
from shared.domain.access import Role
from shared.domain.tokens import Token

DATABASE = "big"
READ_LIMIT_SECONDS = 0.25
FAILED_SHARE = 0.3
"""Of the pages, so many are of failed snapshots only."""
FILL = """
insert into database (name) values ('big');
insert into snapshot (id, database, sequence, state, reason, manifest_sha256, taken_at, sealed_at, raw_bytes,
                      stored_bytes, row_count, table_rows, created_at, verified_at, labels)
select to_char(moment, 'YYYYMMDD"T"HH24MISS"Z"') || '-' || lpad(to_hex(n), 6, '0'), 'big', n,
       case when n % 50 = 0 then 'failed' when n % 3 = 0 then 'deleted' else 'sealed' end, 'schedule',
       md5(n::text), moment, moment, 4000000 + n, 1000000 + n, n, '{"public.item": 5}', moment,
       case when n % 10 = 0 and n % 50 <> 0 and n % 3 <> 0 then moment end, '{}'
  from (select n, timestamptz '2020-01-01 00:00:00+00' + n * interval '30 minutes' as moment
          from generate_series(1, :snapshots) n) each;
insert into job (id, kind, database, state, idempotency_key, deadline_at, created_at, finished_at, request)
select gen_random_uuid(), 'check', 'big', 'succeeded', 'filled:' || n, now(), moment, moment,
       '{"apply": null}'
  from (select n, timestamptz '2020-01-01 00:00:00+00' + n * interval '30 minutes' as moment
          from generate_series(1, :snapshots) n) each;
update snapshot set standing_of = md5((to_jsonb(snapshot) - array['standing_of', 'table_rows'])::text);
"""


@dataclass
class Tally:
    """What was asked, what was answered, and how long that took."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[int] = field(default_factory=Counter)
    cpu_seconds: float = 0.0
    """Of the API's process: what an answer costs, however busy the machine is with other things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    clients: int
    seconds: int
    snapshots: int
    pause: float


class Client:
    """Asks one thing after another, with a short pause in between, as a script or a page would."""

    def __init__(self, http: httpx.AsyncClient, tally: Tally, dice: random.Random, known: list[str]) -> None:
        self.http, self.tally, self.dice, self.known = http, tally, dice, known
        self.cursor: str | None = None
        self.etag = ""

    async def act(self) -> None:
        acts: Mapping[Callable[[], object], int] = {
            self.page: 30,
            self.one: 25,
            self.again: 10,
            self.jobs: 15,
            self.database: 8,
            self.pin: 5,
            self.ask: 7,
        }
        (chosen,) = self.dice.choices(list(acts), weights=list(acts.values()))
        await chosen()  # type: ignore[misc] # each is a coroutine function

    async def page(self) -> None:
        params = {"limit": 50} | ({"before": self.cursor} if self.cursor else {})
        if self.dice.random() < FAILED_SHARE:
            params, self.cursor = {"limit": 50, "state": "failed"}, None
        found = await self.get("read: a page of snapshots", f"/v1/databases/{DATABASE}/snapshots", params)
        if "state" not in params:
            self.cursor = found.json().get("next")

    async def one(self) -> None:
        await self.get("read: a snapshot", f"/v1/snapshots/{self.dice.choice(self.known)}")

    async def again(self) -> None:
        at = f"/v1/snapshots/{self.known[0]}"
        found = await self.get("read: known already", at, headers={"If-None-Match": self.etag})
        self.etag = found.headers.get("etag", "")

    async def jobs(self) -> None:
        await self.get("read: a page of jobs", "/v1/jobs", {"limit": 50, "kind": "check"})

    async def database(self) -> None:
        await self.get("read: a database", f"/v1/databases/{DATABASE}")

    async def pin(self) -> None:
        await self.send("write: pin", "PUT", f"/v1/snapshots/{self.dice.choice(self.known)}/pin")

    async def ask(self) -> None:
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        await self.send("write: a job", "POST", f"/v1/databases/{DATABASE}/checks", headers=headers)

    async def get(
        self, what: str, path: str, params: Mapping[str, str | int] | None = None, **more: Mapping[str, str]
    ) -> httpx.Response:
        return await self.send(what, "GET", path, params=params or {}, **more)

    async def send(
        self, what: str, method: str, path: str, **more: Mapping[str, str | int]
    ) -> httpx.Response:
        began = time.monotonic()
        answered = await self.http.request(method, path, **more)  # type: ignore[arg-type] # headers and params
        self.tally.seconds[what].append(time.monotonic() - began)
        self.tally.statuses[answered.status_code] += 1
        return answered


async def press(url: str, token: str, options: Options, known: list[str]) -> Tally:
    tally = Tally()
    until = time.monotonic() + options.seconds
    headers = {"Authorization": f"Bearer {token}"}
    limits = httpx.Limits(max_connections=options.clients, max_keepalive_connections=options.clients)

    async def live(number: int, http: httpx.AsyncClient) -> None:
        dice = random.Random(number)  # noqa: S311 - what is asked for is no secret
        client = Client(http, tally, dice, known)
        await asyncio.sleep(dice.random() * options.pause)
        while time.monotonic() < until:
            await client.act()
            await asyncio.sleep(dice.uniform(0, 2 * options.pause))

    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=30) as http:
        await asyncio.gather(*(live(number, http) for number in range(options.clients)))
    return tally


def fill(url: str, snapshots: int, secret: str) -> list[str]:
    """The catalog, with a token of this secret; some ids in it."""
    ours = catalog.connect(url)
    migrate(ours)
    token = Token(
        name="bench",
        role=Role.ADMIN,
        databases=None,
        sha256=tokens.digest(secret),
        created_at=datetime.now(UTC),
    )
    with ours.transaction() as tx:
        tx.tokens.add(token)
    with ours.engine.begin() as connection:
        for each in FILL.split(";\n")[:-1]:
            connection.execute(text(each), {"snapshots": snapshots} if ":snapshots" in each else {})
    with ours.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
        sample = "select id from snapshot where state = 'sealed' order by md5(id) limit 200"
        known = [str(each) for each in connection.execute(text(sample)).scalars()]
    ours.close()
    return known


def report(tally: Tally, options: Options) -> bool:
    """Print it; whether it is as it should be."""
    total = sum(len(each) for each in tally.seconds.values())
    errors = sum(
        count for status, count in tally.statuses.items() if status >= httpx.codes.INTERNAL_SERVER_ERROR
    )
    print(f"{options.clients} clients, {options.seconds} s, {options.snapshots:,} snapshots and as many jobs")
    print(
        f"{total:,} requests, {total / options.seconds:.0f} a second; statuses {dict(sorted(tally.statuses.items()))}"
    )
    groups = {
        kind: [s for what, found in tally.seconds.items() if what.startswith(kind) for s in found]
        for kind in ("read", "write")
    }
    print(f"{'':32}{'count':>8}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for what, found in [*sorted(tally.seconds.items()), *groups.items()]:
        cuts = statistics.quantiles(found, n=100)
        print(f"{what:32}{len(found):8,}{cuts[49] * 1000:9.1f}{cuts[98] * 1000:9.1f}{max(found) * 1000:9.1f}")
    slow = statistics.quantiles(groups["read"], n=100)[98] > READ_LIMIT_SECONDS
    print(f"the API's process: {tally.cpu_seconds / total * 1000:.1f} ms of processor time a request")
    print(
        f"5xx: {errors}; 99th percentile of reads {'over' if slow else 'under'} {READ_LIMIT_SECONDS * 1000:.0f} ms"
    )
    return not errors and not slow


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--snapshots", type=int, default=100_000)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds that a client waits on average")
    options = Options(**vars(parser.parse_args()))
    logs.configure(level="critical", style="console")
    with tempfile.TemporaryDirectory(prefix="snapfleet-api-") as folder:
        return run(Path(folder), options)


def run(folder: Path, options: Options) -> int:
    postgres, valkey = Postgres(folder / "postgres"), Valkey(folder / "valkey", persistent=False)
    postgres.start()
    valkey.start()
    api: Child | None = None
    try:
        with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
            for name in ("catalog", DATABASE):
                admin.execute(f"create database {name}".encode())
        secret = tokens.secret_of(secrets.token_bytes(tokens.SECRET_BYTES))
        known = fill(postgres.dsn("catalog"), options.snapshots, secret)
        environment = clean_environment(folder) | {
            "PATH": os.environ["PATH"],  # noqa: TID251 - programs are found as they are by a user
            "DATABASE_URL": postgres.dsn(DATABASE),
            "DATABASE_NAME": DATABASE,
            "CATALOG_URL": postgres.dsn("catalog"),
            "REDIS_URL": valkey.url,
            "SNAPSHOT_DIR": str(folder / "snapshots"),
            "API_PORT": "0",
            "LOG_FORMAT": "json",
            "API_REQUESTS_PER_MINUTE": "1000000",
        }
        log = folder / "api.log"
        api = Child("api", [sys.executable, "-m", "api"], environment=environment, log=log)
        url = started(log)
        before = cpu_seconds(api.pid)
        tally = asyncio.run(press(url, secret, options, known))
        tally.cpu_seconds = cpu_seconds(api.pid) - before
        return 0 if report(tally, options) else 1
    finally:
        if api is not None:
            api.stop()
        valkey.stop()
        postgres.stop()


def cpu_seconds(pid: int) -> float:
    """Of user and system, as the kernel counts it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def started(log: Path) -> str:
    """Where it listens, once it does."""
    deadline = time.monotonic() + timedelta(seconds=60).total_seconds()
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if '"api_started"' in line:
                said = json.loads(line)
                return f"http://{said['host']}:{said['port']}"
        time.sleep(0.1)
    raise TimeoutError(log.read_text())


if __name__ == "__main__":
    sys.exit(main())
