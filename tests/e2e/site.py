"""A user's site as it is deployed: a database, a worker as a process, and the command line driven as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import psycopg
from psycopg import sql

from embedded.postgres import Postgres
from embedded.process import Child
from embedded.seaweed import SeaweedFS
from embedded.valkey import Valkey
from shared.storage import s3
from tests.e2e.warm import WarmCli
from tests.waiting import until

PATIENCE_SECONDS = 90.0
PASSWORD = "secret"
CONTENT = "select count(*), coalesce(sum(hashtext(item::text)::bigint), 0) from item"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Site:
    """One protected database `shop…`, a catalog beside it, and a fleet of one worker."""

    def __init__(self, *, postgres: Postgres, valkey: Valkey, seaweed: SeaweedFS, folder: Path) -> None:
        tag = uuid.uuid4().hex[:8]
        self.postgres, self.valkey, self.folder = postgres, valkey, folder
        self.cli = WarmCli(patience_seconds=PATIENCE_SECONDS)
        self.owner, self.name, self.catalog = f"owner_{tag}", f"shop_{tag}", f"catalog_{tag}"
        with self.admin() as admin:
            role = sql.Identifier(self.owner)
            admin.execute(sql.SQL("create role {} login createdb password 'secret'").format(role))
            for name in (self.name, self.catalog):
                admin.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(name), role))
        with self.session() as shop:
            shop.execute("create table item (id int primary key generated always as identity, name text)")
            shop.execute("insert into item (name) select 'item ' || i from generate_series(1, 500) i")
        self.environment = {
            "PATH": os.environ["PATH"],  # noqa: TID251 - programs are found as they are by a user
            "HOME": str(folder),
            "DATABASE_URL": self.url(self.name),
            "CATALOG_URL": self.url(self.catalog),
            "REDIS_URL": valkey.url,
            **seaweed.environment,
            "S3_PREFIX": tag,
            "LEASE_SECONDS": "10",
            # A test that wants a proof asks for one.
            "VERIFY": "never",
        }

    def url(self, name: str, *, password: str = PASSWORD) -> str:
        return self.postgres.dsn(name, user=self.owner, password=password)

    @contextmanager
    def admin(self, name: str = "postgres") -> Generator[psycopg.Connection]:
        with psycopg.connect(self.postgres.dsn(name), autocommit=True) as session:
            yield session

    @contextmanager
    def session(self, name: str | None = None) -> Generator[psycopg.Connection]:
        """As the database's owner, in it or in another one."""
        with psycopg.connect(self.url(name or self.name), autocommit=True) as session:
            yield session

    def content(self, name: str | None = None) -> tuple[Any, ...] | None:
        """A digest of what the table holds."""
        with self.session(name) as session:
            return session.execute(CONTENT).fetchone()

    def databases(self) -> set[str]:
        with self.admin() as admin:
            return {name for (name,) in admin.execute("select datname from pg_database")}

    @contextmanager
    def damaged(self, key: str) -> Generator[None]:
        """Inside it something else is stored under a key of the repository; all tests have it in common."""
        keys = {name.lower(): value for name, value in self.environment.items() if name.startswith("AWS_")}
        session = boto3.Session(
            aws_access_key_id=keys["aws_access_key_id"],
            aws_secret_access_key=keys["aws_secret_access_key"],
            region_name=keys["aws_default_region"],
        )
        bucket, prefix = self.environment["S3_BUCKET"], self.environment["S3_PREFIX"]
        storage = s3.connect(
            bucket=bucket, prefix=prefix, endpoint_url=keys["aws_endpoint_url_s3"], session=session
        )
        good = storage.get(key)
        storage.put(key, b"rot")
        yield
        storage.put(key, good)

    @contextmanager
    def held_up(self) -> Generator[None]:
        """Inside it a copy gets no further than to its first table."""
        with self.session() as session, session.transaction():
            session.execute("lock table item in access exclusive mode")
            yield

    def start_worker(self) -> Child:
        log = self.folder / "worker.log"
        argv = [sys.executable, "-m", "workers", "--concurrency", "2", "--name", "e2e"]
        return Child("worker", argv, environment=self.environment, log=log, patience=timedelta(seconds=2))

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The command line as a process of its own, without a terminal."""
        return subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> Ended:
        """Run one command to its end."""
        status, out, err = self.cli.run(arguments, self.environment | environment)
        return Ended(status=status, out=out, err=err)

    def done(self, *arguments: str, **environment: str) -> Ended:
        """The same for a command that must succeed."""
        found = self.run(*arguments, **environment)
        assert found.status == 0, found
        return found

    def take(self, *arguments: str) -> dict[str, Any]:
        """Take a snapshot to its end; its job."""
        found = self.done("snapshot", "take", "--wait", "--json", *arguments).json
        return dict(found)

    # What a test only stands on is looked up in the catalog itself: a command takes a second to start.

    def sealed(self) -> str:
        """The id of the newest snapshot that somebody asked for; taken if there is none."""
        asked_for = "state = 'sealed' and reason <> 'safeguard'"
        ids = self.recorded(f"select id from snapshot where {asked_for} order by sequence desc")
        return ids[0] if ids else str(self.take()["result"]["snapshot_id"])

    def jobs(self) -> list[str]:
        return self.recorded("select id::text from job order by created_at desc")

    def settled(self) -> None:
        """Wait until no job waits for the database or works on it."""
        unfinished = "select id::text from job where state in ('pending', 'active', 'rolling_back')"
        until(lambda: not self.recorded(unfinished))

    def claimed(self) -> None:
        """Wait until a worker is at work: what breaks from now on breaks under it."""
        until(lambda: bool(self.recorded("select id::text from job where lease_until is not null")))

    def recorded(self, query: str) -> list[str]:
        with self.session(self.catalog) as catalog:
            return [str(row[0]) for row in catalog.execute(query.encode())]


def ended(process: subprocess.Popen[str]) -> Ended:
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return Ended(status=process.returncode, out=out, err=err)


def heard(process: subprocess.Popen[str], words: str) -> str:
    """What the process has said on stderr up to the line with these words."""
    said = ""
    assert process.stderr is not None
    for line in process.stderr:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it ended without saying {words!r}: {said}")
