"""The audit: who did what, to what, from where, and how it ended. Entries are chained, each to the one before.

    hash = SHA-256 of the entry's canonical bytes, in which stands the hash of the entry before

So whoever changes, removes, inserts or moves an entry must write every later one anew, and then the last hash
is another one than it was: whoever has kept that, elsewhere, sees it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from shared.domain.access import Actor

NOTHING_BEFORE = "0" * 64
"""What the first entry has as the hash before it."""

MOST_CHARACTERS = 300
"""Of a name or an origin, which come from outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something done, before it has its place in the chain. `details` is plain JSON and holds no secret."""

    by: Actor
    action: str
    outcome: str = "done"
    database: str | None = None
    job_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    seq: int
    at: datetime
    actor: str
    origin: str
    action: str
    outcome: str
    database: str | None
    job_id: str | None
    details: Mapping[str, Any]
    previous: str
    hash: str

    @property
    def head(self) -> Head:
        return Head(seq=self.seq, hash=self.hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The place that a chain has come to. Kept elsewhere, it proves all that came before it."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


EMPTY = Head(seq=0, hash=NOTHING_BEFORE)


class Fault(StrEnum):
    CHANGED = "changed"
    """What it says is not what its hash was made of."""
    MISSING = "missing"
    """Entries before it are gone."""
    BROKEN = "broken"
    """The entry before it is not the one that it was written after: one was removed, inserted or moved."""
    TRUNCATED = "truncated"
    """The chain ends before a place that it had come to."""
    REWRITTEN = "rewritten"
    """At a place that it had come to, it says something else than it did."""
    UNRECORDED = "unrecorded"
    """Something happened of which there is no entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    fault: Fault
    seq: int | None
    what: str


def chained(act: Act, *, after: Head, at: datetime) -> Entry:
    """The entry that comes next."""
    values: dict[str, Any] = {
        "seq": after.seq + 1,
        "at": at.astimezone(UTC),
        "actor": word(act.by.name),
        "origin": word(act.by.origin),
        "action": act.action,
        "outcome": act.outcome,
        "database": act.database,
        "job_id": act.job_id,
        "details": json.loads(json.dumps(dict(act.details))),
        "previous": after.hash,
    }
    entry = Entry(**values, hash="")
    return Entry(**values, hash=digest(entry))


def word(text: str) -> str:
    """A name as it can be stored and shown: printable, and no longer than it must be."""
    clean = "".join(char if char.isprintable() else "?" for char in text[:MOST_CHARACTERS])
    return clean.encode("utf-8", "replace").decode()


def canonical(entry: Entry) -> bytes:
    """What is hashed: one JSON object of the ten members, in ASCII, its keys sorted, without a space."""
    return json.dumps(members(entry), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode(
        "ascii"
    )


def members(entry: Entry) -> dict[str, Any]:
    """All that an entry says, as JSON has it."""
    return {
        "seq": entry.seq,
        "at": entry.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "actor": entry.actor,
        "origin": entry.origin,
        "action": entry.action,
        "outcome": entry.outcome,
        "database": entry.database,
        "job_id": entry.job_id,
        "details": dict(entry.details),
        "previous": entry.previous,
    }


def digest(entry: Entry) -> str:
    return hashlib.sha256(canonical(entry)).hexdigest()


def parse_head(text: str) -> Head | None:
    """`SEQ:HASH` as a head is shown; None for what is none."""
    seq, _, hash_ = text.strip().partition(":")
    if not (seq.isascii() and seq.isdigit() and len(hash_) == len(NOTHING_BEFORE)):
        return None
    return Head(seq=int(seq), hash=hash_.lower())


class Examination:
    """Reads a chain from its first entry to its last. `head` is where it has come to.

    `kept` are heads that somebody kept elsewhere: the chain must have come through each.
    """

    def __init__(self, kept: Iterable[Head] = ()) -> None:
        self.head = EMPTY
        self.count = 0
        self._kept = {head.seq: head for head in kept}

    def read(self, entries: Iterable[Entry]) -> Iterator[Finding]:
        """What is wrong with these, which come next in the order of their numbers."""
        for entry in entries:
            yield from self._compare(entry)
            self.head, self.count = entry.head, self.count + 1

    def _compare(self, entry: Entry) -> Iterator[Finding]:
        if entry.seq != self.head.seq + 1:
            first, last = self.head.seq + 1, entry.seq - 1
            which = f"entry {first} is" if first == last else f"entries {first} to {last} are"
            yield Finding(fault=Fault.MISSING, seq=first, what=f"{which} missing")
        elif entry.previous != self.head.hash:
            yield Finding(
                fault=Fault.BROKEN,
                seq=entry.seq,
                what=f"entry {entry.seq} was not written after the entry that stands before it",
            )
        if digest(entry) != entry.hash:
            yield Finding(
                fault=Fault.CHANGED, seq=entry.seq, what=f"entry {entry.seq} was changed after it was written"
            )
        kept = self._kept.pop(entry.seq, None)
        if kept is not None and kept.hash != entry.hash:
            yield Finding(
                fault=Fault.REWRITTEN,
                seq=entry.seq,
                what=f"entry {entry.seq} is not the one whose hash was kept",
            )

    def end(self) -> Iterator[Finding]:
        """What is wrong with where it ends: a head that was kept and never reached."""
        for head in sorted(self._kept.values(), key=lambda head: head.seq):
            if head.seq > self.head.seq:
                yield Finding(
                    fault=Fault.TRUNCATED,
                    seq=self.head.seq + 1,
                    what=f"the audit ends with entry {self.head.seq}, and had come to entry {head.seq}",
                )
