"""Fixtures of the tests that drive jobs inside this process."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import boto3
import httpx
import psycopg
import pytest
import structlog
from psycopg import sql

from api.serving import Closing
from embedded.postgres import Postgres
from shared.catalog import catalog
from shared.catalog.migration import migrate
from shared.storage import s3
from shared.storage.base import Storage
from shared.storage.folder import FolderStorage
from shared.storage.s3 import S3Storage
from tests.conftest import FAST, Bucket
from tests.integration import bus_home
from tests.integration.api_world import Api, make_context, serve
from tests.integration.inline_fleet import InlineFleet

# A traceback with every frame's variables takes longer to paint than the step that failed took to fail.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

CATALOGS = "catalogs"
Inline = Callable[..., InlineFleet]
RoleMaker = Callable[..., str]


@pytest.fixture(scope="module")
def home(postgres: Postgres) -> Generator[InlineFleet]:
    """One fleet for all tests of a module: `bus_home.fresh(home)` has it without a job."""
    with bus_home.made(postgres) as fleet:
        yield fleet


@pytest.fixture
def role() -> Generator[RoleMaker]:
    """A maker of roles: `role(server, options="nologin") -> name`. Ask for it before `database`."""
    made: list[tuple[Postgres, str]] = []

    def make(server: Postgres, options: str = "nologin", *, name: str | None = None) -> str:
        wanted = name or f"role_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute(sql.SQL(f"create role {{}} {options}").format(sql.Identifier(wanted)))
        made.append((server, wanted))
        return wanted

    yield make
    for server, name in reversed(made):
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            owned = "select datname from pg_database where pg_get_userbyid(datdba) = %s"
            for (left,) in admin.execute(owned, (name,)).fetchall():
                admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(left)))
            admin.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@pytest.fixture
def own_postgres(tmp_path: Path) -> Generator[Postgres]:
    """A server of the test's own, to kill, or to do what others should not see. Ask for it before `database`."""
    # Killed, it shall have what was committed: the machine goes on, so the disk need not be waited for.
    server = Postgres(tmp_path / "own", settings=FAST | {"synchronous_commit": "on"})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the folder storage of `inline` keeps its objects."""
    return tmp_path / "repository"


@pytest.fixture
def in_s3(bucket: Bucket) -> S3Storage:
    """A storage in the test's own bucket."""
    session = boto3.Session(
        aws_access_key_id=bucket.access_key,
        aws_secret_access_key=bucket.secret_key,
        region_name=bucket.region,
    )
    return s3.connect(bucket=bucket.name, prefix="the/prefix", endpoint_url=bucket.endpoint, session=session)


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """A database with a catalog's tables and nothing in them. It and all copies of it belong to one role."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"create role {CATALOGS} login createdb password 'secret'".encode())
        admin.execute(f"create database {CATALOGS} owner {CATALOGS}".encode())
    empty = catalog.connect(postgres.dsn(CATALOGS, user=CATALOGS, password="secret"))
    migrate(empty)
    empty.close()
    return CATALOGS


@pytest.fixture
def catalog_url(postgres: Postgres, migrated: str) -> Generator[Callable[[], str]]:
    """A maker of catalogs, each a copy: migrations would take longer than many a test."""
    made: list[str] = []

    def make() -> str:
        made.append(f"catalog_{uuid.uuid4().hex[:12]}")
        with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
            copied = sql.SQL("create database {} template {} owner {}")
            admin.execute(copied.format(*map(sql.Identifier, (made[-1], migrated, migrated))))
        return postgres.dsn(made[-1], user=migrated, password="secret")

    yield make
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        for name in made:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def inline(catalog_url: Callable[[], str], folder: Path) -> Generator[Inline]:
    """A maker of fleets: `inline(url, storage=None, **database_settings)`, each with its own catalog."""
    made: list[InlineFleet] = []

    def make(url: str, *, storage: Storage | None = None, **settings: Any) -> InlineFleet:
        stored = storage if storage is not None else FolderStorage(folder)
        fleet = InlineFleet(url, catalog_url=catalog_url(), storage=stored, **settings)
        made.append(fleet)
        return fleet

    yield make
    for fleet in made:
        fleet.close()


@pytest.fixture(scope="module")
def api_home(postgres: Postgres) -> Generator[InlineFleet]:
    with bus_home.made(postgres) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def api_server(api_home: InlineFleet) -> Generator[Api]:
    closing = Closing()
    with serve(make_context(api_home.fleet, closing), closing) as api:
        yield api


@pytest.fixture
def api_fleet(api_home: InlineFleet) -> InlineFleet:
    """The fleet behind `api`, as if nothing had ever happened to it."""
    return bus_home.fresh(api_home)


@pytest.fixture
def api(api_server: Api, api_fleet: InlineFleet) -> Api:
    """The REST API, running."""
    api_server.around(api_fleet.fleet)
    return api_server


@pytest.fixture
def http(api: Api) -> Generator[httpx.Client]:
    """Its administrator's client."""
    with api.client() as client:
        yield client
