"""Lists in pages, answers that are known already, keys that are used twice, and what a token may not see."""

from __future__ import annotations

import base64
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from api import accepting
from api.idempotency import Asked
from api.permissions import Caller
from shared.domain.access import Actor
from shared.domain.job import JobKind, NewJob
from shared.errors import Refused
from shared.operations.health import reports
from shared.operations.jobs import requests
from shared.operations.upkeep import check
from tests.integration.api_world import PRINCIPALS, Api, key, problem
from tests.integration.inline_fleet import NAME, InlineFleet

DB = f"/v1/databases/{NAME}"
UNKNOWN_JOB = "00000000-0000-4000-8000-000000000000"
UNKNOWN_SNAPSHOT = "20200101T000000Z-000000"
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def fleet(api_fleet: InlineFleet) -> InlineFleet:
    return api_fleet


def shelve(fleet: InlineFleet, numbers: range, state: str = "sealed") -> None:
    """Snapshots as rows."""
    rows = [
        {
            "id": f"{BEGINNING + timedelta(hours=n):%Y%m%dT%H%M%SZ}-{n:06x}",
            "n": n,
            "at": BEGINNING,
            "state": state,
        }
        for n in numbers
    ]
    with fleet.fleet.catalog.transaction() as tx:
        tx.schedules.know([NAME])
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.execute(
            text(
                "insert into snapshot (id, database, sequence, reason, state, manifest_sha256, taken_at, sealed_at)"
                f" values (:id, '{NAME}', :n, 'manual', :state, 'x', :at, :at)"
            ),
            rows,
        )


def pages(http: httpx.Client, path: str, **params: Any) -> list[list[dict[str, Any]]]:
    found, following = [], None
    while True:
        page = http.get(path, params=params | ({"before": following} if following else {})).json()
        found.append(page["items"])
        following = page["next"]
        if following is None:
            return found


def test_pages_tell_each_snapshot_once_whatever_is_taken_meanwhile(
    http: httpx.Client, fleet: InlineFleet
) -> None:
    shelve(fleet, range(1, 24))
    first = http.get(f"{DB}/snapshots", params={"limit": 10}).json()
    shelve(fleet, range(24, 40))
    second = http.get(f"{DB}/snapshots", params={"limit": 10, "before": first["next"]}).json()
    third = http.get(f"{DB}/snapshots", params={"limit": 10, "before": second["next"]}).json()
    told = [each["sequence"] for page in (first, second, third) for each in page["items"]]
    assert told == list(range(23, 0, -1))
    assert third["next"] is None
    assert [len(page) for page in pages(http, f"{DB}/snapshots", limit=13)] == [13, 13, 13]


def test_a_list_of_one_state_holds_that_one_only(http: httpx.Client, fleet: InlineFleet) -> None:
    shelve(fleet, range(1, 6))
    shelve(fleet, range(6, 9), state="failed")
    shelve(fleet, range(9, 13), state="deleted")
    assert [len(page) for page in pages(http, f"{DB}/snapshots", limit=5)] == [5, 3]
    for state, count in (("sealed", 5), ("failed", 3), ("deleted", 4), ("copying", 0)):
        found = pages(http, f"{DB}/snapshots", state=state, limit=2)
        assert [each["state"] for page in found for each in page] == [state] * count


def test_the_newest_snapshots_of_all_databases_are_those_taken_last(fleet: InlineFleet) -> None:
    with fleet.fleet.catalog.transaction() as tx:
        tx.schedules.know(["a", "z"])
    rows = [
        {"id": "old", "database": "a", "n": 9, "state": "sealed", "at": BEGINNING},
        {"id": "middle", "database": "z", "n": 1, "state": "sealed", "at": BEGINNING + timedelta(hours=1)},
        {"id": "gone", "database": "z", "n": 2, "state": "deleted", "at": BEGINNING + timedelta(hours=2)},
        {"id": "new", "database": "a", "n": 8, "state": "sealed", "at": BEGINNING + timedelta(hours=3)},
        {"id": "begun", "database": "z", "n": 3, "state": "copying", "at": None},
    ]
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.execute(
            text(
                "insert into snapshot (id, database, sequence, reason, state, manifest_sha256, taken_at)"
                " values (:id, :database, :n, 'manual', :state, 'x', :at)"
            ),
            rows,
        )
    found = [each.id for each in reports.snapshots(fleet.fleet, None, limit=3)]
    assert found == ["begun", "new", "middle"]
    assert [each.id for each in reports.snapshots(fleet.fleet, "a", limit=1)] == ["old"], "by its number"


