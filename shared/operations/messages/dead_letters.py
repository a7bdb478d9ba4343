"""Requests that were not granted, each with the reason: looked at, asked again, or dropped, by an operator.

snapfleet:dead    event, code, reason, hint, entry, at,
                  and source, id, type, subject as far as they could be read
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.catalog.catalog import Catalog
from shared.domain.access import Actor
from shared.domain.events import Cause
from shared.errors import NotFound, Refused, SnapfleetError
from shared.operations.trust import auditing
from shared.streams.base import BODY, DEAD, INGEST, REQUESTS, Entry, Streams

REPLAYED = "replayed"
"""The field of a request that an operator asks again: when that was."""

KEPT_BYTES = 64 * 1024
"""Of a larger one only so much is kept: enough to see what it was, not enough to fill Redis."""
HEAD_BYTES = 1024
KEPT = 10_000
"""So many dead letters at most, lest a broken publisher fill Redis: the oldest go."""
PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    id: str
    at: str
    code: str
    reason: str
    hint: str | None
    body: bytes
    is_whole: bool
    source: str | None
    event_id: str | None
    type: str | None
    database: str | None


def bury(
    streams: Streams,
    entry: Entry,
    *,
    error: SnapfleetError,
    body: bytes,
    claims: Mapping[str, str],
    now: datetime,
) -> None:
    """Move an entry from the requests to the dead letters."""
    fields: dict[str, str] = {
        "code": error.code,
        "reason": error.message,
        "hint": error.hint or "",
        "entry": entry.id,
        "at": now.isoformat(),
        **claims,
    }
    if len(body) > KEPT_BYTES:
        fields |= {"bytes": str(len(body)), "sha256": hashlib.sha256(body).hexdigest()}
        body = body[:HEAD_BYTES]
    letter = {BODY: body} | {name: text.encode() for name, text in fields.items()}
    streams.settle(REQUESTS, group=INGEST, entry_id=entry.id, moved_to=DEAD, as_=letter)
    streams.cap(DEAD, keep=KEPT)


def listing(streams: Streams) -> Iterator[DeadLetter]:
    """The newest first."""
    last: str | None = None
    while page := streams.before(DEAD, entry_id=last, count=PAGE):
        for entry in page:
            yield letter_of(entry)
        last = page[-1].id


def find(streams: Streams, letter_ids: Sequence[str]) -> list[DeadLetter]:
    """Those of these ids. NotFound where one of them is not there."""
    wanted = dict.fromkeys(letter_ids)
    found = {letter.id: letter for letter in listing(streams) if letter.id in wanted}
    for letter_id in wanted:
        if letter_id not in found:
            raise NotFound(
                f"there is no dead letter {letter_id}",
                code="dead_letter_unknown",
                hint="`snapfleet dead-letters list` shows them",
            )
    return [found[letter_id] for letter_id in wanted]


def replay(catalog: Catalog, streams: Streams, letter: DeadLetter, *, now: datetime, by: Actor) -> None:
    """Ask again, as if it had been asked now. Refused for one that is not whole.

    If we die in the middle it may be asked twice, which is as once.
    """
    if not letter.is_whole:
        raise Refused(f"of dead letter {letter.id} only the beginning was kept", code="too_large")
    with catalog.transaction() as tx:
        if letter.source and letter.event_id:
            tx.inbox.forget_refused(Cause(source=letter.source, id=letter.event_id))
        auditing.did(tx, "dead_letter.replayed", by=by, details=facts(letter))
    streams.append(REQUESTS, [{BODY: letter.body, REPLAYED: now.isoformat().encode()}])
    streams.delete(DEAD, [letter.id])


def drop(catalog: Catalog, streams: Streams, letters: Sequence[DeadLetter], *, by: Actor) -> int:
    """How many of these were there. Written down first: what is dropped is not seen again."""
    with catalog.transaction() as tx:
        for letter in letters:
            auditing.did(tx, "dead_letter.dropped", by=by, details=facts(letter))
    return streams.delete(DEAD, [letter.id for letter in letters])


def facts(letter: DeadLetter) -> dict[str, str | None]:
    """Which one it is, without what stands in it."""
    return {
        "letter": letter.id,
        "code": letter.code,
        "source": letter.source,
        "event_id": letter.event_id,
        "type": letter.type,
        "subject": letter.database,
    }


def letter_of(entry: Entry) -> DeadLetter:
    text = {name: value.decode(errors="replace") for name, value in entry.fields.items() if name != BODY}
    return DeadLetter(
        id=entry.id,
        at=text.get("at", ""),
        code=text.get("code", ""),
        reason=text.get("reason", ""),
        hint=text.get("hint") or None,
        body=entry.fields.get(BODY, b""),
        is_whole="sha256" not in text,
        source=text.get("source"),
        event_id=text.get("id"),
        type=text.get("type"),
        database=text.get("subject"),
    )
