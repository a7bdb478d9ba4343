"""The fleet of docker-compose.yml, started by its own commands: it protects a database, and is watched."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import redis

from embedded import binaries
from monitoring.grafana import dashboard
from tests.e2e import compose
from tests.e2e.watched import BAD, NAME, Watched

CONTROL = (
    "worker/shutdown/worker@host",
    "worker/pool/restart/worker@host",
    "worker/pool/grow/worker@host",
    "worker/pool/shrink/worker@host",
    "worker/pool/autoscale/worker@host",
    "worker/queue/add-consumer/worker@host",
    "worker/queue/cancel-consumer/worker@host",
    "task/apply/fleet.tick",
    "task/async-apply/fleet.tick",
    "task/send-task/fleet.tick",
    "task/abort/1",
    "task/timeout/fleet.tick",
    "task/rate-limit/fleet.tick",
    "task/revoke/1",
)


@pytest.fixture(scope="module")
def fleet(
    prometheus_tools: None,  # noqa: ARG001 - without it these tests are left out
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[Watched]:
    made = Watched(tmp_path_factory.mktemp("compose"))
    try:
        made.begin()
        made.take()
        yield made
    finally:
        made.close()


def test_every_secret_that_is_declared_is_made_by_the_script(fleet: Watched) -> None:
    made = {path.name for path in fleet.secrets.iterdir()}
    declared = compose.document()["secrets"]
    assert {Path(secret["file"]).name for secret in declared.values()} <= made
    assert fleet.secrets.stat().st_mode & 0o077 == 0


def test_the_s3_server_knows_every_option_that_the_file_gives_it(fleet: Watched) -> None:
    _, *options = fleet.services["s3"]["command"]
    told = subprocess.run([str(binaries.weed()), "mini", "-h"], capture_output=True, text=True, check=False)
    known = set(re.findall(r"(?m)^  -([\w.]+)", told.stdout + told.stderr))
    given = {option.removeprefix("-").partition("=")[0] for option in options}
    assert given <= known, given - known


def test_it_takes_a_snapshot_proves_it_and_brings_it_back(fleet: Watched) -> None:
    taken = fleet.run("worker", "snapfleet", "snapshot", "take", "--verified", "--json")
    assert taken.returncode == 0, taken.stderr + taken.stdout
    fleet.say("truncate note")
    restored = fleet.run("worker", "snapfleet", "restore", "--wait", "--yes", "--json")
    assert restored.returncode == 0, restored.stderr + restored.stdout
    with fleet.session() as app:
        assert app.execute("select count(*) from note").fetchone() == (10_000,)


def test_the_doctor_finds_nothing_wrong_with_it(fleet: Watched) -> None:
    def well() -> bool:
        ended = fleet.run("worker", "snapfleet", "doctor", "--json")
        wrong = {each["code"] for each in json.loads(ended.stdout) if each["result"] != "ok"}
        assert wrong <= {"canary_silent", "disk_scarce"}, ended.stdout
        return wrong <= {"disk_scarce"}

    fleet.until(well, "the canary")


def test_every_query_of_the_dashboard_has_an_answer(fleet: Watched) -> None:
    fleet.until(lambda: fleet.query("snapfleet_parts_total > 0"), "the first parts to be scraped")
    fleet.say("update item set pad = pad || 'x' where i % 50 = 0")
    renewals = "sum(snapfleet_lease_renewal_seconds_count)"
    with fleet.locked("item"):  # a copy that has to wait renews its lease
        waiting = fleet.ask()
        fleet.until(lambda: any(value > 0 for _, value in fleet.query(renewals)), "a renewal")
    fleet.ended(waiting)
    asked = {
        (panel.title, query.expr): query.expr.replace("$__rate_interval", "1m").replace("$database", ".*")
        for row in dashboard.ROWS
        for panel in row.panels
        for query in panel.queries
    }
    unanswered = dict(asked)

    def all_answered() -> bool:
        for key, promql in list(unanswered.items()):
            if fleet.query(promql):
                del unanswered[key]
        return not unanswered

    fleet.until(all_answered, lambda: f"answers to {sorted(unanswered)}")
    assert fleet.query(asked["Could come back", dashboard.ROWS[0].panels[0].queries[0].expr])[0][1] == 1
    (worst,) = (panel for panel in dashboard.ROWS[0].panels if panel.title == "How long, at worst")
    assert 0 < fleet.query(worst.queries[0].expr.replace("$database", ".*"))[0][1] < 300
    assert fleet.alerts() <= {"SnapfleetDiskFull"}, "which this machine may well be near"


def test_counts_only_grow_whatever_becomes_of_the_processes_that_counted(fleet: Watched) -> None:
    (folder,) = fleet.home("worker").glob("snapfleet-metrics-*")
    for _ in range(2):
        before, files = fleet.counters(), {file.name for file in folder.iterdir()}
        former = fleet.pool()
        fleet.kill_pool()
        fleet.until(
            lambda former=former: len(set(fleet.pool()) - set(former)) >= len(former),  # type: ignore[misc] # a default
            "a new pool",
        )
        fleet.take()
        after = fleet.counters()
        assert {
            key: (value, after.get(key)) for key, value in before.items() if after.get(key, -1) < value
        } == {}
        copied = ("snapfleet_parts_total", json.dumps({"step": "copy"}))
        assert after[copied] > before[copied]
    assert {file.name for file in folder.iterdir()} == files
    assert files <= {"lock"} | {
        f"{kind}_{place}.db" for kind in ("counter", "histogram") for place in ("0", "1", "main")
    }


def test_flower_is_for_whoever_knows_the_password_and_for_looking_only(fleet: Watched) -> None:
    password = (fleet.secrets / "flower_password").read_text()
    for path in ("/", "/tasks", "/workers", "/broker", "/api/tasks", "/api/workers", "/api/task/types"):
        assert fleet.page("flower", path)[0] == 401, path
        assert fleet.page("flower", path, password="wrong")[0] == 401, path
    assert fleet.page("flower", "/tasks", password=password)[0] == 200
    for path in CONTROL:
        assert fleet.page("flower", f"/api/{path}", method="POST")[0] in {401, 403}, path
        assert fleet.page("flower", f"/api/{path}", method="POST", password=password)[0] == 403, path

    def tasks() -> dict[str, dict[str, str]]:
        status, body = fleet.page("flower", "/api/tasks", password=password)
        assert status == 200
        found: dict[str, dict[str, str]] = json.loads(body)
        return found

    fleet.until(lambda: {"snapshot.copy", "verify.prove"} <= {t["name"] for t in tasks().values()}, "tasks")
    with fleet.fleet.catalog.transaction() as tx:
        ids = {job.id for job in tx.jobs.listing()}
    for task in tasks().values():
        words = set(re.findall(r"[\w-]+", task["args"] or ""))
        assert {word for word in words if not word.isdigit()} <= ids, task
        assert task["kwargs"] in {"{}", "", None}
    for name in ("redis_worker", "redis_flower", "sample_app", "catalog_fleet", "s3_key"):
        secret = (fleet.secrets / f"{name}_password").read_text()
        assert secret not in json.dumps(tasks())
        assert secret not in fleet.page("flower", "/broker", password=password)[1]


def test_flower_shows_how_far_a_copy_is(fleet: Watched) -> None:
    password = (fleet.secrets / "flower_password").read_text()
    fleet.say("update item set pad = reverse(pad)")
    fleet.gate.close_after(2_000_000)
    try:
        job_id = fleet.ask()

        def said() -> str | None:
            _, body = fleet.page("flower", "/api/tasks?limit=50", password=password)
            of_it = [
                t
                for t in json.loads(body).values()
                if job_id in (t["args"] or "") and t["name"] == "snapshot.copy"
            ]
            return next((str(t["result"]) for t in of_it if t["state"] == "PROGRESS"), None)

        text = fleet.until(said, "a word from the copy")
    finally:
        fleet.gate.open()
    assert "%" in text
    assert "parts" in text
    fleet.ended(job_id)
    fleet.until(lambda: not fleet.unfinished(), "the end of all")


def test_every_alert_fires_under_its_fault_and_clears_when_it_is_mended(fleet: Watched) -> None:
    """A table emptied, a proof that fails, workers gone, a storage that hangs, an exporter gone."""

    def told(*alerts: str) -> None:
        fleet.until(lambda: set(alerts) <= fleet.alerts(), lambda: f"{alerts} in {fleet.alerts()}")

    fleet.say(f"truncate item; insert into item values (0, '{BAD}')")
    job = fleet.take()
    told("SnapfleetSnapshotSuspect", "SnapfleetVerificationFailed")
    fleet.until(lambda: {"snapshot suspect", "verify refuted"} <= fleet.notices(), "the notices")
    assert fleet.query(f'snapfleet_proof_matched{{database="{NAME}"}}')[0][1] == 0
    fleet.children["worker"].stop()
    fleet.gate.close_after(0)
    told("SnapfleetNoWorker", "SnapfleetRepositoryUnreachable")
    fleet.children["exporter"].stop()
    told("SnapfleetExporterDown")
    fleet.gate.open()
    fleet.start("worker", "exporter")
    fleet.say("delete from item")
    with fleet.fleet.catalog.transaction() as tx:
        tx.snapshots.accept(str(job.request["snapshot_id"]))
    fleet.take()
    quiet = {"SnapfleetDiskFull", "SnapfleetSnapshotRefuted"}
    fleet.until(lambda: fleet.alerts() <= quiet, lambda: f"the end of {fleet.alerts()}")


def test_its_users_of_redis_can_do_their_work_and_nothing_else(fleet: Watched) -> None:
    with redis.Redis(port=fleet.redis_port) as nobody, pytest.raises(redis.exceptions.AuthenticationError):
        nobody.ping()
    for user in ("worker", "beat", "bus", "api", "flower", "exporter", "consciousness"):
        with redis.Redis.from_url((fleet.secrets / f"redis_{user}_url").read_text().strip()) as client:
            assert client.ping()
            for forbidden in (("flushall",), ("config", "get", "*"), ("keys", "*"), ("set", "other", "1")):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.execute_command(*forbidden)


def test_the_fleet_can_change_neither_its_tables_nor_its_audit(fleet: Watched) -> None:
    url = fleet.placed((fleet.secrets / "catalog_url").read_text().strip())
    with psycopg.connect(url, autocommit=True) as session:
        for statement in ("drop table job", "delete from audit", "create table mine ()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)


def test_a_worker_that_is_stopped_in_the_middle_ends_in_its_grace_and_another_goes_on(
    fleet: Watched,
) -> None:
    grace = timedelta(seconds=int(fleet.services["worker"]["stop_grace_period"].removesuffix("s")))
    with fleet.locked("note"):  # a copy gets no further than to here
        job = fleet.ask()
        fleet.until(lambda: state_of(fleet, job)[1], "a copy that has begun")
        stopped = fleet.children["worker"]
        stopped.ask()
        stopped.wait(grace)
        assert not stopped.alive
        # By itself Celery waits for whatever runs: a copy would have ended at its lock's time, a long one in hours.
        assert "Cold shutdown" in stopped.log.read_text()
        # It has given back what it held, and not left that to the lease's end.
        assert state_of(fleet, job) == ("active", False)
    fleet.start("worker")
    assert fleet.ended(job).state == "succeeded"


def state_of(fleet: Watched, job: str) -> tuple[str, bool]:
    """A job's state, and whether somebody holds it."""
    with psycopg.connect(fleet.postgres.dsn("snapfleet")) as catalog:
        row = catalog.execute(
            "select state, lease_until is not null from job where id = %s", [job]
        ).fetchone()
    assert row is not None
    return str(row[0]), bool(row[1])


@pytest.mark.parametrize("name", ["beat", "bus", "worker"])
def test_a_healthcheck_fails_once_its_process_is_gone(fleet: Watched, name: str) -> None:
    fleet.until_healthy(name)
    fleet.children[name].stop()
    alive = fleet.home(name) / "alive"
    age(alive)
    assert not fleet.healthy(name)


def age(file: Path) -> None:
    """As if ten minutes had passed."""
    moment = file.stat().st_mtime - 600
    os.utime(file, (moment, moment))
