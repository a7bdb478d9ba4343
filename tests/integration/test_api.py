"""The REST API over a real fleet: what is asked becomes jobs, once, and what became of them is told."""

from __future__ import annotations

import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from shared.domain.job import JobState
from tests.integration.api_world import Api, key, problem
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.waiting import until

DB = f"/v1/databases/{NAME}"
UNKNOWN_JOB = "00000000-0000-4000-8000-000000000000"
UNKNOWN_SNAPSHOT = "20200101T000000Z-000000"


@pytest.fixture
def fleet(api_fleet: InlineFleet) -> InlineFleet:
    return api_fleet


def take(http: httpx.Client, fleet: InlineFleet, **body: Any) -> str:
    """A sealed snapshot's id."""
    answered = http.post(f"{DB}/snapshots", headers=key(), json=body)
    assert answered.status_code == 202, answered.text
    fleet.to_its_end(answered.json()["job_id"])
    fleet.drain()
    return str(answered.json()["snapshot_id"])


def rows(fleet: InlineFleet) -> int:
    with psycopg.connect(fleet.fleet.database(NAME).url) as session:
        found = session.execute("select count(*) from thought").fetchone()
    assert found is not None
    return int(found[0])


def ended(http: httpx.Client, fleet: InlineFleet, answered: httpx.Response) -> dict[str, Any]:
    assert answered.status_code == 202, answered.text
    fleet.to_its_end(answered.json()["job_id"])
    found: dict[str, Any] = http.get(answered.headers["Location"]).json()
    return found


def test_a_snapshot_is_taken_looked_at_proven_and_kept(http: httpx.Client, fleet: InlineFleet) -> None:
    snapshot_id = take(http, fleet, labels={"why": "before the deploy"})
    (listed,) = http.get(f"{DB}/snapshots").json()["items"]
    assert (listed["id"], listed["state"], listed["labels"]) == (
        snapshot_id,
        "sealed",
        {"why": "before the deploy"},
    )
    assert listed["taken_at"].endswith("Z")
    assert listed["raw_bytes"] > 0
    verified = http.post(f"/v1/snapshots/{snapshot_id}/verify", headers=key())
    assert ended(http, fleet, verified)["state"] == "succeeded"
    shown = http.get(f"/v1/snapshots/{snapshot_id}").json()
    assert (shown["standing"], shown["table_rows"]) == ("verified", {"public.thought": 100})
    assert [proof["matched"] for proof in shown["proofs"]] == [True]
    manifest = http.get(f"/v1/snapshots/{snapshot_id}/manifest").json()
    assert (manifest["id"], manifest["tables"][0]["row_count"]) == (snapshot_id, 100)
    assert http.put(f"/v1/snapshots/{snapshot_id}/pin").json()["pinned"] is True
    assert http.put(f"/v1/snapshots/{snapshot_id}/pin").json()["pinned"] is True
    assert http.delete(f"/v1/snapshots/{snapshot_id}/pin").json()["pinned"] is False
    problem(http.post(f"/v1/snapshots/{snapshot_id}/accept"), 409, "not_suspect")
    database = http.get(DB).json()
    assert database["newest_proven"]["id"] == snapshot_id
    assert http.get("/v1/databases").json() == {"items": [database]}
    assert "secret" not in database["where"]


