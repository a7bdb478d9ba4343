"""What people are told of by themselves: which events, and in which words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC

from shared.domain import envelope
from shared.domain.events import ANNOUNCED, Told

NOTABLE = frozenset(name for name in ANNOUNCED if not name.endswith((".progress", ".accepted", ".started")))
"""What a hook may be told of: what has come of something, not that it goes on."""

DEFAULT = (
    "snapshot.failed",
    "snapshot.suspect",
    "verify.failed",
    "verify.refuted",
    "restore.succeeded",
    "restore.rolled_back",
    "restore.failed",
    "undo.rolled_back",
    "reset.rolled_back",
    "check.finding",
    "schedule.missed",
    "database.blocked",
)

GOOD_ENDS = (".succeeded", ".cleared", ".unblocked", ".unneeded")
SHOWN = ("snapshot_id", "to", "why", "worst", "count", "first", "last", "seconds")
MOST_LINES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Somebody who wants to be told. The URL says where and with which secret: it is never shown."""

    name: str
    url: str = field(repr=False)
    events: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    title: str
    body: str
    is_bad: bool


def of(told: Told) -> Notice:
    """An event in words for a person: what, of which database, why, and where to read on."""
    kind, _, what = told.type.partition(".")
    subject = told.database or "the event bus"
    return Notice(
        title=f"snapfleet: {kind} {what.replace('_', ' ')}: {subject}",
        body="\n".join(lines(told)),
        is_bad=not told.type.endswith(GOOD_ENDS),
    )


def lines(told: Told) -> Iterator[str]:
    facts = envelope.facts(told)
    error = facts.get("error")
    if error:
        yield f"{error['message']} ({error['code']})"
        if error.get("hint"):
            yield f"hint: {error['hint']}"
    for name in ("suspicions", "differences"):
        found = facts.get(name, [])
        yield from found[:MOST_LINES]
        if len(found) > MOST_LINES:
            yield f"and {len(found) - MOST_LINES} more"
    for name in SHOWN:
        if name in facts:
            yield f"{name.replace('_', ' ')}: {facts[name]}"
    yield f"at {told.time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, event {told.id}"
    if told.job_id is not None:
        yield f"more: snapfleet job show {told.job_id}"
