"""Events out: each at least once, under one id, those of a database in their order; and never too many."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import text

from shared.catalog.catalog import Transaction
from shared.errors import Unreachable
from shared.operations.messages.relaying import CEILING, Relay
from shared.streams.base import BODY, EVENTS, Fields
from shared.streams.memory import MemoryStreams
from shared.streams.redis import RedisStreams
from tests.integration import bus_home
from tests.integration.bus_world import AT_ONCE, BusWorld, request
from tests.integration.inline_fleet import NAME, InlineFleet

OTHERS = ("one", "two")


@pytest.fixture
def fleet(home: InlineFleet) -> InlineFleet:
    fresh = bus_home.fresh(home)
    with fresh.fleet.catalog.transaction() as tx:
        tx.schedules.know([NAME, *OTHERS])
    return fresh


@pytest.fixture
def bus(fleet: InlineFleet) -> BusWorld:
    return BusWorld(fleet.fleet)


def tell(tx: Transaction, database: str | None = NAME, number: int = 0) -> None:
    moment = "2026-11-22T19:55:00+00:00"
    data = {"count": number, "first": moment, "last": moment, "why": "nobody was there"}
    tx.outbox.add("schedule.missed", database=database, job_id=None, data=data)


def tell_some(fleet: InlineFleet, count: int) -> None:
    with fleet.fleet.catalog.transaction() as tx:
        for number in range(count):
            tell(tx, number=number)


def published(streams: MemoryStreams) -> list[dict[str, Any]]:
    entries = streams.after(EVENTS, entry_id="0-0", count=100_000, wait=AT_ONCE)
    return [json.loads(entry.fields[BODY]) for entry in entries]


class LosesReplies(MemoryStreams):
    """Appends, and then the connection is gone."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 0.0)
        self.loses = True

    def append(self, stream: str, entries: Sequence[Fields]) -> list[str]:
        ids = super().append(stream, entries)
        if self.loses:
            raise Unreachable("gone", code="redis_unreachable")
        return ids


def test_an_event_whose_publication_is_uncertain_goes_out_again_as_the_same(fleet: InlineFleet) -> None:
    tell_some(fleet, 3)
    streams = LosesReplies()
    relay = Relay(catalog=fleet.fleet.catalog, streams=streams)
    for _ in range(2):
        with pytest.raises(Unreachable):
            relay.publish()
    streams.loses = False
    assert relay.publish() == 3
    assert relay.publish() == 0
    found = published(streams)
    assert len(found) == 9
    assert found[:3] == found[3:6] == found[6:]
    assert [event["data"]["count"] for event in found[:3]] == [0, 1, 2]


def test_only_one_relay_publishes_at_a_time(fleet: InlineFleet, bus: BusWorld) -> None:
    tell_some(fleet, 1)
    with fleet.fleet.catalog.transaction() as other:
        assert other.outbox.lead()
        assert bus.relay.publish() == 0
        assert bus.relay.tell_progress() == 0
    assert bus.relay.publish() == 1


def test_events_of_one_database_keep_their_order_however_many_write_them(
    fleet: InlineFleet, bus: BusWorld
) -> None:
    """A transaction that began first may commit last: its events must not be left behind."""
    databases = (NAME, *OTHERS)

    def write(writer: int) -> None:
        for number in range(25):
            with fleet.fleet.catalog.transaction() as tx:
                tell(tx, databases[(writer + number) % 3])
                tell(tx, databases[(writer + number) % 3])

    with ThreadPoolExecutor(5) as pool:
        writing = [pool.submit(write, writer) for writer in range(4)]
        relays = [Relay(catalog=fleet.fleet.catalog, streams=bus.streams) for _ in range(2)]
        while not all(each.done() for each in writing):
            for relay in relays:
                relay.publish(limit=7)
        for each in writing:
            each.result()
    heard = bus.heard()
    assert len(heard) == 4 * 25 * 2
    for database in databases:
        sequences = [int(event["sequence"]) for event in heard if event["subject"] == database]
        assert sequences == list(range(1, len(sequences) + 1))


def test_an_event_without_a_database_has_no_subject_and_no_sequence(
    fleet: InlineFleet, bus: BusWorld
) -> None:
    with fleet.fleet.catalog.transaction() as tx:
        tell(tx, None)
    (event,) = bus.heard()
    assert event.keys() & {"subject", "sequence", "causationid"} == set()


