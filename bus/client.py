"""The consciousness side of the event bus: ask, and hear what became of it. Needs Redis, and nothing else.

    consciousness = Consciousness.connect(redis_url, source="/consciousness/journal", database="journal")
    proven = consciousness.create_snapshot()
    ...
    consciousness.restore_from_snapshot(proven.data["snapshot_id"])

A request is sent again until it is heard of, always under the same id, which makes one job of it. Give a
`request_id` of your own, and the same call can be made again after you died in the middle of it: it then
answers with what the first one came to.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from shared.domain.events import OLDEST, SPECVERSION, Ask, Cause
from shared.errors import NotFound, Permanent, Refused, Unreachable
from shared.streams.base import BODY, EVENTS, REQUESTS, Entry, Streams, next_id, number_of
from shared.streams.redis import RedisStreams

BEGINNING = "0-0"
PAGE = 500
WAIT = timedelta(seconds=1)
PAUSE = timedelta(seconds=0.5)
SEND_AGAIN_AFTER = timedelta(seconds=10)
"""Redis may have forgotten a request; the same one again harms nobody."""
DEADLINE = timedelta(hours=1)

REJECTED = "io.snapfleet.request.rejected.v1"
UNNEEDED = "io.snapfleet.request.unneeded.v1"
SEALED = "io.snapfleet.snapshot.sealed.v1"
VERIFIED = "io.snapfleet.snapshot.verified.v1"
RESTORED = "io.snapfleet.restore.succeeded.v1"
ENDINGS = ("failed", "cancelled", "rolled_back")
NO_SNAPSHOT = "no_snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event that was heard. The same event may be heard twice, under the same id."""

    id: str
    type: str
    database: str | None
    sequence: int | None
    time: str
    cause: Cause | None
    data: Mapping[str, Any]

    @property
    def job_id(self) -> str | None:
        return self.data.get("job_id")

    @property
    def is_bad(self) -> bool:
        """Whether what was asked for did not come about."""
        return self.type == REJECTED or self.type.removesuffix(".v1").rpartition(".")[2] in ENDINGS


