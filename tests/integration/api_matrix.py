"""The table of routes and roles, and an API over two databases on which it is tried."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
from fastapi import FastAPI
from fastapi.testclient import TestClient
from psycopg import sql

from api.app import create_app
from api.context import Context
from api.rates import Rates
from api.watching import Watch
from embedded.postgres import Postgres
from shared.domain import tokens
from shared.domain.access import Role
from shared.domain.ids import new_snapshot_id
from shared.domain.job import Job, JobKind, JobState
from shared.operations.health.readiness import Readiness
from shared.operations.jobs import following, requests
from shared.operations.trust import access
from shared.operations.upkeep import check
from tests.actors import TESTER
from tests.integration import bus_home
from tests.integration.api_world import state_of
from tests.integration.inline_fleet import NAME, InlineFleet

FOREIGN, UNKNOWN = "foreign", "unknown"
ANYBODY = None
PLAN = "0" * 64

READ, OPERATE, RESTORE, ADMIN = Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The smallest role that may use it, and a body that is right."""

    role: Role | None
    body: Mapping[str, Any] | None = None
    query: str = ""
    makes_a_job: bool = False


CONFIRMED = {"plan_id": PLAN, "database": "{name}"}
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/v1/databases"): Route(role=READ),
    ("GET", "/v1/databases/{name}"): Route(role=READ),
    ("GET", "/v1/databases/{name}/snapshots"): Route(role=READ),
    ("POST", "/v1/databases/{name}/snapshots"): Route(role=OPERATE, body={}, makes_a_job=True),
    ("POST", "/v1/databases/{name}/checks"): Route(role=OPERATE, body={}, makes_a_job=True),
    ("POST", "/v1/databases/{name}/restore-plans"): Route(role=RESTORE, body={}),
    ("POST", "/v1/databases/{name}/restores"): Route(
        role=RESTORE, body=CONFIRMED | {"snapshot_id": "{snapshot_id}"}, makes_a_job=True
    ),
    ("POST", "/v1/databases/{name}/prune-plans"): Route(role=ADMIN),
    ("POST", "/v1/databases/{name}/prunes"): Route(role=ADMIN, body=CONFIRMED, makes_a_job=True),
    ("GET", "/v1/snapshots/{snapshot_id}"): Route(role=READ),
    ("GET", "/v1/snapshots/{snapshot_id}/manifest"): Route(role=READ),
    ("POST", "/v1/snapshots/{snapshot_id}/verify"): Route(role=OPERATE, body={}, makes_a_job=True),
    ("PUT", "/v1/snapshots/{snapshot_id}/pin"): Route(role=OPERATE),
    ("DELETE", "/v1/snapshots/{snapshot_id}/pin"): Route(role=OPERATE),
    ("POST", "/v1/snapshots/{snapshot_id}/accept"): Route(role=ADMIN),
    ("POST", "/v1/snapshots/{snapshot_id}/deletion-plans"): Route(role=ADMIN),
    ("DELETE", "/v1/snapshots/{snapshot_id}"): Route(role=ADMIN, query=f"?plan_id={PLAN}", makes_a_job=True),
    ("GET", "/v1/jobs"): Route(role=READ),
    ("GET", "/v1/jobs/{job_id}"): Route(role=READ),
    ("GET", "/v1/jobs/{job_id}/events"): Route(role=READ),
    ("POST", "/v1/jobs/{job_id}/cancel"): Route(role=OPERATE),
    ("POST", "/v1/jobs/{job_id}/undo"): Route(role=RESTORE, body={"database": "{name}"}, makes_a_job=True),
    ("GET", "/v1/audit"): Route(role=ADMIN),
    ("GET", "/healthz"): Route(role=ANYBODY),
    ("GET", "/readyz"): Route(role=ANYBODY),
    ("GET", "/health/backups"): Route(role=READ),
    ("GET", "/metrics"): Route(role=READ),
    ("GET", "/openapi.json"): Route(role=ANYBODY),
}
BY_NAME = {key: route for key, route in ROUTES.items() if "{" in key[1]}
"""Routes that name what they are about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a route can name: all of it belongs to one database."""

    name: str
    snapshot_id: str
    job_id: str
    live_job_id: str

    def fill(self, text: str, path: str) -> str:
        job_id = self.live_job_id if path.endswith("/cancel") else self.job_id
        return text.format(name=self.name, snapshot_id=self.snapshot_id, job_id=job_id)


