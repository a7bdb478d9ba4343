"""Following a job over Server-Sent Events: everything once and in order, to its end, however often the line is cut."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from api.watching import Watch
from shared.operations.jobs.following import hear
from tests.integration.api_world import Api, key, problem
from tests.integration.inline_fleet import NAME, InlineFleet

DB = f"/v1/databases/{NAME}"
PREFIX = "io.snapfleet."


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    id: str | None
    type: str
    data: dict[str, Any]


@pytest.fixture
def fleet(api_fleet: InlineFleet) -> InlineFleet:
    return api_fleet


def events(lines: Iterator[str]) -> Iterator[Event]:
    """As a client reads them."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            yield Event(id=fields.get("id"), type=fields["event"], data=json.loads(fields["data"]))
            fields = {}


def follow(api: Api, at: str, last: str | None = None) -> list[Event]:
    headers = {} if last is None else {"Last-Event-ID": last}
    with api.client(**headers) as http, http.stream("GET", f"{at}/events") as answered:
        assert answered.status_code == 200, answered.read()
        assert answered.headers["content-type"].startswith("text/event-stream")
        return list(events(answered.iter_lines()))


def accepted(http: httpx.Client) -> str:
    return str(http.post(f"{DB}/snapshots", headers=key()).json()["job"])


def until_followed(api: Api, count: int = 1) -> None:
    deadline = time.monotonic() + 20
    while len(api.context.watch) != count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_follower_hears_everything_in_order_and_then_the_end(
    api: Api, http: httpx.Client, fleet: InlineFleet
) -> None:
    at = accepted(http)
    with ThreadPoolExecutor() as threads:
        heard = threads.submit(follow, api, at)
        until_followed(api)
        fleet.drain()
        told = heard.result(timeout=30)
    types = [event.type.removeprefix(PREFIX) for event in told if event.id is not None]
    assert types == ["snapshot.accepted.v1", "snapshot.started.v1", "snapshot.sealed.v1"]
    assert told[-1].type == "end"
    assert told[-1].data["state"] == "succeeded"
    numbers = [event.id for event in told if event.id is not None]
    assert numbers == sorted(set(numbers))
    assert {event.data["subject"] for event in told if event.id is not None} == {NAME}
    until_followed(api, 0)


def test_live_progress_is_told_while_a_step_runs(api: Api, http: httpx.Client, fleet: InlineFleet) -> None:
    at = accepted(http)
    catalog = fleet.fleet.catalog
    with catalog.transaction() as tx:
        claim = tx.jobs.claim(at.rpartition("/")[2], epoch=1, seq=1, owner="a", ttl=timedelta(minutes=1))
    assert claim is not None
    with api.client() as follower, follower.stream("GET", f"{at}/events") as answered:
        told = events(answered.iter_lines())
        progress = next(event for event in told if event.type == "progress")
        with catalog.engine.begin() as connection:
            connection.execute(text("update job set lease_until = null, lease_owner = null"))
        fleet.drain()
        last = list(told)[-1]
    assert (progress.id, progress.data["step"], progress.data["steps"]) == (None, "copy", 2)
    assert (last.type, last.data["state"]) == ("end", "succeeded")


def test_who_comes_back_hears_only_what_is_new(api: Api, http: httpx.Client, fleet: InlineFleet) -> None:
    at = accepted(http)
    fleet.drain()
    told = [event for event in follow(api, at) if event.id is not None]
    again = [event for event in follow(api, at, told[0].id) if event.id is not None]
    assert again == told[1:]
    with api.client(**{"Last-Event-ID": str(told[-1].id)}) as back:
        over = back.get(f"{at}/events")
    assert (over.status_code, over.content) == (204, b"")


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 30])
def test_a_place_that_is_none_is_refused(api: Api, http: httpx.Client, last: str) -> None:
    at = accepted(http)
    with api.client(**{"Last-Event-ID": last}) as lost:
        problem(lost.get(f"{at}/events"), 422, "invalid_request")


def test_who_hangs_up_is_forgotten(api: Api, http: httpx.Client) -> None:
    at = accepted(http)
    for _ in range(3):
        with api.client() as follower, follower.stream("GET", f"{at}/events") as answered:
            lines = answered.iter_lines()
            next(lines)
            until_followed(api)
        until_followed(api, 0)


def test_fifty_followers_hold_no_connection_to_the_catalog(
    api: Api, http: httpx.Client, fleet: InlineFleet
) -> None:
    at = accepted(http)
    with ThreadPoolExecutor(50) as threads:
        following = [threads.submit(follow, api, at) for _ in range(50)]
        until_followed(api, 50)
        assert fleet.fleet.catalog.engine.pool.checkedout() <= 1  # type: ignore[attr-defined] # a QueuePool
        assert http.get("/v1/jobs").status_code == 200
        fleet.drain()
        ends = {each.result(timeout=30)[-1].data["state"] for each in following}
    assert ends == {"succeeded"}


def test_more_followers_than_there_is_room_for_are_sent_away(
    api: Api, http: httpx.Client, fleet: InlineFleet
) -> None:
    at = accepted(http)
    api.around(fleet.fleet, watch=Watch(lambda places: hear(fleet.fleet, places), most=1))
    with api.client() as one, one.stream("GET", f"{at}/events"):
        until_followed(api)
        problem(http.get(f"{at}/events"), 429, "too_many_followers")


def test_one_token_does_not_take_the_room_of_all_others(
    api: Api, http: httpx.Client, fleet: InlineFleet
) -> None:
    at = accepted(http)
    api.around(fleet.fleet, watch=Watch(lambda places: hear(fleet.fleet, places), most_each=1))
    with api.client() as one, one.stream("GET", f"{at}/events"):
        until_followed(api)
        problem(http.get(f"{at}/events"), 429, "too_many_followers")
        with api.client("read") as other, other.stream("GET", f"{at}/events") as answered:
            assert answered.status_code == 200
