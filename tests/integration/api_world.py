"""The REST API around an in-process fleet: a real server on a port of its own, in a thread of this process."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from api import serving
from api.app import create_app
from api.context import Context
from api.rates import Rates
from api.serving import Closing
from api.watching import Watch
from shared.broker.gauge import Traffic
from shared.domain.access import Principal, Role
from shared.domain.ids import new_snapshot_id
from shared.errors import Refused
from shared.metrics.collector import registry_of
from shared.metrics.exposition import CollectorRegistry
from shared.operations.fleet import Fleet
from shared.operations.health.readiness import Readiness
from shared.operations.jobs import following
from shared.streams.memory import MemoryStreams
from tests.integration.inline_fleet import NAME

ELSEWHERE = "elsewhere"
"""A database that the token `foreign` reaches, and that no test ever configures."""

PRINCIPALS = {
    **{str(role): Principal(name=str(role), role=role) for role in Role},
    "own": Principal(name="own", role=Role.ADMIN, databases=frozenset({NAME})),
    "foreign": Principal(name="foreign", role=Role.ADMIN, databases=frozenset({ELSEWHERE})),
}
"""By their secrets."""


def authenticate(secret: str) -> Principal:
    if secret not in PRINCIPALS:
        raise Refused("the token is not valid", code="token_unknown")
    return PRINCIPALS[secret]


class NoTraffic:
    """Nothing waits, and nobody is there to take it."""

    def read(self) -> Traffic:
        return Traffic(waiting={}, takers={}, workers=0)


def state_of(fleet: Fleet) -> CollectorRegistry:
    streams = MemoryStreams(clock=time.monotonic)
    return registry_of(fleet, gauge=NoTraffic(), streams=streams, folder=None, version="1")


def make_context(fleet: Fleet, closing: Closing | None = None, **changes: Any) -> Context:
    made = Context(
        fleet=fleet,
        authenticate=authenticate,
        anonymous=None,
        watch=Watch(lambda places: following.hear(fleet, places), every=timedelta(milliseconds=50)),
        readiness=Readiness(fleet),
        clock=lambda: datetime.now(UTC),
        state=state_of(fleet),
        new_job_id=lambda: str(uuid.uuid4()),
        new_snapshot_id=lambda now: new_snapshot_id(now, uuid.uuid4()),
        is_closing=closing or Closing(),
        rates=Rates(requests_per_minute=1_000_000, failures_per_minute=1_000_000),
    )
    return replace(made, **changes)


class Api:
    """A running server, and clients for it."""

    def __init__(self, app: FastAPI, url: str, closing: Closing) -> None:
        self.app, self.url, self.closing = app, url, closing

    @property
    def context(self) -> Context:
        found: Context = self.app.state.context
        return found

    def around(self, fleet: Fleet, **changes: Any) -> None:
        """From now on it works with this fleet."""
        self.app.state.context = make_context(fleet, self.closing, **changes)

    def client(self, secret: str | None = "admin", **headers: str) -> httpx.Client:  # noqa: S107 - a test's
        given = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        return httpx.Client(base_url=self.url, headers=given | headers, timeout=30)


@contextmanager
def serve(context: Context, closing: Closing, **limits: timedelta) -> Generator[Api]:
    """Runs while inside."""
    app = create_app(context, **limits)
    listening = serving.listen("127.0.0.1", 0)
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="api")
    thread.start()
    host, port = listening.getsockname()[:2]
    try:
        yield Api(app, f"http://{host}:{port}", closing)
    finally:
        closing.ask()
        server.should_exit = True
        thread.join(timeout=30)
        assert not thread.is_alive()


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def problem(response: httpx.Response, status: int, code: str) -> Mapping[str, Any]:
    """It is a problem document of that kind, and tells nothing that it should not."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json", response.text
    found: dict[str, Any] = response.json()
    assert found["code"] == code, found
    assert found["status"] == status
    assert found["type"] == f"urn:snapfleet:problem:{code}"
    assert "Traceback" not in response.text
    assert "secret" not in response.text
    return found