def test_jobs_come_in_pages_too_also_those_of_one_moment(http: httpx.Client, fleet: InlineFleet) -> None:
    ids = {http.post(f"{DB}/checks", headers=key()).json()["job_id"] for _ in range(7)}
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.execute(text("update job set created_at = now()"))
    found = pages(http, "/v1/jobs", limit=3)
    assert [len(page) for page in found] == [3, 3, 1]
    assert {job["id"] for page in found for job in page} == ids
    assert [len(page) for page in pages(http, "/v1/jobs", database=NAME, kind="check", limit=7)] == [7]
    assert pages(http, "/v1/jobs", kind="restore") == [[]]
    assert [len(page) for page in pages(http, "/v1/jobs", state="pending")] == [6]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=1000000000", "limit=1e3", "limit=NaN", "limit=Infinity", "limit=1.5", "limit=",
        "state=everything", "state=sealed&state=failed", "limit=1&limit=1", "sort=name", "offset=10",
    ],
)  # fmt: skip
def test_a_list_asked_for_wrongly_is_refused(http: httpx.Client, query: str) -> None:
    refused = http.get(f"{DB}/snapshots?{query}")
    problem(refused, refused.status_code, refused.json()["code"])
    assert (refused.status_code, refused.json()["code"]) in {(400, "query_invalid"), (422, "invalid_request")}


def forged(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "....", "%00", "null", forged(1), forged("0" * 8, 5), forged([[]]), "[" * 400, "ünïcode"],
)
def test_a_forged_cursor_leads_nowhere(http: httpx.Client, cursor: str) -> None:
    problem(http.get(f"{DB}/snapshots", params={"before": cursor}), 400, "cursor_invalid")
    problem(http.get("/v1/jobs", params={"before": cursor}), 400, "cursor_invalid")
    problem(http.get("/v1/audit", params={"before": cursor}), 400, "cursor_invalid")


@pytest.mark.parametrize("place", [-1, 2**63, 10**300])
def test_a_cursor_with_a_place_that_no_row_can_have_leads_nowhere(
    http: httpx.Client, fleet: InlineFleet, place: int
) -> None:
    shelve(fleet, range(1, 4))
    cursor = http.get(f"{DB}/snapshots", params={"limit": 2}).json()["next"]
    marked, *_ = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    problem(http.get(f"{DB}/snapshots", params={"before": forged(marked, place)}), 400, "cursor_invalid")


def test_a_cursor_counts_for_its_own_list_only(http: httpx.Client, fleet: InlineFleet) -> None:
    shelve(fleet, range(1, 6))
    cursor = http.get(f"{DB}/snapshots", params={"limit": 2}).json()["next"]
    problem(http.get(f"{DB}/snapshots", params={"before": cursor, "state": "sealed"}), 400, "cursor_invalid")
    problem(http.get("/v1/jobs", params={"before": cursor}), 400, "cursor_invalid")


def test_what_is_known_already_is_not_sent_again(http: httpx.Client, fleet: InlineFleet) -> None:
    shelve(fleet, range(1, 3))
    at = f"{DB}/snapshots"
    etag = http.get(at).headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        same = http.get(at, headers={"If-None-Match": known})
        assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", etag)
    assert http.get(at, headers={"If-None-Match": '"other"'}).status_code == 200
    shelve(fleet, range(3, 4))
    assert http.get(at, headers={"If-None-Match": etag}).status_code == 200


