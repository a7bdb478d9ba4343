"""Requests in, jobs made, events out: each request once, whatever is sent how often and whoever dies when."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from bus.ingest import MAX_DELIVERIES
from shared.catalog import catalog
from shared.domain.events import ALLOWED, Ask
from shared.errors import Unreachable
from shared.operations.jobs import blocking
from shared.operations.messages import dead_letters
from shared.streams.base import BODY, REQUESTS
from shared.streams.memory import MemoryStreams
from tests.actors import TESTER
from tests.integration import bus_home
from tests.integration.bus_world import AT_ONCE, BusWorld, request
from tests.integration.inline_fleet import NAME, InlineFleet

RESTORE_JOB = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def fleet(home: InlineFleet) -> InlineFleet:
    return bus_home.fresh(home)


@pytest.fixture
def bus(fleet: InlineFleet) -> BusWorld:
    return BusWorld(fleet.fleet)


class Dying(MemoryStreams):
    """Streams whose server goes away after, or before, what `dies` names was done."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 0.0)
        self.dies: str | None = None

    def _die(self, moment: str) -> None:
        if self.dies == moment:
            self.dies = None
            raise Unreachable("gone", code="redis_unreachable")

    def settle(self, *args: Any, **named: Any) -> None:
        self._die("before settle")
        super().settle(*args, **named)
        self._die("after settle")

    def append(self, *args: Any, **named: Any) -> list[str]:
        ids = super().append(*args, **named)
        self._die("after append")
        return ids


@pytest.fixture
def dying(fleet: InlineFleet) -> tuple[BusWorld, Dying]:
    streams = Dying()
    return BusWorld(fleet.fleet, streams=streams, allowed=ALLOWED), streams


def rejections(bus: BusWorld) -> list[tuple[str | None, str]]:
    """(the id of the request, why) of each."""
    return [
        (event.get("causationid"), event["data"]["error"]["code"])
        for event in bus.heard()
        if event["type"] == "io.snapfleet.request.rejected.v1"
    ]


def jobs(fleet: InlineFleet) -> list[str]:
    with fleet.fleet.catalog.transaction() as tx:
        return [f"{job.kind} {job.state}" for job in tx.jobs.listing(limit=100)]


def test_a_request_becomes_a_job_and_what_became_of_it_is_heard_in_order(
    fleet: InlineFleet, bus: BusWorld
) -> None:
    asked = request(data={"verify": "always", "labels": {"why": "before I change myself"}})
    bus.handle(asked, asked, asked)
    assert bus.types() == ["snapshot.accepted"]
    fleet.drain()
    assert bus.types(asked["id"]) == [
        "snapshot.accepted",
        "snapshot.started",
        "verify.accepted",
        "snapshot.sealed",
        "verify.started",
        "prune.accepted",
        "snapshot.verified",
        "prune.started",
        "snapshot.pruned",
    ]
    events = bus.heard()
    assert [event["sequence"] for event in events] == [f"{n:012d}" for n in range(1, 10)]
    assert {event["causationsource"] for event in events} == {asked["source"]}
    assert {event["subject"] for event in events} == {NAME}
    assert len({event["id"] for event in events}) == len(events)
    sealed = events[3]["data"]
    assert sealed["snapshot_id"] == events[0]["data"]["snapshot_id"] == fleet.snapshots()[0].id
    assert sealed["row_count"] == 100
    assert sealed["raw_bytes"] > 0
    assert sealed["seconds"] > 0
    assert (bus.left(), bus.dead()) == (0, [])
    assert fleet.snapshots()[0].labels == {"why": "before I change myself"}


def test_a_restore_and_its_undo_can_be_asked_for(fleet: InlineFleet, bus: BusWorld) -> None:
    fleet.snapshot()
    asked = request(Ask.RESTORE, {"safeguard": False})
    bus.handle(asked)
    fleet.drain()
    assert bus.types(asked["id"])[-1] == "restore.succeeded"
    job_id = bus.heard()[-1]["data"]["job_id"]
    undo = request(Ask.UNDO, {"restore_job": job_id})
    bus.handle(undo)
    fleet.drain()
    assert bus.types(undo["id"]) == ["undo.accepted", "undo.started", "restore.undone"]


