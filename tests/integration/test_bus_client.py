"""The client of a service: it asks, waits, hears the answer, and may die and ask again."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
import pytest

from bus.client import Consciousness, Event
from shared.domain.events import ALLOWED
from shared.errors import NotFound, Permanent, Refused, SnapfleetError, Unreachable
from shared.streams.base import REQUESTS, Streams
from tests.integration import bus_home
from tests.integration.bus_world import SOURCE, BusWorld
from tests.integration.inline_fleet import NAME, InlineFleet

PATIENCE = timedelta(seconds=90)
SOON = timedelta(seconds=0.2)
T = TypeVar("T")


@pytest.fixture
def fleet(home: InlineFleet) -> InlineFleet:
    return bus_home.fresh(home)


class World:
    """A bus and a fleet that work in this thread while a client waits in another."""

    def __init__(self, fleet: InlineFleet, bus: BusWorld) -> None:
        self.fleet, self.bus = fleet, bus

    def client(self, streams: Streams | None = None) -> Consciousness:
        return Consciousness(streams=streams or self.bus.streams, source=SOURCE, database=NAME)

    def during(self, ask: Callable[[], T]) -> T:
        """What `ask` returns, everybody working meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(ask)
            while not asking.done():
                self.work()
            return asking.result()

    def work(self) -> None:
        self.bus.handle()
        self.fleet.drain()
        while self.bus.relay.publish():
            pass

    def jobs(self) -> int:
        with self.fleet.fleet.catalog.transaction() as tx:
            return len([job for job in tx.jobs.listing(limit=100) if job.kind != "prune"])


@pytest.fixture
def world(fleet: InlineFleet) -> World:
    return World(fleet, BusWorld(fleet.fleet))


def count(fleet: InlineFleet) -> int:
    with psycopg.connect(fleet.fleet.database(NAME).url) as session:
        row = session.execute("select count(*) from thought").fetchone()
    assert row is not None
    return int(row[0])


def test_a_service_takes_a_proven_snapshot_breaks_itself_and_comes_back(world: World) -> None:
    client = world.client()
    proven = world.during(lambda: client.create_snapshot(labels={"before": "change"}, deadline=PATIENCE))
    assert proven.type == "io.snapfleet.snapshot.verified.v1"
    snapshot_id = proven.data["snapshot_id"]
    with psycopg.connect(world.fleet.fleet.database(NAME).url) as session:
        session.execute("delete from thought where n > 10")
    restored = world.during(
        lambda: client.restore_from_snapshot(snapshot_id, safeguard=False, deadline=PATIENCE)
    )
    assert (restored.type, restored.data["snapshot_id"]) == ("io.snapfleet.restore.succeeded.v1", snapshot_id)
    assert restored.database == NAME
    assert count(world.fleet) == bus_home.THOUGHTS


def test_a_snapshot_that_need_not_be_proven_is_answered_once_it_is_sealed(world: World) -> None:
    client = world.client()
    sealed = world.during(lambda: client.create_snapshot(proven=False, deadline=PATIENCE))
    assert sealed.type == "io.snapfleet.snapshot.sealed.v1"
    proven = world.during(lambda: client.verify(sealed.data["snapshot_id"], deadline=PATIENCE))
    assert proven.type == "io.snapfleet.snapshot.verified.v1"


def test_whoever_asks_again_after_its_death_hears_the_first_answer(world: World) -> None:
    """The answer came while nobody listened."""
    first = world.client()
    with pytest.raises(Unreachable) as caught:
        first.create_snapshot(request_id="deploy-42", deadline=SOON)
    assert caught.value.code == "no_answer"
    world.work()
    for _ in range(2):
        again = world.client().create_snapshot(request_id="deploy-42", deadline=PATIENCE)
        assert again.type == "io.snapfleet.snapshot.verified.v1"
    world.work()
    assert world.jobs() == 2, "a snapshot and its proof"


def test_what_is_refused_is_raised_with_its_code(fleet: InlineFleet) -> None:
    world = World(fleet, BusWorld(fleet.fleet, allowed=ALLOWED))
    with pytest.raises(Refused) as caught:
        world.during(lambda: world.client().restore_from_snapshot(deadline=PATIENCE))
    assert caught.value.code == "not_allowed"
    assert caught.value.hint


def test_what_fails_is_raised_with_the_error_of_the_job(world: World) -> None:
    taken = world.during(lambda: world.client().create_snapshot(proven=False, deadline=PATIENCE))
    with pytest.raises(Permanent) as caught:
        # Into a database that is there already.
        world.during(
            lambda: world.client().restore_from_snapshot(
                taken.data["snapshot_id"], to="postgres", deadline=PATIENCE
            )
        )
    assert not isinstance(caught.value, Refused)
    assert caught.value.code