def test_who_has_seen_something_else_changes_nothing(http: httpx.Client, fleet: InlineFleet) -> None:
    shelve(fleet, range(1, 2))
    snapshot_id = http.get(f"{DB}/snapshots").json()["items"][0]["id"]
    at = f"/v1/snapshots/{snapshot_id}"
    etag = http.get(at).headers["ETag"]
    assert http.put(f"{at}/pin", headers={"If-Match": etag}).status_code == 200
    problem(http.delete(f"{at}/pin", headers={"If-Match": etag}), 412, "changed_meanwhile")
    assert http.get(at).json()["pinned"] is True


def test_a_repeated_request_is_answered_the_same_and_makes_one_job(
    http: httpx.Client, fleet: InlineFleet
) -> None:
    same = key()
    first = http.post(f"{DB}/snapshots", headers=same, json={"labels": {"a": "1", "b": "2"}})
    fleet.to_its_end(first.json()["job_id"])
    for body in ('{"labels": {"b": "2", "a": "1"}}', '{ "labels":{"a":"1","b":"2"}, "verify":null}'):
        again = http.post(
            f"{DB}/snapshots", headers=same | {"Content-Type": "application/json"}, content=body
        )
        assert (again.status_code, again.content) == (202, first.content)
        assert again.headers["Location"] == first.headers["Location"]
    assert len(http.get("/v1/jobs", params={"kind": "snapshot"}).json()["items"]) == 1


def test_a_key_of_another_request_is_refused_and_makes_nothing(http: httpx.Client) -> None:
    same = key()
    assert http.post(f"{DB}/snapshots", headers=same, json={}).status_code == 202
    reused = "idempotency_key_reused"
    problem(http.post(f"{DB}/snapshots", headers=same, json={"labels": {"a": "b"}}), 422, reused)
    problem(http.post(f"{DB}/snapshots?wait=verified", headers=same), 422, reused)
    problem(http.post(f"{DB}/checks", headers=same), 422, reused)
    assert len(http.get("/v1/jobs").json()["items"]) == 1


def test_a_key_belongs_to_the_token_that_used_it(api: Api) -> None:
    same = key()
    with api.client("operate") as one, api.client("admin") as other:
        first = one.post(f"{DB}/checks", headers=same)
        second = other.post(f"{DB}/checks", headers=same)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["job_id"] != second.json()["job_id"]


def test_a_key_that_another_way_in_has_used_is_no_door_to_its_job(
    http: httpx.Client, fleet: InlineFleet
) -> None:
    chosen = "api:5:admin:taken"
    new = NewJob(
        id=str(uuid.uuid4()),
        kind=JobKind.CHECK,
        database=NAME,
        request=check.request(),
        idempotency_key=chosen,
    )
    requests.submit(fleet.fleet, new, by=Actor(name="root", origin="cli:here"))
    answered = http.post(f"{DB}/checks", headers={"Idempotency-Key": "taken"})
    problem(answered, 422, "idempotency_key_reused")


def test_of_many_at_once_under_one_key_one_makes_the_job(api: Api) -> None:
    same = key()

    def ask(_: int) -> tuple[int, str]:
        with api.client() as client:
            answered = client.post(f"{DB}/checks", headers=same)
            return answered.status_code, answered.json().get("job_id", answered.text)

    with ThreadPoolExecutor(10) as threads:
        answers = set(threads.map(ask, range(20)))
    assert len(answers) == 1, answers
    assert next(iter(answers))[0] == 202


def test_a_request_whose_twin_was_quicker_is_answered_like_it(api: Api) -> None:
    caller = Caller(principal=PRINCIPALS["admin"], origin="api:here", here=api.context)
    asked = Asked(caller=caller, key="api:5:admin:twin", digest="d", mine="api:5:admin:")

    def too_late() -> dict[str, object]:
        accepting.made(asked, kind=JobKind.CHECK, database=NAME, request=check.request())
        raise Refused("what the twin has done stands against it", code="plan_changed")

    answered = accepting.accepted(asked, kind=JobKind.CHECK, database=NAME, decide=too_late)
    assert not answered.is_new
    assert answered.job.idempotency_key == asked.key