class Consciousness:
    """One service and its database, by the name that the fleet has for it. Not for several threads."""

    def __init__(
        self,
        *,
        streams: Streams,
        source: str,
        database: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._streams = streams
        self._source = source
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._new_id = new_id

    @classmethod
    def connect(cls, redis_url: str, *, source: str, database: str) -> Self:
        """`source` is who asks, as a URI reference: of all requests with it no two may have one id."""
        return cls(streams=RedisStreams.connect(redis_url), source=source, database=database)

    def create_snapshot(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        proven: bool = True,
        request_id: str | None = None,
        deadline: timedelta = DEADLINE,
    ) -> Event:
        """Take a snapshot; returns once it is proven by a restore, or, with `proven=False`, once it is sealed.

        Raises what stood against it, and Unreachable (`no_answer`) at the deadline.
        """
        wants = {"labels": dict(labels or {}), "verify": "always" if proven else None}
        good = VERIFIED if proven else SEALED
        return self._ask(Ask.SNAPSHOT, wants, {good}, request_id=request_id, deadline=deadline)

    def restore_from_snapshot(
        self,
        snapshot_id: str | None = None,
        *,
        at: datetime | None = None,
        to: str | None = None,
        safeguard: bool = True,
        request_id: str | None = None,
        deadline: timedelta = DEADLINE,
    ) -> Event:
        """Bring a snapshot back, the newest good one unless it is named; returns once it is live.

        Every connection to the database is cut at the end. Raises as `create_snapshot` does: then the
        database is what it was before.
        """
        moment = None if at is None else at.isoformat()
        wants = {"snapshot_id": snapshot_id, "at": moment, "to": to, "safeguard": safeguard}
        return self._ask(Ask.RESTORE, wants, {RESTORED}, request_id=request_id, deadline=deadline)

    def bootstrap_from_snapshot(
        self, *, allow_fresh: bool = False, request_id: str | None = None, deadline: timedelta = DEADLINE
    ) -> Event | None:
        """Fill the database from its newest proven snapshot if it is absent or empty, and only then.

        For the start of a service; many may ask at once. None where there is no snapshot at all and that
        is allowed. Raises as `create_snapshot` does.
        """
        wants = {"if_empty": True}
        good = {RESTORED, UNNEEDED}
        try:
            return self._ask(Ask.RESTORE, wants, good, request_id=request_id, deadline=deadline)
        except NotFound:
            if not allow_fresh:
                raise
            return None

    def verify(
        self,
        snapshot_id: str | None = None,
        *,
        request_id: str | None = None,
        deadline: timedelta = DEADLINE,
    ) -> Event:
        """Prove a snapshot by a restore into a scratch database. Raises as `create_snapshot` does."""
        wants = {"snapshot_id": snapshot_id}
        return self._ask(Ask.VERIFY, wants, {VERIFIED}, request_id=request_id, deadline=deadline)

    def on(self, *event_types: str, deadline: timedelta | None = None) -> Iterator[Event]:
        """Every event of these types (of all, if none is named) from this call on, as it comes.

        Of all databases and whoever asked. Ends at the deadline, or never. Each event once.
        """
        until = None if deadline is None else self._monotonic() + deadline.total_seconds()
        return self._matching(self._newest(until), frozenset(event_types), until)

    def _matching(self, position: str, types: Collection[str], until: float | None) -> Iterator[Event]:
        seen: set[str] = set()
        for batch in self._batches(position, until):
            for event in batch:
                if event.id not in seen and (not types or event.type in types):
                    seen.add(event.id)
                    yield event

    def _ask(
        self,
        ask: Ask,
        wants: Mapping[str, Any],
        good: Collection[str],
        *,
        request_id: str | None,
        deadline: timedelta,
    ) -> Event:
        until = self._monotonic() + deadline.total_seconds()
        cause = Cause(source=self._source, id=request_id or self._new_id())
        for event in self._answers(ask, wants, cause, until=until, is_new=request_id is None):
            if event.type in good:
                return event
            if event.is_bad:
                raise failure(event)
        raise Unreachable(
            f"no final answer to request {cause.id} within {deadline}",
            code="no_answer",
            hint="it may still come about; the same call with the same request_id goes on waiting for it",
        )

    def _answers(
        self, ask: Ask, wants: Mapping[str, Any], cause: Cause, *, until: float, is_new: bool
    ) -> Iterator[Event]:
        """Everything that is heard of a request and of its job, sent as often as it takes to hear anything."""
        position = self._newest(until)
        seen: set[str] = set()
        jobs: set[str] = set()

        def news(events: Iterable[Event]) -> Iterator[Event]:
            for event in events:
                if event.id not in seen and (event.cause == cause or event.job_id in jobs):
                    seen.add(event.id)
                    yield event

        def told(events: Iterable[Event]) -> Iterator[Event]:
            for event in news(events):
                yield event
                if event.data.get("joined") and event.job_id is not None:
                    # Somebody else has asked for the same before: it may have ended by now.
                    jobs.add(event.job_id)
                    yield from news(self._heard_before(position))

        if not is_new:
            yield from told(self._heard_before(position))
        body = self._request(ask, wants, cause)
        send_at = self._monotonic()
        for batch in self._batches(position, until):
            yield from told(batch)
            if not seen and self._monotonic() >= send_at:
                send_at = self._monotonic() + SEND_AGAIN_AFTER.total_seconds()
                with suppress(Unreachable):
                    self._streams.append(REQUESTS, [{BODY: body}])

    def _newest(self, until: float | None) -> str:
        """Where the stream ends now; what comes is read from there."""
        while True:
            try:
                found = self._streams.before(EVENTS, entry_id=None, count=1)
            except Unreachable:
                if until is not None and self._monotonic() > until:
                    raise
                self._sleep(PAUSE.total_seconds())
            else:
                return found[0].id if found else BEGINNING

    def _heard_before(self, position: str) -> list[Event]:
        """What was published up to there, as far back as a request can lie, oldest first."""
        oldest = int((self._clock() - OLDEST).timestamp() * 1000)
        found: list[Event] = []
        last: str | None = next_id(position)
        while last is not None:
            page = self._streams.before(EVENTS, entry_id=last, count=PAGE)
            found += [event for event in map(event_of, page) if event is not None]
            last = page[-1].id if page and number_of(page[-1].id)[0] >= oldest else None
        return found[::-1]

    def _batches(self, position: str, until: float | None) -> Iterator[list[Event]]:
        """What comes behind there, again and again; nothing, at times. At once first, without waiting."""
        wait = timedelta(0)
        while until is None or self._monotonic() < until:
            try:
                entries = self._streams.after(EVENTS, entry_id=position, count=PAGE, wait=wait)
            except Unreachable:
                entries = []
                self._sleep(PAUSE.total_seconds())
            wait = WAIT
            if entries:
                position = entries[-1].id
            yield [event for event in map(event_of, entries) if event is not None]

    def _request(self, ask: Ask, wants: Mapping[str, Any], cause: Cause) -> bytes:
        event = {
            "specversion": SPECVERSION,
            "id": cause.id,
            "source": cause.source,
            "type": ask.type,
            "subject": self._database,
            "time": self._clock().isoformat(),
            "datacontenttype": "application/json",
            "data": {name: value for name, value in wants.items() if value is not None},
        }
        return json.dumps(event).encode()


def event_of(entry: Entry) -> Event | None:
    """The event in an entry; None for what is none: it is not ours."""
    try:
        given = json.loads(entry.fields[BODY])
        sequence, cause = given.get("sequence"), given.get("causationid")
        return Event(
            id=given["id"],
            type=given["type"],
            database=given.get("subject"),
            sequence=None if sequence is None else int(sequence),
            time=given["time"],
            cause=None if cause is None else Cause(source=given["causationsource"], id=cause),
            data=given["data"],
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def failure(event: Event) -> Permanent:
    """Why it did not come about, as an error of the kind that its code stands for."""
    error = event.data.get("error") or {}
    code = error.get("code") or event.type
    message = error.get("message") or f"what was asked for ended as {event.type}"
    kind = NotFound if code == NO_SNAPSHOT else Refused if event.type == REJECTED else Permanent
    return kind(message, code=code, hint=error.get("hint"))
