"""An installation where nothing is wrong, and what can be made wrong with it, each thing by its own hand."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
from psycopg import sql

from embedded.postgres import Postgres
from embedded.seaweed import SeaweedFS
from embedded.valkey import Valkey
from shared.catalog import catalog
from shared.catalog.migration import migrate

Environ = dict[str, str]
PASSWORD = "secret"
Change = Callable[["Site"], Environ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A protected database `shop…` with a role of its own, a catalog, a Redis that may be spoiled, a bucket."""

    postgres: Postgres
    valkey: Valkey
    seaweed: SeaweedFS
    folder: Path
    tag: str

    @property
    def owner(self) -> str:
        return f"doctor_{self.tag}"

    @property
    def shop(self) -> str:
        return f"shop_{self.tag}"

    @property
    def catalog(self) -> str:
        return f"catalog_{self.tag}"

    def url(self, name: str, *, user: str | None = None, password: str = PASSWORD) -> str:
        return self.postgres.dsn(name, user=user or self.owner, password=password)

    @property
    def environ(self) -> Environ:
        return {
            "DATABASE_URL": self.url(self.shop),
            "DATABASE_NAME": "shop",
            "CATALOG_URL": self.url(self.catalog),
            "REDIS_URL": self.valkey.url,
            **self.seaweed.environment,
            "S3_PREFIX": self.tag,
            "ALLOW_OLD_TOOLS": "true",
        }

    def admin(self, statement: str, *names: str, database: str = "postgres") -> None:
        with psycopg.connect(self.postgres.dsn(database), autocommit=True) as session:
            session.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    @contextmanager
    def valkey_with(self, option: str, value: str, former: str) -> Generator[None]:
        with redis.Redis.from_url(self.valkey.url) as client:
            client.config_set(option, value)
            try:
                yield
            finally:
                client.config_set(option, former)


@contextmanager
def site(*, postgres: Postgres, valkey: Valkey, seaweed: SeaweedFS, folder: Path) -> Generator[Site]:
    made = Site(postgres=postgres, valkey=valkey, seaweed=seaweed, folder=folder, tag=uuid.uuid4().hex[:8])
    made.admin("create role {} login createdb password 'secret'", made.owner)
    for name in (made.shop, made.catalog):
        made.admin("create database {} owner {}", name, made.owner)
    with psycopg.connect(made.url(made.shop)) as session:
        session.execute("create table item as select i from generate_series(1, 10) i")
    ours = catalog.connect(made.url(made.catalog))
    migrate(ours)
    ours.close()
    yield made
    for name in (made.shop, made.catalog):
        made.admin("drop database {} with (force)", name)
    made.admin("drop role {}", made.owner)