def test_a_snapshot_can_be_proven_and_a_database_checked_on_request(
    fleet: InlineFleet, bus: BusWorld
) -> None:
    fleet.snapshot()
    proof, look = request(Ask.VERIFY), request(Ask.CHECK)
    bus.handle(proof, look)
    fleet.drain()
    assert bus.types(proof["id"])[-1] == "snapshot.verified"
    heard = bus.types(look["id"])
    assert (heard[0], heard[-1]) == ("check.accepted", "check.succeeded")


def test_many_that_start_at_once_fill_an_empty_database_once_and_each_hears_of_it(
    fleet: InlineFleet, bus: BusWorld
) -> None:
    fleet.snapshot()
    with psycopg.connect(fleet.fleet.database(NAME).url) as session:
        session.execute("drop table thought")
    asked = [request(Ask.RESTORE, {"if_empty": True}) for _ in range(3)]
    bus.handle(*asked)
    fleet.drain()
    accepted = [event for event in bus.heard() if event["type"].endswith("restore.accepted.v1")]
    assert [event["causationid"] for event in accepted] == [each["id"] for each in asked]
    assert len({event["data"]["job_id"] for event in accepted}) == 1
    assert [event["data"].get("joined") for event in accepted] == [None, True, True]
    assert bus.types().count("restore.succeeded") == 1
    late = request(Ask.RESTORE, {"if_empty": True})
    bus.handle(late)
    assert bus.types(late["id"]) == ["request.unneeded"]
    assert "in use" in bus.heard()[-1]["data"]["why"]