def test_one_token_fills_no_queue_without_end(api: Api, http: httpx.Client, fleet: InlineFleet) -> None:
    api.around(fleet.fleet, waiting_jobs=2)
    last = key()
    for each in (key(), key(), last):  # the first of them does not wait
        assert http.post(f"{DB}/checks", headers=each).status_code == 202
    refused = http.post(f"{DB}/checks", headers=key())
    problem(refused, 429, "too_many_waiting")
    assert refused.headers["Retry-After"]
    assert http.post(f"{DB}/checks", headers=last).status_code == 202
    with api.client("operate") as other:
        assert other.post(f"{DB}/checks", headers=key()).status_code == 202


@pytest.mark.parametrize("value", ["", "a b", "x" * 256, "ü"])
def test_a_key_that_cannot_be_one_is_refused(http: httpx.Client, value: str) -> None:
    headers = [(b"Idempotency-Key", value.encode())]
    refused = http.post(f"{DB}/checks", headers=headers)
    assert refused.status_code == 422, refused.text
    problem(http.post(f"{DB}/checks"), 400, "idempotency_key_missing")


def same_answer(one: httpx.Response, other: httpx.Response) -> None:
    assert (one.status_code, one.json()) == (other.status_code, other.json())
    assert one.status_code == 404
    headers = [{k: v for k, v in each.headers.items() if k != "date"} for each in (one, other)]
    assert headers[0] == headers[1]


def test_what_a_token_does_not_reach_is_unknown_to_it(api: Api, fleet: InlineFleet) -> None:
    shelve(fleet, range(1, 2))
    with api.client("own") as mine, api.client("foreign") as other:
        snapshot_id = mine.get(f"{DB}/snapshots").json()["items"][0]["id"]
        job = mine.post(f"{DB}/checks", headers=key()).json()["job_id"]
        assert len(mine.get("/v1/databases").json()["items"]) == 1
        assert other.get("/v1/databases").json() == {"items": []}
        assert other.get("/v1/jobs").json() == {"items": [], "next": None}
        for there, unknown in (
            (DB, "/v1/databases/nowhere"),
            (f"{DB}/snapshots", "/v1/databases/nowhere/snapshots"),
            (f"/v1/snapshots/{snapshot_id}", f"/v1/snapshots/{UNKNOWN_SNAPSHOT}"),
            (f"/v1/snapshots/{snapshot_id}/manifest", f"/v1/snapshots/{UNKNOWN_SNAPSHOT}/manifest"),
            (f"/v1/jobs/{job}", f"/v1/jobs/{UNKNOWN_JOB}"),
            (f"/v1/jobs/{job}/events", f"/v1/jobs/{UNKNOWN_JOB}/events"),
            (f"/v1/jobs?database={NAME}", "/v1/jobs?database=nowhere"),
            (f"/v1/audit?database={NAME}", "/v1/audit?database=nowhere"),
            (f"/v1/audit?job_id={job}", f"/v1/audit?job_id={UNKNOWN_JOB}"),
        ):
            same_answer(other.get(there), other.get(unknown))


def test_a_database_that_is_not_configured_any_more_is_named_to_nobody(api: Api, fleet: InlineFleet) -> None:
    shelve(fleet, range(1, 2))
    with fleet.fleet.catalog.transaction() as tx:
        (snapshot,) = tx.snapshots.listing()
    api.around(replace(fleet.fleet, databases={}))
    with api.client() as http:
        assert http.get("/v1/databases").json() == {"items": []}
        assert http.get(f"/v1/snapshots/{snapshot.id}").status_code == 200
        refused = http.post(f"/v1/snapshots/{snapshot.id}/verify", headers=key())
        assert NAME not in json.dumps(problem(refused, 404, "database_unknown"))