def test_a_restore_is_planned_made_and_undone(http: httpx.Client, fleet: InlineFleet) -> None:
    snapshot_id = take(http, fleet)
    with psycopg.connect(fleet.fleet.database(NAME).url, autocommit=True) as session:
        session.execute("delete from thought where n > 10")
    plan = http.post(f"{DB}/restore-plans").json()
    assert (plan["snapshot"]["id"], plan["obstacles"], plan["safeguard"]) == (snapshot_id, [], True)
    asked = {"plan_id": plan["plan_id"], "database": NAME, "snapshot_id": snapshot_id}
    problem(
        http.post(f"{DB}/restores", headers=key(), json=asked | {"database": "orders"}), 409, "not_confirmed"
    )
    problem(http.post(f"{DB}/restores", headers=key(), json=asked | {"to": "beside"}), 409, "plan_changed")
    problem(http.post(f"{DB}/restores", headers=key(), json=asked | {"plan_id": "abc"}), 409, "plan_changed")
    assert rows(fleet) == 10
    same = key()
    restored = ended(http, fleet, http.post(f"{DB}/restores", headers=same, json=asked))
    assert (restored["state"], rows(fleet)) == ("succeeded", 100)
    assert restored["parked"]["live_name"] in fleet.fleet.database(NAME).url
    again = http.post(f"{DB}/restores", headers=same, json=asked)
    assert (again.status_code, again.json()["job_id"]) == (202, restored["id"])
    undo = f"/v1/jobs/{restored['id']}/undo"
    problem(http.post(undo, headers=key(), json={"database": "orders"}), 409, "not_confirmed")
    undone = ended(http, fleet, http.post(undo, headers=key(), json={"database": NAME}))
    assert (undone["state"], rows(fleet)) == ("succeeded", 10)


def test_a_restore_beside_leaves_the_live_database_alone(http: httpx.Client, fleet: InlineFleet) -> None:
    snapshot_id = take(http, fleet)
    beside = f"beside_{uuid.uuid4().hex[:8]}"
    plan = http.post(f"{DB}/restore-plans", json={"to": beside, "snapshot_id": snapshot_id}).json()
    assert (plan["target"], plan["sessions_cut"], plan["safeguard"]) == (beside, 0, False)
    asked = {"plan_id": plan["plan_id"], "database": NAME, "snapshot_id": snapshot_id, "to": beside}
    restored = ended(http, fleet, http.post(f"{DB}/restores", headers=key(), json=asked))
    assert (restored["state"], restored["parked"]) == ("succeeded", None)
    taken = http.post(f"{DB}/restore-plans", json={"to": beside}).json()
    assert (taken["plan_id"], bool(taken["obstacles"])) == (None, True)
    problem(http.post(f"{DB}/restores", headers=key(), json=asked), 409, taken["obstacles"][0]["code"])


def test_a_snapshot_is_deleted_only_as_it_was_planned(http: httpx.Client, fleet: InlineFleet) -> None:
    older, newer = take(http, fleet), take(http, fleet)
    at = f"/v1/snapshots/{older}"
    assert (
        http.post(f"/v1/snapshots/{newer}/deletion-plans").json()["obstacle"].startswith("it is the newest")
    )
    plan = http.post(f"{at}/deletion-plans").json()["plan_id"]
    http.put(f"{at}/pin")
    problem(http.delete(at, headers=key(), params={"plan_id": plan}), 409, "snapshot_needed")
    http.delete(f"{at}/pin")
    problem(http.delete(at, headers=key(), params={"plan_id": "0" * 24}), 409, "plan_changed")
    job = ended(http, fleet, http.delete(at, headers=key(), params={"plan_id": plan}))
    assert (job["kind"], job["state"], job["result"]["removed"]) == ("prune", "succeeded", [older])
    assert [each["id"] for each in http.get(f"{DB}/snapshots").json()["items"]] == [newer]
    assert [each["id"] for each in http.get(f"{DB}/snapshots?state=deleted").json()["items"]] == [older]
    assert http.get(at).json()["deleted_at"] is not None
    assert http.post(f"{at}/deletion-plans").json()["obstacle"] == "it is deleted already"


def test_a_deletion_that_was_pinned_against_in_the_meantime_deletes_nothing(
    http: httpx.Client, fleet: InlineFleet
) -> None:
    older, _ = take(http, fleet), take(http, fleet)
    plan = http.post(f"/v1/snapshots/{older}/deletion-plans").json()["plan_id"]
    answered = http.delete(f"/v1/snapshots/{older}", headers=key(), params={"plan_id": plan})
    http.put(f"/v1/snapshots/{older}/pin")
    job = ended(http, fleet, answered)
    assert (job["state"], job["error"]["code"]) == ("failed", "snapshot_needed")
    assert http.get(f"/v1/snapshots/{older}").json()["state"] == "sealed"


