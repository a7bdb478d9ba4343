"""docker-compose.yml: right by its schema, hardened throughout, and its services work with its own commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import psycopg
import pytest
import redis

from embedded import binaries
from tests.e2e import compose
from tests.e2e.compose import Host
from tests.waiting import until

SCHEMA = Path(__file__).parents[1] / "vendored" / "compose-spec.json"
FLEET = ("control", "worker", "beat", "bus", "api")
OURS = (*FLEET, "exporter", "flower")
SERVICES: dict[str, Any] = compose.document()["services"]
ONE_SHOTS = ("migrate", "catalog-rights")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Generator[Host]:
    made = Host(tmp_path_factory.mktemp("compose"))
    try:
        made.begin()
        yield made
    finally:
        made.close()


def test_the_file_is_right_by_the_schema_of_compose() -> None:
    # The schema is that of the Compose specification, as the package check-jsonschema 0.39.0 carries it.
    schema = json.loads(SCHEMA.read_text("utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(compose.document())] == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened_bounded_and_pinned(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["logging"]["options"]["max-size"]
    version = service["image"].rpartition(":")[2]
    assert version[:1].isdigit() or version[:2] in {"v3", "v0", "v1"}, service["image"]
    assert service["profiles"] in (["core"], ["monitoring"])
    assert service["restart"] == ("on-failure" if name in ONE_SHOTS else "unless-stopped")
    assert ("healthcheck" in service) is (name != "catalog-rights")


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_in_the_environment_or_the_command_of_a_service(name: str) -> None:
    service = SERVICES[name]
    said = {**service.get("environment", {}), "command": " ".join(service.get("command", []))}
    for variable, value in said.items():
        if any(word in variable for word in ("PASSWORD", "SECRET", "_URL", "TOKEN")):
            assert variable.endswith(("_FILE", "AWS_ENDPOINT_URL_S3")), variable
        assert "://" not in str(value).replace("http://s3:8333", ""), variable
    declared = compose.document()["secrets"]
    assert set(service.get("secrets", [])) <= set(declared)


def test_only_this_host_reaches_what_is_published() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_nothing_of_ours_starts_before_its_tables_and_servers_are_ready() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"catalog": {"condition": "service_healthy"}}
    assert SERVICES["catalog-rights"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"}
    }
    for name in FLEET:
        waits = {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}
        assert waits == {
            "catalog-rights": "service_completed_successfully",
            "redis": "service_healthy",
            "s3": "service_healthy",
        }


def test_every_secret_that_is_declared_is_made_by_the_script(host: Host) -> None:
    made = {path.name for path in host.secrets.iterdir()}
    declared = compose.document()["secrets"]
    assert {Path(secret["file"]).name for secret in declared.values()} <= made
    assert host.secrets.stat().st_mode & 0o077 == 0


def test_the_s3_server_knows_every_option_that_the_file_gives_it() -> None:
    _, *options = SERVICES["s3"]["command"]
    told = subprocess.run([str(binaries.weed()), "mini", "-h"], capture_output=True, text=True, check=False)
    known = set(re.findall(r"(?m)^  -([\w.]+)", told.stdout + told.stderr))
    given = {option.removeprefix("-").partition("=")[0] for option in options}
    assert given <= known, given - known


def test_the_fleet_of_the_file_takes_a_snapshot_proves_it_and_brings_it_back(host: Host) -> None:
    for name in ONE_SHOTS:
        ended = host.run(name)
        assert ended.returncode == 0, ended.stderr
    host.start(*OURS)
    host.until_healthy(*OURS)

    taken = host.run("worker", "snapfleet", "snapshot", "take", "--verified", "--json")
    assert taken.returncode == 0, taken.stderr + taken.stdout
    with session(host) as app:
        app.execute("truncate note")
    restored = host.run("worker", "snapfleet", "restore", "--wait", "--yes", "--json")
    assert restored.returncode == 0, restored.stderr + restored.stdout
    with session(host) as app:
        assert app.execute("select count(*) from note").fetchone() == (10_000,)


def test_the_doctor_finds_nothing_wrong_with_it(host: Host) -> None:
    if not host.children.keys() >= set(OURS):
        pytest.fail("the fleet is started by the test before this one")

    def well() -> bool:
        ended = host.run("worker", "snapfleet", "doctor", "--json")
        wrong = [each for each in json.loads(ended.stdout) if each["result"] != "ok"]
        assert {each["code"] for each in wrong} <= {"canary_silent", "disk_scarce"}, wrong
        return ended.returncode == 0 or not wrong or {each["code"] for each in wrong} == {"disk_scarce"}

    until(well)


def test_flower_and_the_exporter_show_the_fleet_to_those_who_may_look(host: Host) -> None:
    metrics = httpx.get(f"http://127.0.0.1:{host.ports['9464']}/metrics", timeout=30).text
    assert "snapfleet_" in metrics
    rates = httpx.get(f"http://127.0.0.1:{host.ports['9465']}/metrics", timeout=30).text
    assert "snapfleet_" in rates
    page = f"http://127.0.0.1:{host.ports['5555']}/tasks"
    assert httpx.get(page, timeout=30).status_code == 401
    password = (host.secrets / "flower_password").read_text()
    assert httpx.get(page, timeout=30, auth=("snapfleet", password)).status_code == 200


def test_its_users_of_redis_can_do_their_work_and_nothing_else(host: Host) -> None:
    with redis.Redis(port=host.redis_port) as nobody, pytest.raises(redis.exceptions.AuthenticationError):
        nobody.ping()
    for user in ("worker", "beat", "bus", "api", "flower", "exporter", "consciousness"):
        with redis.Redis.from_url((host.secrets / f"redis_{user}_url").read_text().strip()) as client:
            assert client.ping()
            for forbidden in (("flushall",), ("config", "get", "*"), ("keys", "*"), ("set", "other", "1")):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.execute_command(*forbidden)


def test_the_fleet_can_change_neither_its_tables_nor_its_audit(host: Host) -> None:
    url = host.placed((host.secrets / "catalog_url").read_text().strip())
    with psycopg.connect(url, autocommit=True) as fleet:
        for statement in ("drop table job", "delete from audit", "create table mine ()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                fleet.execute(statement)


def test_a_worker_that_is_stopped_in_the_middle_ends_in_its_grace_and_another_goes_on(host: Host) -> None:
    grace = timedelta(seconds=int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")))
    with session(host) as app, app.transaction():
        app.execute("lock table note in access exclusive mode")  # a copy gets no further than to here
        asked = host.run("worker", "snapfleet", "snapshot", "take", "--json")
        assert asked.returncode == 0, asked.stderr
        job = str(json.loads(asked.stdout)["id"])
        until(lambda: state_of(host, job)[1])
        stopped = host.children["worker"]
        stopped.ask()
        stopped.wait(grace)
        assert not stopped.alive
        # By itself Celery waits for whatever runs: a copy would have ended at its lock's time, a long one in hours.
        assert "Cold shutdown" in stopped.log.read_text()
        # It has given back what it held, and not left that to the lease's end.
        assert state_of(host, job) == ("active", False)
    host.start("worker")
    until(lambda: state_of(host, job)[0] == "succeeded")


def state_of(host: Host, job: str) -> tuple[str, bool]:
    """A job's state, and whether somebody holds it."""
    with psycopg.connect(host.postgres.dsn("snapfleet")) as catalog:
        row = catalog.execute(
            "select state, lease_until is not null from job where id = %s", [job]
        ).fetchone()
    assert row is not None
    return str(row[0]), bool(row[1])


@pytest.mark.parametrize("name", ["beat", "bus", "worker"])
def test_a_healthcheck_fails_once_its_process_is_gone(host: Host, name: str) -> None:
    assert host.healthy(name)
    host.children[name].stop()
    alive = host.folder / name / "alive"
    age(alive)
    assert not host.healthy(name)


def age(file: Path) -> None:
    """As if ten minutes had passed."""
    moment = file.stat().st_mtime - 600
    os.utime(file, (moment, moment))


def session(host: Host) -> psycopg.Connection:
    return psycopg.connect(host.placed((host.secrets / "database_url").read_text().strip()), autocommit=True)
