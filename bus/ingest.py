"""Read requests from the stream, answer each, and only then take it out.

    take ─► parse ─► answer (one commit) ─► ring ─► settle
              └─────────┴─► refuse (one commit) ─► move to the dead letters

Whatever dies in between leaves the entry in the hands of the group: it is taken over, and whatever was
done for it before is found and not done again.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from bus import requests
from shared.catalog.inbox import Received
from shared.domain.events import Cause, Request
from shared.errors import Permanent, Refused, SnapfleetError, Unreachable
from shared.operations.jobs import dispatch
from shared.operations.messages import dead_letters
from shared.operations.messages.intake import Answer, Desk, Refusal
from shared.streams.base import BODY, INGEST, REQUESTS, Entry, Streams

log = structlog.get_logger(__name__)

BATCH = 20
"""Few, because nobody can tell how large an entry is before it is read."""
WAIT = timedelta(seconds=1)
LEFT_AFTER = timedelta(seconds=60)
"""An entry that nobody settled for so long was left by a reader that died, or could not be answered."""
LOOK_FOR_LEFT_EVERY = timedelta(seconds=5)
MAX_DELIVERIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """An entry with what it says: the request in it, or what is wrong with it."""

    entry: Entry
    body: bytes
    request: Request | None = None
    fault: SnapfleetError | None = None
    claims: dict[str, str] = field(default_factory=dict)

    @property
    def cause(self) -> Cause | None:
        if "source" in self.claims and "id" in self.claims:
            return Cause(source=self.claims["source"], id=self.claims["id"])
        return None


class Ingest:
    """One reader of the group. `turn` is called again and again, by one thread."""

    def __init__(
        self,
        *,
        desk: Desk,
        streams: Streams,
        reader: str,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        left_after: timedelta = LEFT_AFTER,
        look_for_left_every: timedelta = LOOK_FOR_LEFT_EVERY,
    ) -> None:
        self._desk = desk
        self._streams = streams
        self._reader = reader
        self._clock = clock
        self._monotonic = monotonic
        self._left_after = left_after
        self._look_every = look_for_left_every.total_seconds()
        self._looked_at: float | None = None
        # What was taken and not yet settled: kept here while the catalog is away.
        self._in_hand: deque[Entry] = deque()

    def turn(self, *, wait: timedelta = WAIT) -> int:
        """Answer some entries, waiting a moment where there are none; how many.

        Raises Unreachable while catalog or Redis are away: nothing is lost by it, the next turn goes on.
        """
        if not self._in_hand:
            left = self._left_by_others()
            self._in_hand.extend([left] if left else self._new(wait))
        letters = [read(entry) for entry in self._in_hand]
        known = self._desk.known({letter.cause for letter in letters if letter.cause is not None})
        touched: set[str] = set()
        try:
            for letter in letters:
                self._handle(letter, known, touched)
                self._in_hand.popleft()
        finally:
            for database in sorted(touched):
                dispatch.start_waiting(self._desk.fleet, database)
        return len(letters)

    def stop(self) -> None:
        """Leave the group in good order. What is still in hand is taken over by others."""
        self._streams.leave(REQUESTS, group=INGEST, reader=self._reader)

    def _new(self, wait: timedelta) -> list[Entry]:
        return self._streams.take(REQUESTS, group=INGEST, reader=self._reader, count=BATCH, wait=wait)

    def _left_by_others(self) -> Entry | None:
        now = self._monotonic()
        if self._looked_at is not None and now - self._looked_at < self._look_every:
            return None
        found = self._streams.take_over(REQUESTS, group=INGEST, reader=self._reader, idle=self._left_after)
        if found is None:
            self._looked_at = now
        return found

    def _handle(self, letter: Letter, known: dict[Cause, Received], touched: set[str]) -> None:
        entry = letter.entry
        try:
            answer = self._answer(letter, known)
        except Unreachable:
            raise
        except Permanent as exc:
            self._refuse(letter, exc)
        except Exception as exc:
            log.warning("request_not_answered", entry=entry.id, deliveries=entry.deliveries, exc_info=exc)
            if entry.deliveries >= MAX_DELIVERIES:
                self._refuse(letter, gave_up(entry))
        else:
            log.info("request_answered", entry=entry.id, answer=answer.name.lower())
            if answer is Answer.GRANTED:
                touched.add(letter.claims["subject"])
            self._streams.settle(REQUESTS, group=INGEST, entry_id=entry.id)

    def _answer(self, letter: Letter, known: dict[Cause, Received]) -> Answer:
        entry, request = letter.entry, letter.request
        if request is None:
            raise letter.fault or gave_up(entry)
        if entry.deliveries > MAX_DELIVERIES:
            # Whoever had it before died of it, most likely.
            raise gave_up(entry)
        before = known.get(request.cause)
        answer = self._desk.answer(request, entry=entry.id, now=self._clock(), known=before)
        if answer is not Answer.REPEATED:
            # It may stand in this very batch once more.
            now_known = Received(cause=request.cause, digest=request.digest, entry=entry.id, error=None)
            known[request.cause] = now_known
        return answer

    def _refuse(self, letter: Letter, error: SnapfleetError) -> None:
        entry = letter.entry
        refusal = Refusal(
            entry=entry.id,
            digest=letter.request.digest
            if letter.request is not None
            else hashlib.sha256(letter.body).hexdigest(),
            error=error,
            cause=letter.cause,
            database=letter.claims.get("subject"),
            asked_type=letter.claims.get("type"),
        )
        log.warning("request_refused", entry=entry.id, code=error.code)
        if self._desk.refuse(refusal):
            dead_letters.bury(
                self._streams, entry, error=error, body=letter.body, claims=letter.claims, now=self._clock()
            )
        else:
            self._streams.settle(REQUESTS, group=INGEST, entry_id=entry.id)


def read(entry: Entry) -> Letter:
    """What an entry says; whatever it holds, it is read."""
    body = entry.fields.get(BODY)
    if body is None:
        fault = Refused(
            f"the entry has no field `{BODY}`", code="not_an_event", hint=f"XADD … {BODY} '{{…}}'"
        )
        return Letter(entry=entry, body=b"", fault=fault)
    try:
        request = requests.parse(body)
    except SnapfleetError as exc:
        return Letter(entry=entry, body=body, fault=exc, claims=requests.claims(body))
    replayed = requests.moment(entry.fields.get(dead_letters.REPLAYED, b""))
    if replayed is not None:
        # An operator wants it now: its age is counted from then.
        request = replace(request, time=replayed)
    claims = {
        "source": request.cause.source,
        "id": request.cause.id,
        "type": request.ask.type,
        "subject": request.database,
    }
    return Letter(entry=entry, body=body, request=request, claims=claims)


def gave_up(entry: Entry) -> Refused:
    return Refused(
        f"the request could not be answered, {min(entry.deliveries, MAX_DELIVERIES)} times",
        code="not_answered",
        hint="the log of the bus has the reasons; `snapfleet dead-letters replay` asks again",
    )
