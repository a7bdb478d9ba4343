"""`python -m api` as a process of its own: with a catalog and a Redis that go away, and told to end in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from embedded.postgres import Postgres
from tests.conftest import FAST
from tests.e2e.site import Site, heard
from tests.waiting import until

PATIENCE = timedelta(seconds=60)


@contextmanager
def running(environment: dict[str, str], *argv: str) -> Generator[tuple[subprocess.Popen[str], str, str]]:
    """The process, where it listens, and what it has said so far; afterwards it is gone."""
    process = subprocess.Popen(
        [sys.executable, "-m", *(argv or ("api",))],
        env=environment | {"API_PORT": "0", "LOG_FORMAT": "json"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        said = heard(process, "api_started")
        started = json.loads(said.splitlines()[-1])
        yield process, f"http://{started['host']}:{started['port']}", said
    finally:
        process.kill()
        process.wait()


def ended(process: subprocess.Popen[str]) -> str:
    """What it has said by its end, which was a good one."""
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE.total_seconds())
    assert process.returncode == 0, err
    assert "api_stopped" in err
    assert "Traceback" not in err
    return err


def client(url: str, token: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


@pytest.fixture
def token(site: Site) -> str:
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    return site.done("token", "create", name, "--role", "admin").out.strip()


def test_a_snapshot_is_asked_for_followed_proven_and_told_of_in_the_audit(site: Site, token: str) -> None:
    behind = site.environment | {"API_PROXIES": "127.0.0.1"}
    with running(behind, "cli", "api") as (process, url, _), client(url, token) as http:
        http.headers["X-Forwarded-For"] = "192.0.2.7"
        assert http.get("/readyz").json()["ready"] is True
        asked = http.post(f"/v1/databases/{site.name}/snapshots", headers=key(), params={"wait": "verified"})
        assert (asked.status_code, asked.json()["standing"]) == (201, "verified"), asked.text
        (job,) = http.get("/v1/jobs", params={"kind": "snapshot", "limit": 1}).json()["items"]
        events = http.get(f"/v1/jobs/{job['id']}/events").text
        assert events.rstrip().rpartition("event: ")[2].startswith("end\n")
        told = http.get("/v1/audit", params={"job_id": job["id"]}).json()["items"]
        assert [entry["action"] for entry in told] == ["snapshot.ended", "snapshot.requested"]
        assert told[1]["origin"] == "api:192.0.2.7"
        said = ended(process)
    assert token not in said
    assert "Idempotency" not in said


def test_asked_to_end_it_ends_its_streams_and_answers_what_it_was_asked(site: Site, token: str) -> None:
    with (
        site.held_up(),
        running(site.environment) as (process, url, _),
        client(url, token) as http,
        ThreadPoolExecutor() as threads,
    ):
        at = f"/v1/databases/{site.name}/snapshots"
        forged = {"X-Forwarded-For": "192.0.2.7"}
        job = http.post(at, headers=key() | forged).json()["job"]
        told = http.get("/v1/audit", params={"job_id": job.rpartition("/")[2]}).json()["items"]
        assert told[-1]["origin"] == "api:127.0.0.1"
        with http.stream("GET", f"{job}/events") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry: ")
            waiting = threads.submit(http.post, at, headers=key(), params={"wait": "verified"})
            until(lambda: len(http.get("/v1/jobs", params={"database": site.name}).json()["items"]) > 1)
            said = threads.submit(ended, process)
            assert "event: end" not in list(lines)
            answered = waiting.result(timeout=60)
            assert (answered.status_code, answered.headers["Location"]) == (202, answered.json()["job"])
            assert said.result(timeout=60)
        for unfinished in (job, answered.json()["job"]):
            site.run("job", "cancel", unfinished.rpartition("/")[2])
    site.settled()


def test_a_hundred_requests_are_accepted_while_redis_is_away_and_run_when_it_is_back(
    site: Site, token: str
) -> None:
    with running(site.environment) as (process, url, _), client(url, token) as http:
        site.settled()
        site.valkey.kill()
        try:
            answers = [http.post(f"/v1/databases/{site.name}/checks", headers=key()) for _ in range(100)]
            assert {answer.status_code for answer in answers} == {202}
            assert http.get("/readyz").status_code == 503
            assert http.get(f"/v1/databases/{site.name}").status_code == 200
        finally:
            site.valkey.start()
        jobs = [answer.json()["job"] for answer in answers]
        for each in jobs[1:]:
            assert http.post(f"{each}/cancel").status_code == 200
        site.done("job", "watch", jobs[0].rpartition("/")[2])
        assert http.get(jobs[0]).json()["state"] == "succeeded"
        ended(process)
    site.settled()


def test_a_redis_that_hangs_holds_nobody_up_for_long(site: Site, token: str) -> None:
    with running(site.environment) as (process, url, _), client(url, token) as http:
        site.settled()
        os.kill(site.valkey.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            answers = [http.post(f"/v1/databases/{site.name}/checks", headers=key()) for _ in range(30)]
            took = time.monotonic() - began
            assert {answer.status_code for answer in answers} == {202}
            assert took < 20
        finally:
            os.kill(site.valkey.pid, signal.SIGCONT)
        jobs = [answer.json()["job_id"] for answer in answers]
        for each in jobs[1:]:
            http.post(f"/v1/jobs/{each}/cancel")
        # Whoever watches rings again what was not rung.
        site.done("job", "watch", jobs[0])
        ended(process)
    site.settled()


def test_a_catalog_that_is_away_is_told_of_and_missed_by_nobody_when_it_is_back(
    site: Site, tmp_path: Path
) -> None:
    server = Postgres(tmp_path / "catalog", settings=FAST | {"fsync": "on"})
    server.start()
    try:
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute("create database catalog")
        environment = site.environment | {"CATALOG_URL": server.dsn("catalog")}
        site.done("migrate", CATALOG_URL=server.dsn("catalog"))
        token = site.done(
            "token", "create", "catalog", "--role", "operate", CATALOG_URL=server.dsn("catalog")
        ).out.strip()
        with running(environment) as (process, url, _), client(url, token) as http:
            same = key()
            assert http.get("/v1/databases").status_code == 200
            server.kill()
            for answer in (
                http.get("/v1/databases"),
                http.get("/v1/jobs"),
                http.post(f"/v1/databases/{site.name}/checks", headers=same),
            ):
                assert (answer.status_code, answer.json()["code"]) == (503, "catalog_unreachable")
                assert answer.headers["content-type"] == "application/problem+json"
                assert int(answer.headers["retry-after"]) > 0
                assert server.password not in answer.text
            assert http.get("/healthz").status_code == 200
            server.start()
            assert http.get("/v1/databases").status_code == 200
            assert http.post(f"/v1/databases/{site.name}/checks", headers=same).status_code == 202
            server.kill()
            assert ended(process).count("Traceback") == 0
    finally:
        server.stop()


def test_it_starts_without_its_catalog_and_not_with_strangers(site: Site) -> None:
    nowhere = "postgresql://nobody:canary@127.0.0.1:1/nothing"
    with running(site.environment | {"CATALOG_URL": nowhere}) as (process, url, _), httpx.Client() as http:
        assert http.get(f"{url}/healthz").json() == {"status": "alive"}
        assert http.get(f"{url}/readyz").status_code == 503
        refused = http.get(f"{url}/v1/jobs", headers={"Authorization": f"Bearer snapfleet_{'0' * 64}"})
        assert (refused.status_code, refused.json()["code"]) == (503, "catalog_unreachable")
        assert "canary" not in refused.text + ended(process)
    strangers = site.run("api", API_HOST="0.0.0.0", API_ANONYMOUS="1")  # noqa: S104 - it must refuse this
    assert (strangers.status, "API_ANONYMOUS" in strangers.err) == (1, True)
    taken = site.run("api", API_HOST="203.0.113.7")
    assert (taken.status, "API_HOST" in taken.err) == (1, True)


def test_whoever_is_on_this_machine_may_come_without_a_token_if_that_is_wanted_and_it_is_said_loudly(
    site: Site,
) -> None:
    anonymous = site.environment | {"API_ANONYMOUS": "1"}
    with running(anonymous) as (process, url, said), httpx.Client(base_url=url) as http:
        assert "ANYBODY_ON_THIS_MACHINE_MAY_DO_EVERYTHING" in said
        answered = http.put("/v1/snapshots/20200101T000000Z-000000/pin")
        assert (answered.status_code, answered.json()["code"]) == (404, "snapshot_unknown")
        ended(process)
