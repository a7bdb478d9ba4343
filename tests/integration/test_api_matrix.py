"""Who may do what, tried: every route, by every role, on an own, a foreign and an unknown database.

What the table of `api_matrix` says is all that counts: a route that is not in it, or that lets in whom it should not,
fails a test here, whatever it declares of itself.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.openapi import routes
from api.rates import Rates
from embedded.postgres import Postgres
from shared.domain import tokens
from shared.domain.access import Principal, Role
from shared.domain.job import JobKind
from shared.operations.trust import access, auditing
from tests.actors import TESTER
from tests.integration import api_matrix
from tests.integration.api_matrix import (
    ADMIN,
    ANYBODY,
    BY_NAME,
    FOREIGN,
    OPERATE,
    RESTORE,
    ROUTES,
    UNKNOWN,
    Route,
    World,
)
from tests.integration.inline_fleet import NAME


@pytest.fixture(scope="module")
def world(postgres: Postgres) -> Generator[World]:
    with api_matrix.made(postgres) as world:
        yield world


def named(key: tuple[str, str]) -> str:
    return " ".join(key)


def code(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    return str(response.json()["code"])


def test_every_route_stands_in_the_matrix(world: World) -> None:
    application = world.application
    assert {
        (method, route.path_format) for route in routes(application) for method in route.methods or ()
    } == set(ROUTES)
    described = world.client.get("/openapi.json").json()["paths"]
    operations = {(method.upper(), path) for path, methods in described.items() for method in methods}
    assert operations == set(ROUTES) - {("GET", "/openapi.json")}


@pytest.mark.parametrize("key", ROUTES, ids=named)
def test_without_a_token_that_is_known_only_what_is_for_anybody_is_answered(
    world: World, key: tuple[str, str]
) -> None:
    before = world.trace()
    for secret in (None, "", "x", tokens.secret_of(bytes(32)), world.secrets["admin:all"].upper()):
        response = world.ask(key, world.own, secret)
        if ROUTES[key].role is ANYBODY:
            assert response.status_code == 200
        else:
            assert (response.status_code, code(response)) == (401, "unauthenticated")
            assert response.headers["www-authenticate"].startswith("Bearer")
    assert world.trace() == before


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("key", ROUTES, ids=named)
def test_a_role_may_what_it_includes_and_is_refused_the_rest(
    world: World, key: tuple[str, str], role: Role
) -> None:
    needed = ROUTES[key].role
    before = world.trace()
    for reach in ("own", "all"):
        response = world.ask(key, world.own, world.secrets[f"{role}:{reach}"])
        if needed is ANYBODY or role.includes(needed):
            assert response.status_code not in {401, 403, 404, 422}, response.text
            assert response.status_code < 500 or "/health" in key[1], response.text
        else:
            assert (response.status_code, code(response)) == (403, "forbidden")
            assert world.trace() == before


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("key", BY_NAME, ids=named)
def test_what_a_token_does_not_reach_is_answered_as_what_does_not_exist(
    world: World, key: tuple[str, str], role: Role
) -> None:
    """To the byte: and so it is where the role is too small, which is told before anything is looked for."""
    before = world.trace()
    secret, needed = world.secrets[f"{role}:own"], BY_NAME[key].role
    foreign, unknown = (world.ask(key, each, secret) for each in (world.foreign, world.unknown))
    assert needed is not None
    assert foreign.status_code == (404 if role.includes(needed) else 403)
    assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content)
    quiet = {name for name in foreign.headers if name != "date"}
    assert quiet == {name for name in unknown.headers if name != "date"}
    for name in (FOREIGN, world.foreign.snapshot_id, world.foreign.job_id):
        assert name not in foreign.text
    assert world.trace() == before


@pytest.mark.parametrize("role", Role)
def test_who_reaches_the_other_database_reaches_that_one_and_not_ours(world: World, role: Role) -> None:
    """That the foreign one is refused above is not because nobody could reach it."""
    for key in (
        ("GET", "/v1/databases/{name}"),
        ("GET", "/v1/snapshots/{snapshot_id}"),
        ("GET", "/v1/jobs/{job_id}"),
    ):
        assert world.ask(key, world.foreign, world.secrets[f"{role}:foreign"]).status_code == 200
        assert world.ask(key, world.foreign, world.secrets[f"{role}:all"]).status_code == 200
        assert world.ask(key, world.own, world.secrets[f"{role}:foreign"]).status_code == 404


@pytest.mark.parametrize(
    "key",
    [
        ("GET", "/v1/databases"),
        ("GET", "/v1/jobs"),
        ("GET", "/v1/audit"),
        ("GET", "/health/backups"),
        ("GET", "/metrics"),
    ],
    ids=named,
)
def test_a_list_shows_what_the_token_reaches_and_nothing_else(world: World, key: tuple[str, str]) -> None:
    ours = world.ask(key, world.own, world.secrets["admin:own"]).text
    assert f'"{NAME}"' in ours
    for name in (FOREIGN, world.foreign.snapshot_id, world.foreign.job_id, world.foreign.live_job_id):
        assert name not in ours
    assert f'"{FOREIGN}"' in world.ask(key, world.own, world.secrets["admin:all"]).text


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/audit"])
def test_a_list_asked_for_a_foreign_database_is_answered_as_for_an_unknown_one(
    world: World, path: str
) -> None:
    answers = [
        world.ask(
            ("GET", path),
            world.own,
            world.secrets["admin:own"],
            route=Route(role=ADMIN, query=f"?database={name}"),
        )
        for name in (FOREIGN, UNKNOWN)
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content


TO_STOP = {
    JobKind.SNAPSHOT: OPERATE,
    JobKind.VERIFY: OPERATE,
    JobKind.CHECK: OPERATE,
    JobKind.RESTORE: RESTORE,
    JobKind.TABLES: RESTORE,
    JobKind.RESET: RESTORE,
    JobKind.UNDO: RESTORE,
    JobKind.PRUNE: ADMIN,
}


@pytest.mark.parametrize("kind", JobKind)
def test_to_stop_a_job_takes_the_role_that_may_ask_for_it(world: World, kind: JobKind) -> None:
    needed = TO_STOP[kind]
    job_id = world.inline.submit(kind, {}).id
    mine = replace(world.own, live_job_id=job_id)
    for role in Role:
        response = world.ask(("POST", "/v1/jobs/{job_id}/cancel"), mine, world.secrets[f"{role}:own"])
        assert (response.status_code == 403) is not role.includes(needed), (role, response.text)


def test_what_was_done_stands_in_the_audit_under_the_tokens_name_and_its_address(world: World) -> None:
    world.ask(("POST", "/v1/databases/{name}/checks"), world.own, world.secrets["operate:own"])
    (entry,) = auditing.listing(world.inline.fleet, limit=1)
    assert (entry.actor, entry.origin, entry.action) == ("operate-own", "api:testclient", "check.requested")
    assert auditing.examine(world.inline.fleet).findings == ()


def test_a_token_that_is_revoked_is_refused_with_the_next_request(world: World) -> None:
    fleet, secret = world.inline.fleet, tokens.secret_of(bytes([255]) * 32)
    now = datetime.now(UTC)
    access.create(
        fleet, name="leaver", role=ADMIN, databases=(), secret=secret, now=now, expires_at=None, by=TESTER
    )
    assert world.ask(("GET", "/v1/databases"), world.own, secret).status_code == 200
    access.revoke(fleet, "leaver", now=now, by=TESTER)
    assert code(world.ask(("GET", "/v1/databases"), world.own, secret)) == "unauthenticated"


def test_a_token_that_asks_too_often_is_told_so_and_when_to_come_back(world: World) -> None:
    context = replace(world.context, rates=Rates(requests_per_minute=2, failures_per_minute=2))
    with TestClient(create_app(context)) as client:
        narrow = replace(world, client=client)
        asked = [narrow.ask(("GET", "/v1/jobs"), world.own, world.secrets["read:own"]) for _ in range(3)]
        assert [response.status_code for response in asked] == [200, 200, 429]
        assert code(asked[-1]) == "rate_limited"
        assert 1 <= int(asked[-1].headers["retry-after"]) <= 60
        assert narrow.ask(("GET", "/v1/jobs"), world.own, world.secrets["read:all"]).status_code == 200


def test_an_address_whose_tokens_are_refused_too_often_is_not_looked_up_any_more(world: World) -> None:
    looked_up = list[str]()

    def noted(secret: str) -> Principal:
        looked_up.append(secret)
        return world.context.authenticate(secret)

    rates = Rates(requests_per_minute=100, failures_per_minute=2)
    with TestClient(create_app(replace(world.context, rates=rates, authenticate=noted))) as client:
        narrow = replace(world, client=client)
        jobs, wrong = ("GET", "/v1/jobs"), tokens.secret_of(bytes(32))
        assert [narrow.ask(jobs, world.own, wrong).status_code for _ in range(4)] == [401, 401, 429, 429]
        assert looked_up == [wrong, wrong]
        assert narrow.ask(jobs, world.own, world.secrets["read:own"]).status_code == 429
        assert narrow.ask(("GET", "/healthz"), world.own, None).status_code == 200
