"""Three hundred messages that are no requests, among some that are, on a real server."""

from __future__ import annotations

from typing import Any

from redis import Redis
from sqlalchemy import text

from shared.streams.base import BODY, DEAD, EVENTS, INGEST, REQUESTS
from shared.streams.redis import RedisStreams
from tests.integration import bus_home, malformed
from tests.integration.bus_world import BusWorld, request
from tests.integration.inline_fleet import InlineFleet

COUNT, SEED = 300, 20_261_122
WRITTEN = {"inbox", "outbox", "job", "job_step", "cause", "database", "audit"}
"""What answering writes to, and what a granted request does."""


def rows(fleet: InlineFleet) -> dict[str, int]:
    with fleet.fleet.catalog.engine.connect() as connection:
        names = connection.execute(
            text("select tablename from pg_tables where schemaname = 'public'")
        ).scalars()
        return {
            name: int(connection.execute(text(f'select count(*) from "{name}"')).scalar_one())
            for name in list(names)
        }


def test_no_malformed_message_has_any_effect_but_to_be_put_away_with_the_reason(
    home: InlineFleet, redis_url: str
) -> None:
    fleet = bus_home.fresh(home)
    bus = BusWorld(fleet.fleet, streams=RedisStreams.connect(redis_url))
    good = [request(data={"labels": {"good": str(n)}}) for n in range(10)]
    bus.handle(good[0])
    before = rows(fleet)
    made = malformed.messages(SEED, COUNT, granted=good[0])
    streams = bus.streams
    for number, (_, fields) in enumerate(made):
        streams.append(REQUESTS, [fields])
        if number % 30 == 0 and number < 270:
            bus.send(good[1 + number // 30])
    bus.handle()
    after = rows(fleet)
    assert {name for name in after if after[name] != before[name]} <= WRITTEN
    assert after["job"] == after["audit"] == len(good)
    with fleet.fleet.catalog.transaction() as tx:
        labels = sorted(job.request["labels"]["good"] for job in tx.jobs.listing(limit=100))
    assert labels == sorted(str(n) for n in range(10))
    letters = bus.dead()
    told = [event for event in bus.heard() if event["type"] == "io.snapfleet.request.rejected.v1"]
    granted = [event for event in bus.heard() if event["type"] == "io.snapfleet.snapshot.accepted.v1"]
    assert [event["causationid"] for event in granted] == [each["id"] for each in good]
    assert without_a_letter(made, letters) == []
    assert len(told) == len(letters) == COUNT
    assert all(letter["reason"] and letter["code"] for letter in letters)
    assert good[0]["id"] not in {event.get("causationid") for event in told}
    with Redis.from_url(redis_url) as client:
        assert client.xlen(REQUESTS) == 0
        pending: Any = client.xpending(REQUESTS, INGEST)
        assert pending["pending"] == 0
        assert {key.decode() for key in client.scan_iter()} == {REQUESTS, EVENTS, DEAD}


def without_a_letter(
    made: list[tuple[str, dict[str, bytes]]], letters: list[dict[str, bytes]]
) -> list[tuple[str, bytes]]:
    """Messages of which none of the dead letters has kept the beginning."""
    kept = {letter.get(BODY, b"")[:1024] for letter in letters}
    return [
        (kind, event[:200]) for kind, fields in made if (event := fields.get(BODY, b""))[:1024] not in kept
    ]
