"""The contract of the streams that the event bus runs on.

    snapfleet:requests   in    publishers append, we read as one group, and take out what is done with
    snapfleet:events     out   we append, anybody reads, alone or as a group
    snapfleet:dead             requests that could not be granted, each with the reason

An entry is a handful of named byte strings. A group hands each entry to one of its readers and remembers
that it did, until the entry is settled: what a dead reader held, another can take over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

REQUESTS = "snapfleet:requests"
EVENTS = "snapfleet:events"
DEAD = "snapfleet:dead"
INGEST = "ingest"
"""The group that reads requests."""

BODY = "event"
"""The field that holds a CloudEvent as structured JSON, in and out."""

Fields = Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. Its id grows with each that is appended, as `<milliseconds>-<number>`."""

    id: str
    fields: Fields
    deliveries: int = 0
    """How often the group handed it out, this time included; 0 where no group did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """How far a group is behind: entries that it has not settled yet, the oldest first."""

    group: str
    oldest: str | None
    """None where it has read and settled everything."""


class Streams(Protocol):
    """Each method raises Unreachable if the server cannot be asked, or has no memory left.

    After Unreachable anything may have happened: whoever asks again must be able to bear it twice.
    """

    def append(self, stream: str, entries: Sequence[Fields]) -> list[str]:
        """Add these at the end, in order; their ids. All or none."""

    def take(self, stream: str, *, group: str, reader: str, count: int, wait: timedelta) -> list[Entry]:
        """Entries that the group handed to nobody yet, oldest first; waits so long for the first one.

        A group that does not exist, or no longer, is made, and begins with the oldest entry there is.
        """

    def take_over(self, stream: str, *, group: str, reader: str, idle: timedelta) -> Entry | None:
        """One entry that was handed out at least `idle` ago, and never settled; whoever had it."""

    def settle(
        self,
        stream: str,
        *,
        group: str,
        entry_id: str,
        moved_to: str | None = None,
        as_: Fields | None = None,
    ) -> None:
        """The entry is done with: neither the group nor the stream has it any more.

        With `moved_to` another stream gets `as_` in the same instant. Settling twice moves twice.
        """

    def leave(self, stream: str, *, group: str, reader: str) -> None:
        """Forget a reader that will not come back, unless it still holds something."""

    def after(self, stream: str, *, entry_id: str, count: int, wait: timedelta) -> list[Entry]:
        """Entries behind this one, oldest first, for a reader of no group; waits so long for the first."""

    def before(self, stream: str, *, entry_id: str | None, count: int) -> list[Entry]:
        """Entries before this one, or the last ones; newest first."""

    def delete(self, stream: str, entry_ids: Sequence[str]) -> int:
        """Take these out; how many were there."""

    def length(self, stream: str) -> int: ...

    def unread(self, stream: str) -> list[Unread]:
        """Every group of a stream, and how far behind it is."""

    def trim(self, stream: str, *, keep: int, at_most: int) -> int:
        """Drop entries beyond the newest `keep`, oldest first, as far as every group has settled them.

        How many went: `at_most` so many at a time.
        """

    def cap(self, stream: str, *, keep: int) -> int:
        """Drop entries beyond the newest `keep`, read or not; how many."""


def number_of(entry_id: str) -> tuple[int, int]:
    """What entries are ordered by."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def next_id(entry_id: str) -> str:
    milliseconds, number = number_of(entry_id)
    return f"{milliseconds}-{number + 1}"
