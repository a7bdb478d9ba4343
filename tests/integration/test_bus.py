"""Requests in, jobs made, events out: each request once, whatever is sent how often."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.integration.bus_world import BusWorld, request
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import InlineFleet


@pytest.fixture
def fleet(inline: Inline, database: Callable[..., str]) -> InlineFleet:
    url = database()
    with psycopg.connect(url) as session:
        session.execute("create table thought as select n from generate_series(1, 100) n")
    return inline(url)


def test_a_request_becomes_a_job_and_what_became_of_it_is_heard_in_order(fleet: InlineFleet) -> None:
    bus = BusWorld(fleet.fleet)
    asked = request(data={"verify": "always"})
    bus.handle(asked, asked, asked)
    assert bus.types() == ["snapshot.accepted"]
    fleet.drain()
    assert bus.types(asked["id"]) == [
        "snapshot.accepted",
        "snapshot.started",
        "verify.accepted",
        "snapshot.sealed",
        "verify.started",
        "snapshot.verified",
        "prune.started",
        "snapshot.pruned",
    ]
    events = bus.heard()
    assert [event["sequence"] for event in events] == [f"{n:012d}" for n in range(1, 9)]
    assert {event["causationsource"] for event in events} == {asked["source"]}
    assert len({event["id"] for event in events}) == len(events)
    assert bus.left() == 0
    assert bus.dead() == []