@dataclass(slots=True, kw_only=True)
class World:
    """An API over a fleet of two databases; tokens of each role reach the first one, and one the second."""

    inline: InlineFleet
    application: FastAPI
    context: Context
    client: httpx.Client
    own: Place
    foreign: Place
    secrets: dict[str, str]
    keys: Callable[[], str] = field(default=lambda: str(uuid.uuid4()))

    @property
    def unknown(self) -> Place:
        return Place(
            name=UNKNOWN,
            snapshot_id="20010101T000000Z-abcdef",
            job_id=str(uuid.UUID(int=1)),
            live_job_id=str(uuid.UUID(int=2)),
        )

    def ask(
        self, key: tuple[str, str], place: Place, secret: str | None, *, route: Route | None = None
    ) -> httpx.Response:
        method, path = key
        asked = route or ROUTES[key]
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        if asked.makes_a_job:
            headers["Idempotency-Key"] = self.keys()
        body = None
        if asked.body is not None:
            said = {name: place.fill(value, path) for name, value in asked.body.items()}
            body = json.dumps(said)
            headers["Content-Type"] = "application/json"
        return self.client.request(
            method, place.fill(path, path) + asked.query, headers=headers, content=body
        )

    def trace(self) -> tuple[int, int, str]:
        """What anybody could have left: jobs, entries of the audit, and the state of the foreign snapshot."""
        with self.inline.fleet.catalog.transaction() as tx:
            jobs = len(tx.jobs.listing(limit=10_000))
            snapshot = tx.snapshots.get(self.foreign.snapshot_id)
            head = tx.audit.head()
        return jobs, head.seq, str(snapshot)


def finished(inline: InlineFleet, name: str) -> Job:
    """A snapshot that is taken, of either database."""
    request = requests.manual_snapshot_request(now=datetime.now(UTC), new_uuid=uuid.uuid4)
    job = inline.to_its_end(inline.submit(JobKind.SNAPSHOT, request, database=name).id)
    assert job.state is JobState.SUCCEEDED, job.error
    return job


def place(inline: InlineFleet, name: str) -> Place:
    job = finished(inline, name)
    inline.drain()
    live = inline.submit(JobKind.CHECK, check.request(), database=name).id
    return Place(name=name, snapshot_id=str(job.request["snapshot_id"]), job_id=job.id, live_job_id=live)


@contextmanager
def made(postgres: Postgres) -> Generator[World]:
    with bus_home.made(postgres) as home:
        inline = bus_home.fresh(home)
        ours = inline.fleet.database(NAME)
        other = f"foreign_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(ours.url, autocommit=True) as session:
            session.execute(sql.SQL("create database {}").format(sql.Identifier(other)))
        url = psycopg.conninfo.make_conninfo(ours.url, dbname=other)
        foreign = replace(ours, name=FOREIGN, url=url)
        inline.configure(databases={NAME: ours, FOREIGN: foreign})
        fleet = inline.fleet
        secrets = {}
        numbers = itertools.count(1)
        for role in Role:
            for reach, databases in (("own", [NAME]), ("foreign", [FOREIGN]), ("all", [])):
                secret = tokens.secret_of(next(numbers).to_bytes(32))
                secrets[f"{role}:{reach}"] = secret
                access.create(
                    fleet,
                    name=f"{role}-{reach}",
                    role=role,
                    databases=databases,
                    secret=secret,
                    now=datetime.now(UTC),
                    expires_at=None,
                    by=TESTER,
                )
        context = Context(
            fleet=fleet,
            authenticate=lambda secret: access.authenticate(fleet, secret, datetime.now(UTC)),
            anonymous=None,
            watch=Watch(lambda places: following.hear(fleet, places)),
            readiness=Readiness(fleet),
            clock=lambda: datetime.now(UTC),
            state=state_of(fleet),
            new_job_id=lambda: str(uuid.uuid4()),
            new_snapshot_id=lambda now: new_snapshot_id(now, uuid.uuid4()),
            is_closing=lambda: False,
            rates=Rates(requests_per_minute=1_000_000, failures_per_minute=1_000_000),
        )
        application = create_app(context)
        with TestClient(application) as client:
            yield World(
                inline=inline,
                application=application,
                context=context,
                client=client,
                own=place(inline, NAME),
                foreign=place(inline, FOREIGN),
                secrets=secrets,
            )
