"""Requests that are wrong in form: each is refused by a problem document, and has no effect."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.limits import SECURITY
from api.main import ANONYMOUS
from api.serving import Closing
from shared.errors import Unreachable
from tests.integration.api_world import Api, key, make_context, problem, serve
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.waiting import until

DB = f"/v1/databases/{NAME}"
JSON = {"Content-Type": "application/json"}
BODIES: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "text": (b"labels", {"Content-Type": "text/plain"}, 415, "media_type"),
    "a form": (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "media_type"),
    "no type": (b"{}", {}, 415, "media_type"),
    "another charset": (b"{}", {"Content-Type": "application/json; charset=utf-16"}, 415, "media_type"),
    "compressed": (b"\x1f\x8b", JSON | {"Content-Encoding": "gzip"}, 415, "media_type"),
    "too large": (b'{"labels": {"a": "' + b"x" * 65_536 + b'"}}', JSON, 413, "too_large"),
    "too deep": (b'{"labels":' * 21 + b"1" + b"}" * 21, JSON, 400, "too_deep"),
    "a thousand deep": (b"[" * 1000 + b"]" * 1000, JSON, 400, "too_deep"),
    "deep and unclosed": (b"[" * 60_000, JSON, 400, "too_deep"),
    "cut off": (b'{"labels": {', JSON, 400, "not_json"),
    "a name twice": (b'{"labels": {}, "labels": {"a": "b"}}', JSON, 400, "not_json"),
    "a byte order mark": (b"\xef\xbb\xbf{}", JSON, 400, "not_json"),
    "no UTF-8": (b'{"labels": {"\xff": "b"}}', JSON, 400, "not_json"),
    "UTF-16": ("{}".encode("utf-16"), JSON, 400, "not_json"),
    "no number": (b'{"labels": NaN}', JSON, 400, "not_json"),
    "a number of five thousand digits": (b'{"labels": ' + b"9" * 5000 + b"}", JSON, 400, "not_json"),
    "a lone surrogate": (b'{"labels": {"a": "\\ud800"}}', JSON, 422, "invalid_request"),
    "a lone surrogate as a name": (b'{"labels": {"\\ud800": "b"}}', JSON, 422, "invalid_request"),
    "NUL": (b'{"labels": {"a": "\\u0000"}}', JSON, 422, "invalid_request"),
    "a line break": (b'{"labels": {"a": "b\\nc"}}', JSON, 422, "invalid_request"),
    "an array": (b"[]", JSON, 422, "invalid_request"),
    "null": (b"null", JSON, 422, "invalid_request"),
    "a string": (b'"{}"', JSON, 422, "invalid_request"),
    "another type": (b'{"labels": ["a"]}', JSON, 422, "invalid_request"),
    "a number for a text": (b'{"labels": {"a": 1}}', JSON, 422, "invalid_request"),
    "an unknown option": (b'{"lables": {}}', JSON, 422, "invalid_request"),
    "another's choice": (b'{"verify": "sometimes"}', JSON, 422, "invalid_request"),
    "thirty-three labels": (
        json.dumps({"labels": {str(n): "" for n in range(33)}}).encode(), JSON, 422, "invalid_request",
    ),
}  # fmt: skip


@pytest.fixture
def fleet(api_fleet: InlineFleet) -> InlineFleet:
    return api_fleet


def jobs(http: httpx.Client) -> list[Any]:
    found: list[Any] = http.get("/v1/jobs").json()["items"]
    return found


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_wrong_is_refused_and_has_no_effect(http: httpx.Client, name: str) -> None:
    body, headers, status, code = BODIES[name]
    told = problem(http.post(f"{DB}/snapshots", headers=key() | headers, content=body), status, code)
    assert "xxxx" not in json.dumps(told)
    assert jobs(http) == []


def test_a_body_in_parts_is_counted_too(http: httpx.Client) -> None:
    def endless() -> Generator[bytes]:
        for _ in range(100):
            yield b" " * 10_000

    try:
        answered = http.post(f"{DB}/snapshots", headers=key() | JSON, content=endless())
    except (httpx.WriteError, httpx.ReadError):  # we were hung up on in the middle
        answered = None
    assert answered is None or answered.status_code == 413
    assert jobs(http) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("TRACE", DB, 405),
        ("PATCH", DB, 405),
        ("DELETE", DB, 405),
        ("GET", f"{DB}/", 404),
        ("GET", "/V1/databases", 404),
        ("GET", "/v1//databases", 404),
        ("GET", "/v1/databases/..%2f..%2fetc", 404),
        ("GET", "/docs", 404),
        ("GET", "/", 404),
    ],
)
def test_a_path_or_method_that_is_none_is_a_problem_too(
    http: httpx.Client, method: str, path: str, status: int
) -> None:
    code = {404: "not_found", 405: "method_not_allowed"}[status]
    refused = http.request(method, path)
    assert refused.json()["code"] in {code, "database_unknown"}
    problem(refused, status, refused.json()["code"])
    assert status != 405 or refused.headers["Allow"] == "GET"


def test_a_header_does_not_make_another_method_of_a_request(http: httpx.Client) -> None:
    assert http.get(DB, headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 200


IDS = [
    "x", "A" * 10_000, "%00", "..%2f..%2f", "latest", "1", "1e400", "-1", "[]", "%7B%7D", "\u0660\u0660", "nil",
    "00000000-0000-0000-0000-000000000000", "00000000-0000-4000-8000-00000000000A",
    "20261122T195500Z-3f9a2c.", "20261122T195500Z-3F9A2C", "20261122t195500z-3f9a2c", "202\u06661122T195500Z-3f9a2c",
]  # fmt: skip


@pytest.mark.parametrize("id_", IDS, ids=lambda id_: id_[:20])
def test_what_cannot_be_an_id_is_unknown(http: httpx.Client, id_: str) -> None:
    for path in (f"/v1/snapshots/{id_}", f"/v1/jobs/{id_}", f"/v1/databases/{id_}", f"/v1/jobs/{id_}/events"):
        refused = http.get(path)
        problem(refused, 404, refused.json()["code"])
    assert http.post(f"/v1/jobs/{id_}/cancel").status_code == 404
    assert http.put(f"/v1/snapshots/{id_}/pin").status_code == 404


AUTHORIZATIONS: dict[str, list[tuple[bytes, bytes]]] = {
    "none": [],
    "empty": [(b"Authorization", b"")],
    "an empty bearer": [(b"Authorization", b"Bearer")],
    "basic": [(b"Authorization", b"Basic YWRtaW46YWRtaW4=")],
    "one letter more": [(b"Authorization", b"Bearer adminn")],
    "another case": [(b"Authorization", b"Bearer ADMIN")],
    "two": [(b"Authorization", b"Bearer admin"), (b"Authorization", b"Bearer admin")],
    "ten kilobytes": [(b"Authorization", b"Bearer " + b"a" * 10_000)],
    "other letters": [(b"Authorization", "Bearer ädmin".encode())],
}


@pytest.mark.parametrize("name", AUTHORIZATIONS)
def test_who_cannot_say_who_he_is_is_told_nothing(api: Api, name: str) -> None:
    with api.client(None) as http:
        for path in ("/v1/databases", "/v1/databases/nowhere", "/v1/jobs", "/v1/audit", "/health/backups"):
            refused = http.get(path, headers=AUTHORIZATIONS[name])
            problem(refused, 401, "unauthenticated")
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert http.get("/v1/databases?access_token=admin").status_code == 401
        refused = http.post(f"{DB}/snapshots", headers=[*AUTHORIZATIONS[name], *httpx.Headers(key()).raw])
        assert refused.status_code == 401


def test_a_role_that_is_too_low_is_refused_before_anything_is_looked_up(api: Api) -> None:
    with api.client("read") as http:
        for path in (f"{DB}/snapshots", "/v1/databases/nowhere/snapshots"):
            problem(http.post(path, headers=key()), 403, "forbidden")
        problem(http.get("/v1/audit"), 403, "forbidden")
    with api.client("operate") as http:
        problem(http.post(f"{DB}/restore-plans"), 403, "forbidden")
        job = http.post(f"{DB}/checks", headers=key()).json()["job"]
        assert http.post(f"{job}/cancel").status_code in {200, 409}


def test_only_who_may_restore_stops_a_restore(api: Api, fleet: InlineFleet) -> None:
    with api.client() as http:
        taken = http.post(f"{DB}/snapshots", headers=key()).json()
        fleet.to_its_end(taken["job_id"])
        fleet.drain()
        plan = http.post(f"{DB}/restore-plans").json()
        asked = {"plan_id": plan["plan_id"], "database": NAME, "snapshot_id": taken["snapshot_id"]}
        job = http.post(f"{DB}/restores", headers=key(), json=asked).json()["job"]
    with api.client("operate") as http:
        problem(http.post(f"{job}/cancel"), 403, "forbidden")
    with api.client("restore") as http:
        assert http.post(f"{job}/cancel").status_code == 200
    fleet.to_its_end(job.rpartition("/")[2])


def test_every_answer_has_careful_headers(api: Api) -> None:
    with api.client() as http, api.client(None) as stranger:
        answers = [
            http.get("/v1/databases"), http.get("/v1/jobs/x"), http.post(f"{DB}/checks"), stranger.get("/v1/jobs"),
            stranger.get("/healthz"), stranger.get("/openapi.json"), http.get("/nothing"), http.request("TRACE", "/"),
        ]  # fmt: skip
    for answer in answers:
        assert {name: answer.headers[name] for name in SECURITY} == SECURITY
        assert "server" not in answer.headers
        assert answer.headers["Cache-Control"] in {"no-store", "private, no-cache"}
        assert not any(name.startswith("access-control-") for name in answer.headers)


def test_whoever_asks_without_a_token_asks_this_machine_by_its_own_name(api: Api, fleet: InlineFleet) -> None:
    """A page whose name was made to point here gets nothing."""
    api.around(fleet.fleet, anonymous=ANONYMOUS)
    with api.client(None) as http:
        assert len(http.get("/v1/databases").json()["items"]) == 1
        problem(http.get("/v1/databases", headers={"Host": "evil.example"}), 401, "unauthenticated")
        problem(
            http.get("/v1/databases", headers={"Authorization": "Bearer nonsense"}), 401, "unauthenticated"
        )
        assert http.get("/v1/databases", headers={"Origin": "http://localhost:3000"}).status_code == 200
        for others in (
            {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://[evil"},
            {"X-Forwarded-For": "203.0.113.7"}, {"Via": "1.1 proxy"}, {"Forwarded": "for=203.0.113.7"},
        ):  # fmt: skip
            problem(http.get("/v1/databases", headers=others), 401, "unauthenticated")


def test_what_nobody_expected_is_told_without_a_word_of_it(api: Api, fleet: InlineFleet) -> None:
    def broken(_: str) -> Any:
        raise RuntimeError("postgresql://user:secret@host/db")

    api.around(fleet.fleet, authenticate=broken)
    with api.client() as http:
        told = problem(http.get("/v1/databases"), 500, "internal")
    assert "postgresql" not in json.dumps(told)


def test_a_catalog_that_is_away_is_a_problem_that_says_so(api: Api, fleet: InlineFleet) -> None:
    def away(_: str) -> Any:
        raise Unreachable("the catalog does not answer", code="catalog_unreachable")

    api.around(fleet.fleet, authenticate=away)
    with api.client() as http:
        answered = http.get("/v1/databases")
    problem(answered, 503, "catalog_unreachable")
    assert int(answered.headers["Retry-After"]) > 0


def test_who_asks_too_slowly_or_for_too_long_is_answered_in_time(fleet: InlineFleet) -> None:
    closing, asked, go_on = Closing(), threading.Event(), threading.Event()

    def slow(_: str) -> Any:
        asked.set()
        go_on.wait(30)
        raise Unreachable("late", code="late")

    short = {"read_within": timedelta(seconds=0.3), "answer_within": timedelta(seconds=0.3)}
    with serve(make_context(fleet.fleet, closing, authenticate=slow), closing, **short) as api:
        with api.client() as http:
            problem(http.get("/v1/databases"), 503, "timed_out")
            assert asked.is_set()
            go_on.set()
        host, port = api.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as line:
            line.sendall(b"POST /v1/databases/x/checks HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            assert line.recv(1000).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "lines",
    [
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        + b"".join(b"X-%d: y\r\n" % n for n in range(200))
        + b"\r\n",
    ],
)
def test_old_and_odd_clients_are_answered(api: Api, lines: bytes) -> None:
    assert raw(api, lines).startswith(b"HTTP/1.1 200 ")


def test_two_lengths_are_no_request(api: Api) -> None:
    two = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}GET "
    assert raw(api, two).startswith(b"HTTP/1.1 400 ")


def raw(api: Api, lines: bytes) -> bytes:
    host, port = api.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(lines)
        return line.recv(4000)


def test_no_answer_waits_for_its_own_acknowledgement(http: httpx.Client) -> None:
    """Head and body leave in two writes: with Nagle's algorithm the second one waits 40 ms for the first."""

    def is_quick() -> bool:
        began = time.monotonic()
        assert http.get("/healthz").status_code == 200
        return time.monotonic() - began < 0.03

    until(is_quick)