def test_what_is_not_allowed_is_refused_whatever_it_is(fleet: InlineFleet) -> None:
    bus = BusWorld(fleet.fleet, allowed=ALLOWED)
    asked = [request(ask, {"restore_job": RESTORE_JOB} if ask is Ask.UNDO else None) for ask in Ask]
    bus.handle(*asked)
    refused = {cause for cause, code in rejections(bus) if code == "not_allowed"}
    assert refused == {
        each["id"] for each in asked if each["type"].split(".")[1] in ("restore", "undo", "check")
    }


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"time": (datetime.now(UTC) - timedelta(hours=25)).isoformat()}, "stale_request"),
        ({"time": (datetime.now(UTC) + timedelta(minutes=10)).isoformat()}, "future_request"),
        ({"subject": "unknown"}, "database_unknown"),
        ({"type": Ask.RESTORE.type}, "no_snapshot"),
        ({"type": Ask.VERIFY.type, "data": {"snapshot_id": "20261122T195500Z-3f9a2c"}}, "snapshot_unknown"),
        ({"type": Ask.UNDO.type, "data": {"restore_job": RESTORE_JOB}}, "job_unknown"),
        ({"type": "consciousness.snapshot.requested.v2"}, "unknown_type"),
        ({"data": {"lables": {}}}, "invalid_request"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_granted_is_told_once_and_put_away_with_the_reason(
    fleet: InlineFleet, bus: BusWorld, changes: dict[str, Any], code: str
) -> None:
    asked = request() | changes
    bus.handle(asked, asked, asked)
    assert rejections(bus) == [(asked["id"], code)]
    (letter,) = bus.dead()
    assert letter["code"].decode() == code
    assert json.loads(letter[BODY]) == asked
    assert (jobs(fleet), bus.left()) == ([], 0)


def test_a_blocked_database_refuses_a_snapshot_and_leaves_no_trace_of_a_job(
    fleet: InlineFleet, bus: BusWorld
) -> None:
    blocking.block(fleet.fleet, NAME, why="it was empty", by=TESTER)
    asked = request()
    bus.handle(asked)
    assert rejections(bus) == [(asked["id"], "database_blocked")]
    assert jobs(fleet) == []


def test_an_id_that_is_used_for_another_request_is_refused_without_naming_the_first(
    fleet: InlineFleet, bus: BusWorld
) -> None:
    """Whoever waits for the first one must not take the refusal for its answer."""
    asked = request()
    forged = request(Ask.VERIFY, id=asked["id"])
    bus.handle(asked, forged, forged, {**asked, "data": {"lables": {}}})
    assert rejections(bus) == [(None, "id_reused"), (None, "id_reused"), (None, "invalid_request")]
    assert bus.types(asked["id"]) == ["snapshot.accepted"]
    assert jobs(fleet) == ["snapshot active"]


def test_the_same_request_made_anew_is_the_same_request(fleet: InlineFleet, bus: BusWorld) -> None:
    """Another time and another order of its attributes make no other request."""
    asked = request(data={"labels": {"a": "1"}})
    again = dict(reversed(asked.items())) | {"time": datetime.now(UTC).isoformat(), "traceparent": "00-1"}
    bus.handle(asked, again)
    assert jobs(fleet) == ["snapshot active"]
    assert bus.dead() == []


def test_two_publishers_may_use_the_same_id(fleet: InlineFleet, bus: BusWorld) -> None:
    one, other = request(id="1"), request(id="1", source="/another")
    bus.handle(one, other)
    assert sorted(jobs(fleet)) == ["snapshot active", "snapshot pending"]


@pytest.mark.parametrize("moment", ["before settle", "after settle"])
def test_dying_between_the_commit_and_the_acknowledgement_makes_no_second_job(
    fleet: InlineFleet, dying: tuple[BusWorld, Dying], moment: str
) -> None:
    bus, streams = dying
    asked = request()
    streams.dies = moment
    with pytest.raises(Unreachable):
        bus.handle(asked)
    assert jobs(fleet) == ["snapshot active"]
    bus.ingest = bus.reader("another")
    bus.handle(asked)
    assert jobs(fleet) == ["snapshot active"]
    assert bus.types() == ["snapshot.accepted"]
    assert (bus.left(), bus.dead()) == (0, [])


@pytest.mark.parametrize("moment", ["before settle", "after settle"])
@pytest.mark.parametrize("asked", [request(Ask.RESTORE), b"no json"], ids=["refused", "unreadable"])
def test_dying_before_a_refused_request_is_put_away_tells_of_it_once(
    dying: tuple[BusWorld, Dying], moment: str, asked: Any
) -> None:
    bus, streams = dying
    streams.dies = moment
    with pytest.raises(Unreachable):
        bus.handle(asked)
    bus.ingest = bus.reader("another")
    bus.handle()
    assert len(rejections(bus)) == 1
    assert len(bus.dead()) == 1
    assert bus.left() == 0


def test_what_a_dead_reader_held_is_answered_by_another(fleet: InlineFleet, bus: BusWorld) -> None:
    bus.send(request(), request())
    bus.streams.take(REQUESTS, group="ingest", reader="dead", count=10, wait=AT_ONCE)
    assert bus.ingest.turn(wait=AT_ONCE) == 1
    bus.handle()
    assert len(jobs(fleet)) == 2
    assert bus.left() == 0


def test_while_the_catalog_is_away_nothing_is_refused_and_nothing_lost(
    fleet: InlineFleet, bus: BusWorld
) -> None:
    away = catalog.connect("postgresql://nobody@127.0.0.1:1/nothing")
    bus.fleet = replace(fleet.fleet, catalog=away)
    bus.ingest = bus.reader("first")
    bus.send(request(), request())
    for _ in range(2 * MAX_DELIVERIES):
        with pytest.raises(Unreachable):
            bus.ingest.turn(wait=AT_ONCE)
    assert (bus.left(), bus.dead()) == (2, [])
    bus.fleet = fleet.fleet
    bus.ingest = bus.reader("second")
    bus.handle()
    assert (len(jobs(fleet)), bus.left(), bus.dead()) == (2, 0, [])


def test_a_database_whose_server_is_away_holds_no_other_request_up(fleet: InlineFleet, bus: BusWorld) -> None:
    away = replace(fleet.fleet.database(NAME), name="away", url="postgresql://nobody@127.0.0.1:1/nothing")
    bus.fleet = replace(fleet.fleet, databases={**fleet.fleet.databases, "away": away})
    bus.ingest = bus.reader("first")
    empty, good = request(Ask.RESTORE, {"if_empty": True}, subject="away"), request()
    bus.send(empty, good)
    assert bus.ingest.turn(wait=AT_ONCE) > 0
    assert bus.ingest.turn(wait=AT_ONCE) > 0
    assert jobs(fleet) == ["snapshot active"]
    assert (bus.left(), bus.dead()) == (1, [])
    bus.handle()
    assert rejections(bus) == [(empty["id"], "not_answered")]


class Poisoned(dict[str, Any]):
    def __getitem__(self, name: str) -> Any:
        if name == "poison":
            raise RuntimeError(name)
        return super().__getitem__(name)


def test_a_request_that_fails_five_times_is_put_away_and_holds_nobody_up(
    fleet: InlineFleet, bus: BusWorld
) -> None:
    bus.fleet = replace(fleet.fleet, databases=Poisoned(fleet.fleet.databases))
    bus.ingest = bus.reader("first")
    poison, good = request(subject="poison"), request()
    bus.send(poison, good)
    for attempt in range(1, MAX_DELIVERIES):
        assert bus.ingest.turn(wait=AT_ONCE) > 0
        assert bus.dead() == [], attempt
    assert jobs(fleet) == ["snapshot active"]
    bus.handle()
    assert rejections(bus) == [(poison["id"], "not_answered")]
    assert len(bus.dead()) == 1


def test_a_request_that_kills_whoever_reads_it_is_put_away_unread(fleet: InlineFleet, bus: BusWorld) -> None:
    asked = request()
    bus.send(asked)
    bus.streams.take(REQUESTS, group="ingest", reader="dead", count=1, wait=AT_ONCE)
    for _ in range(MAX_DELIVERIES - 1):
        bus.streams.take_over(REQUESTS, group="ingest", reader="dead", idle=AT_ONCE)
    bus.handle()
    assert rejections(bus) == [(asked["id"], "not_answered")]
    assert jobs(fleet) == []


def test_an_operator_can_ask_again_once_the_reason_is_gone(fleet: InlineFleet, bus: BusWorld) -> None:
    asked = request(Ask.VERIFY, time=(datetime.now(UTC) - timedelta(hours=23)).isoformat())
    bus.handle(asked)
    assert rejections(bus) == [(asked["id"], "no_snapshot")]
    fleet.snapshot()
    (letter,) = dead_letters.listing(bus.streams)
    assert (letter.code, letter.event_id, letter.database) == ("no_snapshot", asked["id"], NAME)
    later = datetime.now(UTC)
    dead_letters.replay(fleet.fleet.catalog, bus.streams, letter, now=later, by=TESTER)
    assert list(dead_letters.listing(bus.streams)) == []
    bus.handle()
    fleet.drain()
    assert bus.types(asked["id"])[-1] == "snapshot.verified"


def test_a_request_too_old_to_be_granted_can_be_asked_again_by_an_operator(
    fleet: InlineFleet, bus: BusWorld
) -> None:
    bus.handle(request(time="2020-01-01T00:00:00Z"))
    (letter,) = dead_letters.listing(bus.streams)
    dead_letters.replay(fleet.fleet.catalog, bus.streams, letter, now=datetime.now(UTC), by=TESTER)
    bus.handle()
    assert jobs(fleet) == ["snapshot active"]


def test_of_a_request_too_large_only_the_beginning_is_kept(bus: BusWorld) -> None:
    huge = json.dumps(request(data={"labels": {"a": "x" * 10_000_000}})).encode()
    bus.handle(huge)
    (letter,) = bus.dead()
    assert (letter["code"], int(letter["bytes"])) == (b"too_large", len(huge))
    assert len(letter[BODY]) == 1024
    (found,) = dead_letters.listing(bus.streams)
    assert not found.is_whole
