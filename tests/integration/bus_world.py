"""The bus around an in-process fleet: streams in memory, a clock that stands where the test puts it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from bus.announcements import SHAPES, Announcement
from bus.ingest import Ingest
from shared.domain.events import Ask
from shared.domain.ids import new_snapshot_id
from shared.operations.fleet import Fleet
from shared.operations.messages.intake import Desk
from shared.operations.messages.relaying import Relay
from shared.streams.base import BODY, DEAD, EVENTS, REQUESTS, Streams
from shared.streams.memory import MemoryStreams
from tests.integration.inline_fleet import NAME

AT_ONCE = timedelta(0)
SOURCE = "/consciousness"


def request(ask: Ask = Ask.SNAPSHOT, data: dict[str, Any] | None = None, **attributes: Any) -> dict[str, Any]:
    """A request as a publisher makes it."""
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": SOURCE,
        "type": ask.type,
        "subject": NAME,
        "time": datetime.now(UTC).isoformat(),
        "data": data or {},
    } | attributes


class BusWorld:
    """One reader and one relay. `handle` answers everything that was sent, `heard` is what went out."""

    def __init__(
        self, fleet: Fleet, *, streams: Streams | None = None, allowed: Collection[Ask] = tuple(Ask)
    ) -> None:
        self.streams = streams or MemoryStreams(clock=time.monotonic)
        self.fleet = fleet
        self.allowed = allowed
        self.ingest = self.reader("first")
        self.relay = Relay(catalog=fleet.catalog, streams=self.streams)

    def reader(self, name: str, *, left_after: timedelta = AT_ONCE) -> Ingest:
        desk = Desk(
            fleet=self.fleet,
            allowed=self.allowed,
            new_job_id=lambda: str(uuid.uuid4()),
            new_snapshot_id=lambda now: new_snapshot_id(now, uuid.uuid4()),
        )
        return Ingest(
            desk=desk,
            streams=self.streams,
            reader=name,
            clock=lambda: datetime.now(UTC),
            left_after=left_after,
            look_for_left_every=AT_ONCE,
        )

    def send(self, *requests: dict[str, Any] | bytes) -> None:
        bodies = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in requests]
        self.streams.append(REQUESTS, [{BODY: body} for body in bodies])

    def handle(self, *requests: dict[str, Any] | bytes) -> None:
        self.send(*requests)
        while self.ingest.turn(wait=AT_ONCE):
            pass

    def heard(self) -> list[dict[str, Any]]:
        """Every event, oldest first, after everything was published."""
        while self.relay.publish():
            pass
        entries = self.streams.before(EVENTS, entry_id=None, count=100_000)
        events = [json.loads(entry.fields[BODY]) for entry in reversed(entries)]
        for event in events:
            conforms(event)
        return events

    def types(self, cause: str | None = None) -> list[str]:
        """Of what was heard, the middle of each type; for one request, if it is named."""
        return [
            event["type"].removeprefix("io.snapfleet.").removesuffix(".v1")
            for event in self.heard()
            if cause is None or event.get("causationid") == cause
        ]

    def dead(self) -> list[dict[str, bytes]]:
        entries = self.streams.before(DEAD, entry_id=None, count=100_000)
        return [dict(entry.fields) for entry in reversed(entries)]

    def left(self) -> int:
        return self.streams.length(REQUESTS)


def conforms(event: dict[str, Any]) -> None:
    """It is as the schemas say, or of a type that they do not know; ValidationError otherwise."""
    if event["type"] in SHAPES:
        Announcement.model_validate_json(json.dumps(event))
        SHAPES[event["type"]].model_validate_json(json.dumps(event["data"]))