def test_retention_deletes_only_what_its_plan_has_shown(http: httpx.Client, fleet: InlineFleet) -> None:
    take(http, fleet)
    plan = http.post(f"{DB}/prune-plans").json()
    assert (plan["removes"], [verdict["keep"] for verdict in plan["verdicts"]]) == (0, [True])
    asked = {"plan_id": plan["plan_id"], "database": NAME}
    problem(http.post(f"{DB}/prunes", headers=key(), json=asked | {"plan_id": "f" * 24}), 409, "plan_changed")
    problem(http.post(f"{DB}/prunes", headers=key(), json=asked | {"database": "x"}), 409, "not_confirmed")
    job = ended(http, fleet, http.post(f"{DB}/prunes", headers=key(), json=asked))
    assert (job["state"], job["result"]["removed"]) == ("succeeded", [])


def test_a_check_tells_what_it_found(http: httpx.Client, fleet: InlineFleet) -> None:
    take(http, fleet)
    job = ended(http, fleet, http.post(f"{DB}/checks", headers=key()))
    assert job["state"] == "succeeded"
    assert isinstance(job["result"]["findings"], list)


def test_a_job_that_waits_is_cancelled_and_one_that_has_ended_is_not(http: httpx.Client) -> None:
    http.post(f"{DB}/snapshots", headers=key())
    waiting = http.post(f"{DB}/snapshots", headers=key()).json()["job"]
    assert http.post(f"{waiting}/cancel").json()["state"] == JobState.CANCELLED
    problem(http.post(f"{waiting}/cancel"), 409, "job_ended")


def test_a_blocked_database_takes_no_snapshot(http: httpx.Client, fleet: InlineFleet) -> None:
    with fleet.fleet.catalog.transaction() as tx:
        tx.schedules.know([NAME])
        tx.schedules.block(NAME, why="it was empty when its service started")
    problem(http.post(f"{DB}/snapshots", headers=key()), 409, "database_blocked")
    assert http.get("/v1/jobs").json()["items"] == []
    assert http.get(DB).json()["blocked"] == "it was empty when its service started"


def test_who_waits_for_a_proof_is_answered_when_there_is_one(api: Api, fleet: InlineFleet) -> None:
    same = key()

    def ask() -> httpx.Response:
        with api.client() as waiting:
            return waiting.post(f"{DB}/snapshots", headers=same, params={"wait": "verified"})

    with ThreadPoolExecutor() as threads:
        asked = threads.submit(ask)
        drive(fleet, asked)
    answered = asked.result()
    assert (answered.status_code, answered.json()["standing"]) == (201, "verified")
    assert answered.headers["Location"] == f"/v1/snapshots/{answered.json()['id']}"
    again = ask()
    assert (again.status_code, again.json()["id"]) == (201, answered.json()["id"])


def test_who_waits_for_a_snapshot_that_is_not_taken_is_told_why(
    api: Api, http: httpx.Client, fleet: InlineFleet
) -> None:
    def ask() -> httpx.Response:
        with api.client() as waiting:
            return waiting.post(f"{DB}/snapshots", headers=key(), params={"wait": "verified"})

    with ThreadPoolExecutor() as threads:
        asked = threads.submit(ask)
        until(lambda: bool(fleet.bell.rung))
        (job,) = http.get("/v1/jobs").json()["items"]
        http.post(f"/v1/jobs/{job['id']}/cancel")
        drive(fleet, asked)
    told = problem(asked.result(), 409, "snapshot_not_taken")
    assert told["job_id"] == job["id"]


def drive(fleet: InlineFleet, asked: Future[httpx.Response]) -> None:
    """Do what a worker would until the request is answered."""

    def work() -> bool:
        for job in fleet.unfinished():
            fleet.to_its_end(job.id)
        return asked.done()

    until(work)
