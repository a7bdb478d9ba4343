"""Requests that are wrong in every known way: none is answered with a 5xx or a trace, none makes or changes anything."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import BadStatusLine, HTTPResponse
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from api.limits import LARGEST_BYTES
from api.serving import Closing
from embedded.postgres import Postgres
from shared.domain import tokens
from shared.domain.access import Actor, Role
from shared.operations.trust import access
from tests.integration import bus_home
from tests.integration.api_world import Api, key, make_context, problem, serve
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_bad_messages import rows
from tests.integration.test_round_trip import succeeded

DB = f"/v1/databases/{NAME}"
READ_WITHIN = timedelta(seconds=1)
NIL_JOB, NIL_SNAPSHOT = "00000000-0000-0000-0000-000000000000", "00000000T000000Z-000000"
STRANGE_IDS = (
    "nonsense",
    NIL_JOB,
    NIL_JOB.upper().replace("0", "A"),
    NIL_SNAPSHOT,
    "a" * 10_240,
    "%00",
    "..%2f..%2fetc%2fpasswd",
    "%2f%2f",
    f"{NIL_SNAPSHOT}.",
    f"{NIL_JOB}.",
    "%D9%A4%D9%A2",
    str(2**70),
    "-1",
    "1.5",
    "[]",
    "%7B%7D",
    "%25",
    "'%20or%20'1'='1",
    "%ff%fe",
    "%0d%0aSet-Cookie:%20x=y",
)
OF_IDS = (
    ("GET", "/v1/snapshots/{}"),
    ("GET", "/v1/snapshots/{}/manifest"),
    ("POST", "/v1/snapshots/{}/verify"),
    ("PUT", "/v1/snapshots/{}/pin"),
    ("GET", "/v1/jobs/{}"),
    ("GET", "/v1/jobs/{}/events"),
    ("POST", "/v1/jobs/{}/cancel"),
    ("GET", "/v1/databases/{}"),
    ("POST", "/v1/databases/{}/snapshots"),
)


@pytest.fixture(scope="module")
def fleet(postgres: Postgres) -> Generator[InlineFleet]:
    with bus_home.made(postgres) as made:
        succeeded(bus_home.fresh(made).snapshot())
        yield made


@pytest.fixture(scope="module")
def api(fleet: InlineFleet) -> Generator[Api]:
    closing = Closing()
    with serve(make_context(fleet.fleet, closing), closing, read_within=READ_WITHIN) as made:
        yield made


@pytest.fixture
def http(api: Api, fleet: InlineFleet) -> Generator[httpx.Client]:
    """Afterwards nothing is other than it was, and the server answers."""
    before = rows(fleet)
    with api.client() as client:
        yield client
        assert rows(fleet) == before
        assert client.get(DB).status_code == 200


def refused(response: httpx.Response, *expected: tuple[int, str]) -> None:
    told = response.json()
    problem(response, response.status_code, told["code"])
    assert (response.status_code, told["code"]) in expected, told


@pytest.mark.parametrize(("method", "path"), OF_IDS, ids=lambda value: value)
def test_a_strange_id_is_of_nothing(http: httpx.Client, method: str, path: str) -> None:
    for given in STRANGE_IDS:
        response = http.request(method, path.format(given), headers=key())
        refused(
            response,
            (404, "snapshot_unknown"),
            (404, "job_unknown"),
            (404, "database_unknown"),
            (404, "not_found"),
        )
        assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "given", [1, 1.5, 2**70, [], {}, True, None, "", "x" * 10_240, "\x00", "latest", NIL_JOB]
)
@pytest.mark.parametrize("name", ["snapshot_id", "plan_id", "database"])
def test_a_strange_id_in_a_body_restores_nothing(http: httpx.Client, name: str, given: Any) -> None:
    body = {"plan_id": "0" * 24, "database": NAME, "snapshot_id": NIL_SNAPSHOT} | {name: given}
    refused(
        http.post(f"{DB}/restores", json=body, headers=key()),
        (422, "invalid_request"),
        (404, "snapshot_unknown"),
        (409, "plan_changed"),
        (409, "not_confirmed"),
    )


def test_the_newest_of_a_database_without_snapshots_is_none(
    api: Api, fleet: InlineFleet, http: httpx.Client
) -> None:
    mine = fleet.fleet.database(NAME)
    empty = replace(fleet.fleet, databases={NAME: mine, "empty": replace(mine, name="empty")})
    api.around(empty)
    refused(http.post("/v1/databases/empty/restore-plans", json={}), (404, "no_snapshot"))
    api.around(fleet.fleet)


@pytest.mark.parametrize(
    "query",
    ['limit="10"', "limit=%2210%22", "limit=٣", "limit=0x10", "offset=99999999999999999999",
     "sort=name;drop", "state[]=sealed", "limit=10&LIMIT=20", "before=&before=", "limit=9" + "9" * 5000],
)  # fmt: skip
def test_numbers_that_are_none_and_parameters_that_are_not_known_are_refused(
    http: httpx.Client, query: str
) -> None:
    refused(http.get(f"{DB}/snapshots?{query}"), (400, "query_invalid"), (422, "invalid_request"))


BODIES: dict[str, tuple[bytes, dict[str, str], tuple[int, str]]] = {
    "text": (b"labels", {"Content-Type": "text/plain"}, (415, "media_type")),
    "a form": (b"labels=1", {"Content-Type": "application/x-www-form-urlencoded"}, (415, "media_type")),
    "no type": (b"{}", {"Content-Type": ""}, (415, "media_type")),
    "UTF-16": ("{}".encode("utf-16"), {"Content-Type": "application/json; charset=utf-16"}, (415, "media_type")),
    "one byte too many": (b'"' + b"x" * (LARGEST_BYTES - 1) + b'"', {}, (413, "too_large")),
    "compressed": (gzip.compress(b"{}" + b" " * 10_000_000), {"Content-Encoding": "gzip"}, (415, "media_type")),
    "a name twice": (b'{"verify": "always", "verify": "never"}', {}, (400, "not_json")),
    "a thousand deep": (b'{"labels":' * 1000 + b"1" + b"}" * 1000, {}, (400, "too_deep")),
    "a lone surrogate": (rb'{"labels": {"a": "\ud800"}}', {}, (422, "invalid_request")),
    "a mark of byte order": (b"\xef\xbb\xbf{}", {}, (400, "not_json")),
    "half of it": (b'{"labels": ', {}, (400, "not_json")),
    "two of them": (b"{}{}", {}, (400, "not_json")),
    "not a number": (b'{"labels": NaN}', {}, (400, "not_json")),
    "a list": (b"[]", {}, (422, "invalid_request")),
    "a number": (b"1", {}, (422, "invalid_request")),
    "what nobody knows": (b'{"reason": "schedule"}', {}, (422, "invalid_request")),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_none_is_refused(http: httpx.Client, name: str) -> None:
    body, headers, expected = BODIES[name]
    sent = {"Content-Type": "application/json"} | headers | key()
    response = http.post(f"{DB}/snapshots", content=body, headers={n: v for n, v in sent.items() if v})
    refused(response, expected)


def test_a_request_that_needs_a_body_is_refused_without_one(http: httpx.Client) -> None:
    refused(http.post(f"{DB}/restores", headers=key()), (422, "invalid_request"))


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("POST", DB, {"X-HTTP-Method-Override": "DELETE"}, (405, "method_not_allowed")),
        ("GET", f"{DB}/snapshots", {"X-HTTP-Method-Override": "POST"}, None),
        ("TRACE", DB, {}, (405, "method_not_allowed")),
        ("CONNECT", DB, {}, (405, "method_not_allowed")),
        ("DELETE", DB, {}, (405, "method_not_allowed")),
        ("GET", f"/V1/databases/{NAME}", {}, (404, "not_found")),
        ("GET", f"/v1/databases/{NAME.upper()}", {}, (404, "database_unknown")),
        ("GET", f"{DB}/", {}, (404, "not_found")),
        ("GET", f"//v1/databases/{NAME}", {}, (404, "not_found")),
        ("GET", f"/v1/databases/x/../{NAME}", {}, (404, "not_found")),
        ("PUT", "/v1/snapshots/{snapshot}/pin", {"If-Match": '"of-another-time"'}, (412, "changed")),
        ("PUT", "/v1/snapshots/{snapshot}/pin", {"If-Match": "W/"}, (412, "changed")),
    ],
)
def test_another_method_path_or_condition_is_no_way_round(  # noqa: PLR0917 - the case and its fixtures
    http: httpx.Client,
    fleet: InlineFleet,
    method: str,
    path: str,
    headers: dict[str, str],
    expected: tuple[int, str] | None,
) -> None:
    response = raw(
        http,
        method,
        path.format(snapshot=fleet.snapshots()[0].id),
        "".join(f"{n}: {v}\r\n" for n, v in headers.items()),
    )
    if expected is None:
        assert response.status == 200
        return
    status, code = expected
    assert response.status == status
    told = json.loads(response.read())
    assert told["code"] == code or (code == "changed" and told["status"] == 412), told


def raw(
    http: httpx.Client,
    method: str,
    path: str,
    lines: str = "",
    *,
    body: bytes = b"",
    version: str = "HTTP/1.1",
    authorization: str = "Bearer admin",
) -> HTTPResponse:
    """What the server answers to these very bytes."""
    head = f"{method} {path} {version}\r\nHost: here\r\nAuthorization: {authorization}\r\n{lines}\r\n"
    with socket.create_connection(
        (str(http.base_url.host), http.base_url.port or 0), timeout=20
    ) as connection:
        connection.sendall(head.encode("latin-1") + body)
        response = HTTPResponse(connection, method="GET")
        response.begin()
        content = response.read()
    response.read = lambda *_: content  # type: ignore[method-assign]  # it is read while the connection is open
    return response


def test_lengths_that_contradict_each_other_are_refused(http: httpx.Client) -> None:
    for lines in (
        "Content-Length: 2\r\nContent-Length: 20\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
    ):
        head = f"{lines}Content-Type: application/json\r\nIdempotency-Key: {key()['Idempotency-Key']}\r\n"
        assert 400 <= raw(http, "POST", f"{DB}/checks", head, body=b"{}").status < 500 or lines.startswith(
            "Content-Length: 2\r\nTransfer"
        )


def test_a_body_that_never_ends_is_not_waited_for(http: httpx.Client) -> None:
    began = time.monotonic()
    lines = "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n"
    response = raw(http, "POST", f"{DB}/snapshots", lines, body=b"1\r\n{\r\n")
    assert (response.status, json.loads(response.read())["code"]) == (408, "too_slow")
    assert time.monotonic() - began < READ_WITHIN.total_seconds() + 5


def test_many_or_large_headers_another_host_and_an_old_version_do_no_harm(http: httpx.Client) -> None:
    many = "".join(f"X-Header-{n}: {n}\r\n" for n in range(200))
    assert raw(http, "GET", DB, many).status == 200
    answered = raw(http, "GET", DB, "X-Forwarded-Host: evil.example\r\nX-Forwarded-For: 192.0.2.1\r\n")
    assert answered.status == 200
    assert b"evil" not in answered.read()
    assert raw(http, "GET", DB, version="HTTP/1.0").status == 200


# Who asks


@pytest.fixture
def secrets(api: Api, fleet: InlineFleet) -> Generator[dict[str, str]]:
    """Real tokens, by what is wrong with each."""
    now = datetime.now(UTC)
    by = Actor(name="test", origin="test")
    made = {}
    for number, name in enumerate(("good", "expired", "revoked", "other", "reader")):
        made[name] = tokens.secret_of(bytes([number + 1]) * 32)
        access.create(
            fleet.fleet,
            name=name,
            role=Role.READ if name == "reader" else Role.ADMIN,
            databases=[NAME] if name in {"good", "reader"} else [],
            secret=made[name],
            now=now - timedelta(days=2),
            expires_at=now - timedelta(days=1) if name == "expired" else None,
            by=by,
        )
    access.revoke(fleet.fleet, "revoked", now=now, by=by)
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.execute(text("update token set databases = '[\"elsewhere\"]' where name = 'other'"))
    api.around(
        fleet.fleet, authenticate=lambda secret: access.authenticate(fleet.fleet, secret, datetime.now(UTC))
    )
    yield made
    api.around(fleet.fleet)
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.execute(text("delete from token"))


def test_whoever_has_no_good_token_is_told_the_same_whatever_is_wrong_with_it(
    api: Api, secrets: dict[str, str]
) -> None:
    good = secrets["good"]
    given: dict[str, list[str]] = {
        "none": [],
        "empty": [""],
        "a bearer without a token": ["Bearer"],
        "basic": ["Basic YWRtaW46YWRtaW4="],
        "one character more": [f"Bearer {good}0"],
        "one character fewer": [f"Bearer {good[:-1]}"],
        "another last character": [f"Bearer {good[:-1]}{'0' if good[-1] != '0' else '1'}"],
        "in capitals": [f"Bearer {good.upper()}"],
        "expired": [f"Bearer {secrets['expired']}"],
        "revoked": [f"Bearer {secrets['revoked']}"],
        "its digest": [f"Bearer {tokens.digest(good)}"],
        "two": [f"Bearer {good}", f"Bearer {good}"],
        "two in one": [f"Bearer {good}, Bearer {good}"],
        "long": ["Bearer " + "x" * 20_000],
        "of other letters": ["Bearer snapfleet_\xe4\xf6\xfc"],
        "SQL": ["Bearer ' or '1'='1"],
    }
    told = set()
    with httpx.Client(base_url=api.url) as client:
        for name, values in given.items():
            headers = [(b"authorization", value.encode("latin-1")) for value in values]
            response = client.get(DB, headers=headers)
            assert response.status_code == 401, name
            assert response.headers["www-authenticate"].startswith("Bearer")
            body = problem(response, 401, "unauthenticated")
            if name in {"expired", "revoked", "another last character", "in capitals"}:
                told.add(json.dumps(body, sort_keys=True))
            assert good not in response.text
        assert client.get(DB, headers={"Authorization": f"Bearer {good}"}).status_code == 200
    assert len(told) == 1


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_a_token_as_long_as_a_book_is_refused_or_not_even_read(http: httpx.Client, size: int) -> None:
    try:
        response = raw(http, "GET", DB, authorization=f"Bearer {'x' * size}")
    except (ConnectionError, BadStatusLine):
        return  # it has hung up
    assert 400 <= response.status < 500


def test_a_bearer_of_nothing_is_nobody(http: httpx.Client) -> None:
    for authorization in ("Bearer ", "Bearer  ", "bearer", " "):
        assert raw(http, "GET", DB, authorization=authorization).status == 401


def test_a_token_in_the_address_counts_for_nothing(api: Api, secrets: dict[str, str]) -> None:
    with httpx.Client(base_url=api.url) as client:
        for name in ("token", "access_token", "authorization", "api_key"):
            response = client.get(DB, params={name: secrets["good"]})
            assert response.status_code in {400, 401}
            assert secrets["good"] not in response.text


def test_another_tenant_finds_nothing_and_a_reader_changes_nothing(
    api: Api, secrets: dict[str, str], fleet: InlineFleet
) -> None:
    snapshot_id = fleet.snapshots()[0].id
    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {secrets['other']}"}) as other:
        foreign = other.get(f"/v1/snapshots/{snapshot_id}")
        unknown = other.get(f"/v1/snapshots/{NIL_SNAPSHOT}")
        assert (foreign.status_code, foreign.json()) == (unknown.status_code, unknown.json())
    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {secrets['reader']}"}) as reader:
        assert reader.get(f"/v1/snapshots/{snapshot_id}").status_code == 200
        problem(reader.post(f"{DB}/snapshots", headers=key()), 403, "forbidden")
        problem(reader.post(f"{DB}/restores", json={}, headers=key()), 403, "forbidden")


def test_a_plan_of_something_else_restores_nothing(http: httpx.Client, fleet: InlineFleet) -> None:
    snapshot_id = fleet.snapshots()[0].id
    beside = http.post(f"{DB}/restore-plans", json={"snapshot_id": snapshot_id, "to": "beside"}).json()
    body = {"snapshot_id": snapshot_id, "plan_id": beside["plan_id"], "database": NAME, "safeguard": False}
    refused(http.post(f"{DB}/restores", json=body, headers=key()), (409, "plan_changed"))