def test_an_empty_database_is_filled_once_for_all_who_start_together(world: World) -> None:
    world.during(lambda: world.client().create_snapshot(deadline=PATIENCE))
    with psycopg.connect(world.fleet.fleet.database(NAME).url) as session:
        session.execute("drop table thought")
    answers: list[Event | None] = []
    starting = [
        threading.Thread(
            target=lambda: answers.append(world.client().bootstrap_from_snapshot(deadline=PATIENCE))
        )
        for _ in range(4)
    ]
    for node in starting:
        node.start()
    while any(node.is_alive() for node in starting):
        world.work()
    types = sorted(answer.type for answer in answers if answer is not None)
    assert len(types) == 4
    assert set(types) <= {"io.snapfleet.restore.succeeded.v1", "io.snapfleet.request.unneeded.v1"}
    assert "io.snapfleet.restore.succeeded.v1" in types
    assert world.jobs() == 3, "a snapshot, its proof, one restore"
    assert count(world.fleet) == bus_home.THOUGHTS


def test_without_any_snapshot_a_fresh_start_must_be_allowed(world: World) -> None:
    with psycopg.connect(world.fleet.fleet.database(NAME).url) as session:
        session.execute("drop table thought")
    client = world.client()
    with pytest.raises(NotFound):
        world.during(lambda: client.bootstrap_from_snapshot(deadline=PATIENCE))
    assert world.during(lambda: client.bootstrap_from_snapshot(allow_fresh=True, deadline=PATIENCE)) is None


class Forgetful:
    """Streams that lose what is sent, as often as they are told."""

    def __init__(self, streams: Streams, *, losses: int, breaks: int) -> None:
        self._streams = streams
        self.losses, self.breaks = losses, breaks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._streams, name)

    def append(self, stream: str, entries: Any) -> list[str]:
        if stream == REQUESTS and self.losses:
            self.losses -= 1
            return ["0-1"]
        return self._streams.append(stream, entries)

    def after(self, stream: str, **named: Any) -> Any:
        if self.breaks:
            self.breaks -= 1
            raise Unreachable("gone", code="redis_unreachable")
        return self._streams.after(stream, **named)


def test_a_request_that_redis_forgot_is_sent_again_and_a_break_is_waited_out(world: World) -> None:
    now = [0.0]
    streams: Any = Forgetful(world.bus.streams, losses=2, breaks=3)
    client = Consciousness(
        streams=streams,
        source=SOURCE,
        database=NAME,
        # Ten seconds pass at each look at the clock.
        monotonic=lambda: now.__setitem__(0, now[0] + 10) or now[0],
        sleep=lambda _seconds: None,
    )
    answer = world.during(lambda: client.create_snapshot(proven=False, deadline=timedelta(days=1)))
    assert answer.type == "io.snapfleet.snapshot.sealed.v1"
    assert (streams.losses, streams.breaks) == (0, 0)


def test_events_of_a_type_are_heard_as_they_come(world: World) -> None:
    client, heard = world.client(), []
    events = client.on("io.snapfleet.snapshot.sealed.v1", deadline=PATIENCE)

    def listen() -> None:
        heard.append(next(events))
        heard.append(next(events))

    listening = threading.Thread(target=listen)
    listening.start()
    for _ in range(2):
        world.fleet.snapshot()
    while listening.is_alive():
        world.work()
    assert [event.type for event in heard] == ["io.snapfleet.snapshot.sealed.v1"] * 2
    assert heard[0].id != heard[1].id
    assert (heard[0].cause, heard[0].sequence is not None) == (None, True)
    with pytest.raises(StopIteration):
        next(client.on("io.snapfleet.snapshot.sealed.v1", deadline=SOON))


def test_a_client_passes_over_what_is_no_event(world: World) -> None:
    world.bus.streams.append("snapfleet:events", [{"event": b"no json"}, {"x": b"y"}, {"event": b"[]"}])
    answer = world.during(
        lambda: world.client().create_snapshot(proven=False, request_id=str(uuid.uuid4()), deadline=PATIENCE)
    )
    assert answer.type == "io.snapfleet.snapshot.sealed.v1"


def test_errors_are_of_ours(world: World) -> None:
    with pytest.raises(SnapfleetError):
        world.during(lambda: world.client().verify("20261122T195500Z-3f9a2c", deadline=PATIENCE))
