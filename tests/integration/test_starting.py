"""What a worker, beat and the bus refuse to start with, each named, and what they wait for instead."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg import sql

from beat.main import check as check_beat
from embedded import ports
from embedded.postgres import Postgres
from embedded.valkey import Valkey
from shared.catalog import catalog
from shared.catalog.migration import migrate
from shared.errors import Misconfigured, Refused, SnapfleetError
from shared.operations.composition import compose
from shared.operations.health import starting
from shared.settings import Settings
from workers.main import check as check_worker

Change = Callable[..., Settings]
SKEW = timedelta(seconds=7)


@pytest.fixture(scope="module")
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Generator[Valkey]:
    """A server that tests may configure wrongly."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def migrated(postgres: Postgres) -> Generator[str]:
    """A catalog that none of these tests changes."""
    name = f"starting_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        ours = catalog.connect(postgres.dsn(name))
        migrate(ours)
        ours.close()
        yield postgres.dsn(name)
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def environ(migrated: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """All that a worker needs."""
    return {
        "PATH": os.environ["PATH"],  # noqa: TID251 - programs are found as they are by a user
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
        "CATALOG_URL": migrated,
        "REDIS_URL": redis_url,
        "SNAPSHOT_DIR": str(tmp_path / "repository"),
    }


@pytest.fixture
def settings(environ: dict[str, str], tmp_path: Path) -> Change:
    return lambda **changes: Settings.load(environ | changes, tmp_path)


def refusal(check: Callable[..., None], settings: Settings, now: datetime | None = None) -> SnapfleetError:
    with pytest.raises((Misconfigured, Refused)) as refused:
        check(settings, **({} if now is None else {"now": lambda: now}))
    assert refused.value.hint
    return refused.value


def check_bus(settings: Settings, *, now: Callable[[], datetime]) -> None:
    fleet = compose(**settings.values())
    try:
        starting.refuse_unfit(fleet, now=now)
    finally:
        fleet.catalog.close()


def test_all_start_where_nothing_is_wrong(settings: Change) -> None:
    check_worker(settings())
    check_beat(settings())
    check_bus(settings(), now=lambda: datetime.now(UTC))


@pytest.mark.parametrize("check", [check_worker, check_beat, check_bus])
@pytest.mark.parametrize(("skew", "said"), [(SKEW, "ahead of"), (-SKEW, "behind")])
def test_none_starts_on_a_clock_that_is_off_by_more_than_five_seconds(
    settings: Change, check: Callable[..., None], skew: timedelta, said: str
) -> None:
    found = refusal(check, settings(), datetime.now(UTC) + skew)
    assert found.code == "clock_skewed"
    assert said in found.message


def test_three_seconds_are_no_reason(settings: Change) -> None:
    check_worker(settings(), now=lambda: datetime.now(UTC) + timedelta(seconds=3))


def test_no_worker_starts_on_a_catalog_that_is_not_migrated(
    settings: Change, database: Callable[..., str]
) -> None:
    found = refusal(check_worker, settings(CATALOG_URL=database()))
    assert found.code == "catalog_not_migrated"
    assert "snapfleet migrate" in str(found.hint)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_no_worker_starts_on_a_redis_that_evicts(settings: Change, own_valkey: Valkey, policy: str) -> None:
    with redis.Redis.from_url(own_valkey.url) as client:
        client.config_set("maxmemory-policy", policy)
        assert refusal(check_worker, settings(REDIS_URL=own_valkey.url)).code == "redis_evicts"
        client.config_set("maxmemory-policy", "noeviction")
    check_worker(settings(REDIS_URL=own_valkey.url))


def test_no_worker_starts_with_a_password_that_redis_refuses_or_a_user_that_may_not_ask(
    settings: Change, own_valkey: Valkey
) -> None:
    with redis.Redis.from_url(own_valkey.url) as client:
        client.execute_command("acl", "setuser", "dumb", "on", ">secret", "~*", "&*", "+@all", "-info")
    for user, code in (("default:wrong", "redis_wrong_password"), ("dumb:secret", "redis_rights")):
        url = f"redis://{user}@127.0.0.1:{own_valkey.port}/0"
        found = refusal(check_worker, settings(REDIS_URL=url))
        assert found.code == code
        assert "secret" not in f"{found.message} {found.hint}"


def test_a_redis_that_is_away_is_waited_for_and_a_catalog_that_is_away_does_not_keep_beat(
    settings: Change,
) -> None:
    (port,) = ports.free(1)
    check_worker(settings(REDIS_URL=f"redis://127.0.0.1:{port}/0"))
    check_beat(settings(CATALOG_URL=f"postgresql://u@127.0.0.1:{port}/x"))


def test_the_process_says_it_in_two_lines_and_ends_with_1(
    environ: dict[str, str], database: Callable[..., str], tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "workers"],
        env=environ | {"CATALOG_URL": database()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    said = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert [line.partition(":")[0] for line in said] == ["error", "hint"]
