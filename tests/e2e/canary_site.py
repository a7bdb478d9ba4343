"""A whole fleet of which every secret setting holds a canary, and in which everything happens once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import boto3
import httpx
import psycopg
from psycopg import sql

from embedded.postgres import Postgres
from embedded.process import Child
from embedded.seaweed import SeaweedFS
from shared.catalog.migration import migrate
from shared.domain import tokens
from shared.domain.access import Actor, Role
from shared.domain.job import Job
from shared.operations.composition import compose
from shared.operations.jobs import requests
from shared.operations.trust import access, keyfiles
from shared.settings import Settings
from shared.storage import covers, s3
from tests.contract.redis_users import USERS, GuardedValkey
from tests.e2e import canaries
from tests.e2e.canaries import Place

T = TypeVar("T")

ROLES = {"source": "createdb", "catalog": "nocreatedb", "verify": "createdb", "target": "createdb"}
DEADLINE_SECONDS = 120.0
NAME = "shop"
CONFIGURATION = """
[[notify]]
name = "hook"
url_env = "HOOK_URL"
events = ["snapshot.failed", "restore.succeeded"]
"""
"""Nobody listens there: what is to be told is told in vain, and that is logged."""
BELONG = frozenset({"secrets", "valkey"})
"""Folders where secrets are kept."""


class CanarySite:
    """`planted` are all secrets, by the setting that holds each, or by what else hands it in."""

    def __init__(self, *, postgres: Postgres, seaweed: SeaweedFS, folder: Path) -> None:
        self.postgres, self.seaweed, self.folder = postgres, seaweed, folder
        self.tag = uuid.uuid4().hex[:8]
        self.valkey = GuardedValkey(folder / "valkey")
        self.valkey.start()
        self.planted = {f"Redis user {user}": self.valkey.secret(user) for user in USERS}
        self.planted["AWS_SECRET_ACCESS_KEY"] = seaweed.secret_key
        self._outputs: list[Place] = []
        self.children: list[Child] = []
        for name in ("secrets", "tmp", "log"):
            (folder / name).mkdir(mode=0o700)
        self._make_databases()
        self._make_keys()
        self.environment = self._environment()
        settings = Settings.load(self.environment, folder)
        composed = compose(**settings.values())
        # The keys of S3 are in the environment of the fleet's processes, and not in that of this one.
        storage = s3.connect(
            bucket=seaweed.bucket, prefix=self.tag, endpoint_url=seaweed.endpoint, session=self.s3_session()
        )
        self.fleet = replace(composed, repository=composed.repository.elsewhere(storage))
        migrate(self.fleet.catalog)
        self.planted["API token"] = tokens.secret_of(os.urandom(tokens.SECRET_BYTES))
        access.create(
            self.fleet,
            name="canary",
            role=Role.ADMIN,
            databases=(),
            secret=self.planted["API token"],
            now=datetime.now(UTC),
            expires_at=None,
            by=Actor(name="test", origin="test"),
        )

    def close(self) -> None:
        for child in self.children:
            child.ask()
        for child in self.children:
            child.stop()
        self.fleet.catalog.close()
        self.valkey.stop()
        with self.admin() as admin:
            owned = "select datname from pg_database where pg_get_userbyid(datdba) like %s"
            for (left,) in admin.execute(owned, [f"%_{self.tag}"]).fetchall():
                admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(left)))
            for role in ROLES:
                name = sql.Identifier(self.role(role))
                admin.execute(sql.SQL("drop owned by {0} cascade; drop role {0}").format(name))

    # What there is

    def role(self, kind: str) -> str:
        return f"{kind}_{self.tag}"

    def secret(self, name: str) -> str:
        """A new canary under this name."""
        return self.planted.setdefault(name, canaries.new())

    def url(self, kind: str, database: str, setting: str) -> str:
        return self.postgres.dsn(database, user=self.role(kind), password=self.secret(setting))

    @contextmanager
    def admin(self, name: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.postgres.dsn(name), autocommit=True) as session:
            yield session

    def set_password(self, kind: str, password: str) -> None:
        with self.admin() as admin:
            role = sql.Identifier(self.role(kind))
            admin.execute(sql.SQL("alter role {} password {}").format(role, sql.Literal(password)))

    def _make_databases(self) -> None:
        settings = {
            "source": "DATABASE_URL",
            "catalog": "CATALOG_URL",
            "verify": "VERIFY_DATABASE_URL",
            "target": "SNAPFLEET_TARGET_<NAME>_URL",
        }
        with self.admin() as admin:
            for kind, options in ROLES.items():
                role = sql.Identifier(self.role(kind))
                admin.execute(sql.SQL(f"create role {{}} login {options}").format(role))
                self.set_password(kind, self.secret(settings[kind]))
            source = sql.Identifier(self.role("source"))
            for kind in ("verify", "target"):
                admin.execute(sql.SQL("grant {} to {}").format(source, sql.Identifier(self.role(kind))))
            for kind in ("source", "catalog"):
                name = sql.Identifier(f"{kind}_{self.tag}")
                admin.execute(sql.SQL("create database {0} owner {0}").format(name))
        with psycopg.connect(self.url("source", f"source_{self.tag}", "DATABASE_URL")) as shop:
            shop.execute(
                "create table item as select i as id, repeat('x', 100) as v from generate_series(1, 30000) i"
            )

    def _make_keys(self) -> None:
        where = self.folder / "secrets"
        self.identity = keyfiles.new_identity(where, now=datetime.now(UTC))
        self.signing = keyfiles.new_signing_key(where)
        self.name_key = keyfiles.new_name_key(where, secret=os.urandom(32))
        last_line = self.identity.path.read_text().splitlines()[-1]
        self.planted["ENCRYPTION_IDENTITY_FILES"] = last_line
        self.planted["ENCRYPTION_NAME_KEY_FILE"] = self.name_key.read_text().strip()
        self.planted["SIGNING_KEY_FILE"] = self.signing.path.read_text().splitlines()[1]

    def _environment(self) -> dict[str, str]:
        verify = self.folder / "secrets" / "verify_url"
        verify.write_text(self.url("verify", "postgres", "VERIFY_DATABASE_URL"))
        (self.folder / "snapfleet.toml").write_text(CONFIGURATION)
        return {
            "SNAPFLEET_CONFIG": str(self.folder / "snapfleet.toml"),
            "HOOK_URL": f"json://hook:{quote(self.secret('notify.url_env'), safe='')}@127.0.0.1:1/told",
            "PATH": os.environ["PATH"],  # noqa: TID251 - programs are found as they are by a user
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "DATABASE_URL": self.url("source", f"source_{self.tag}", "DATABASE_URL"),
            "DATABASE_NAME": NAME,
            "CATALOG_URL": self.url("catalog", f"catalog_{self.tag}", "CATALOG_URL"),
            "VERIFY_DATABASE_URL_FILE": str(verify),
            "SNAPFLEET_TARGET_OTHER_URL": self.url("target", "postgres", "SNAPFLEET_TARGET_<NAME>_URL"),
            "REDIS_URL": self.valkey.url_of("api"),
            "ENCRYPTION_RECIPIENTS": self.identity.public,
            "ENCRYPTION_IDENTITY_FILES": str(self.identity.path),
            "ENCRYPTION_NAME_KEY_FILE": str(self.name_key),
            "SIGNING_KEY_FILE": str(self.signing.path),
            "SIGNING_REQUIRED": "true",
            **self.seaweed.environment,
            "S3_PREFIX": self.tag,
            "FLOWER_PASSWORD": self.secret("FLOWER_PASSWORD"),
            "BUS_ALLOW": "snapshot,restore,undo,verify,check",
            "VERIFY": "never",
            "LEASE_SECONDS": "5",
            "LOG_LEVEL": "info",
            "LOG_FORMAT": "json",
        }

    # What happens

    def start(self, name: str, *argv: str, user: str, **environment: str) -> Child:
        child = Child(
            name,
            [sys.executable, "-m", *argv],
            environment=self.environment | {"REDIS_URL": self.valkey.url_of(user)} | environment,
            log=self.folder / "log" / f"{name}.log",
            folder=self.folder / "tmp",
            patience=timedelta(seconds=5),
        )
        self.children.append(child)
        return child

    def run_all(self, *commands: tuple[tuple[str, ...], Mapping[str, str]]) -> list[int]:
        """Commands side by side, each with other settings; what they say is kept. Their statuses."""
        running = [
            subprocess.Popen(
                [sys.executable, "-m", *argv],
                env={**self.environment, **changes},
                cwd=self.folder / "tmp",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for argv, changes in commands
        ]
        for process, (argv, _) in zip(running, commands, strict=True):
            said, _ = process.communicate(timeout=DEADLINE_SECONDS)
            self.note(f"what {' '.join(argv)} said", said)
        return [process.returncode for process in running]

    def note(self, where: str, said: bytes) -> None:
        self._outputs.append((where, said))

    def ended(self, job_id: str) -> Job:
        return self.until(
            lambda: job if (job := requests.find_job(self.fleet, job_id)).state.is_final else None
        )

    def until(self, look: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (found := look()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.05)
        return found

    def client(self, url: str, **options: Any) -> httpx.Client:
        """One that notes every answer."""

        def keep(response: httpx.Response) -> None:
            response.read()
            asked = f"{response.request.method} {response.request.url.path}"
            self.note(f"answer to {asked}", response.content + str(response.headers).encode())

        return httpx.Client(base_url=url, event_hooks={"response": [keep]}, timeout=30, **options)

    def serve(self, name: str, *argv: str, user: str, port: int) -> str:
        """Start a process that listens there, and wait until it answers; its address."""
        self.start(name, *argv, user=user, API_PORT=str(port))
        url = f"http://127.0.0.1:{port}"

        def is_up() -> bool:
            try:
                return httpx.get(url, timeout=5).status_code > 0
            except httpx.TransportError:
                return False

        self.until(is_up)
        return url

    # Where to look

    def places(self) -> Iterator[Place]:
        """Everything that anybody has said or kept."""
        yield from self._outputs
        yield from canaries.in_files(self.folder, but=BELONG)
        yield from canaries.in_redis(self.valkey.url)
        yield from canaries.in_database(
            self.postgres.bin_dir / "pg_dump", self.postgres.dsn(f"catalog_{self.tag}")
        )
        client = self.s3_session().client("s3", endpoint_url=self.seaweed.endpoint)
        yield from canaries.in_bucket(client, self.seaweed.bucket, self.tag)
        yield from self._opened()
        for server in (self.postgres, self.seaweed, self.valkey):
            yield f"log of {server.name}", server.log.read_bytes()

    def s3_session(self) -> boto3.Session:
        return boto3.Session(
            aws_access_key_id=self.seaweed.access_key,
            aws_secret_access_key=self.seaweed.secret_key,
            region_name=self.seaweed.region,
        )

    def _opened(self) -> Iterator[Place]:
        """What is in the stored objects once they are decrypted and decompressed."""
        for snapshot_id in self.fleet.repository.snapshots(NAME):
            manifest, body = self.fleet.repository.read_manifest(NAME, snapshot_id)
            yield f"manifest {snapshot_id}", covers.unpacked(body)
            for chunk in manifest.distinct_chunks.values():
                raw = b"".join(self.fleet.repository.read_chunk(NAME, chunk))
                yield f"chunk {chunk.sha256}", raw