def test_an_event_that_a_newer_release_wrote_goes_out_under_the_rule(
    fleet: InlineFleet, bus: BusWorld
) -> None:
    with fleet.fleet.catalog.transaction() as tx:
        tx.outbox.add("moon.full", database=NAME, job_id=None, data={"why": "it is", "password": "hidden"})
    (event,) = bus.heard()
    assert (event["type"], event["data"]) == ("io.snapfleet.moon.full.v1", {"why": "it is"})


def test_events_beyond_those_that_are_kept_go_once_every_group_has_read_them(
    fleet: InlineFleet, redis_url: str
) -> None:
    streams = RedisStreams.connect(redis_url)
    relay = Relay(catalog=fleet.fleet.catalog, streams=streams, keep=5)
    with Redis.from_url(redis_url) as client:
        client.xgroup_create(EVENTS, "slow", id="0", mkstream=True)
        tell_some(fleet, 20)
        relay.publish()
        assert streams.length(EVENTS) == 20
        taken = streams.take(EVENTS, group="slow", reader="r", count=12, wait=AT_ONCE)
        assert relay.trim() == 0
        client.xack(EVENTS, "slow", *(entry.id for entry in taken[:-1]))
        assert relay.trim() == 11
        client.xack(EVENTS, "slow", taken[-1].id)
        streams.take(EVENTS, group="slow", reader="r", count=100, wait=AT_ONCE)
        assert relay.trim() == 1
        client.xgroup_destroy(EVENTS, "slow")
        assert relay.trim() == 3
    assert streams.length(EVENTS) == 5


def test_a_group_that_does_not_read_stops_the_relay_before_it_fills_redis(
    fleet: InlineFleet, bus: BusWorld
) -> None:
    streams = bus.streams
    relay = Relay(catalog=fleet.fleet.catalog, streams=streams, keep=2)
    streams.take(EVENTS, group="gone", reader="r", count=1, wait=AT_ONCE)
    tell_some(fleet, 40)
    while relay.publish(limit=5):
        pass
    assert streams.length(EVENTS) == CEILING * 2
    with fleet.fleet.catalog.transaction() as tx:
        assert tx.outbox.waiting() == 20
    for entry in streams.take(EVENTS, group="gone", reader="r", count=100, wait=AT_ONCE):
        streams.settle(EVENTS, group="gone", entry_id=entry.id)
    while relay.publish(limit=5):
        pass
    with fleet.fleet.catalog.transaction() as tx:
        assert tx.outbox.waiting() == 0


def let_pass(fleet: InlineFleet, span: timedelta) -> None:
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.execute(text("update outbox set created_at = created_at - :span"), {"span": span})


def test_progress_is_told_when_there_is_some_and_not_too_often(fleet: InlineFleet, bus: BusWorld) -> None:
    bus.handle(request())
    (job,) = fleet.bell.rung
    assert bus.relay.tell_progress() == 0
    let_pass(fleet, timedelta(seconds=6))
    assert bus.relay.tell_progress() == 0, "nobody works on it"
    with fleet.fleet.catalog.transaction() as tx:
        claim = tx.jobs.claim(job.id, epoch=job.epoch, seq=1, owner="o", ttl=timedelta(minutes=5))
        assert claim is not None
        tx.parts.plan(job.id, epoch=job.epoch, parts=[(n, {}, 100) for n in range(4)])
    assert bus.relay.tell_progress() == 1
    for done in (10, 20, 30):
        with fleet.fleet.catalog.transaction() as tx:
            assert tx.jobs.renew(claim, ttl=timedelta(minutes=5), progress={"archive_bytes": done})
        assert bus.relay.tell_progress() == 0, "it was told just now"
    let_pass(fleet, timedelta(seconds=6))
    assert bus.relay.tell_progress() == 1
    let_pass(fleet, timedelta(seconds=6))
    assert bus.relay.tell_progress() == 0, "nothing is new"
    told = [event["data"] for event in bus.heard() if event["type"] == "io.snapfleet.snapshot.progress.v1"]
    assert [data["done_bytes"] for data in told] == [0, 30]
    facts = {key: told[1][key] for key in ("step", "step_number", "steps", "parts", "expected_bytes")}
    assert facts == {"step": "copy", "step_number": 1, "steps": 2, "parts": 4, "expected_bytes": 400}
    times = [event["sequence"] for event in bus.heard()]
    assert all(earlier < later for earlier, later in pairwise(times))
