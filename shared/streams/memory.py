"""Streams within one process, on a clock of the caller's: the twin of those in Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Condition

from shared.streams.base import Entry, Fields, Unread, number_of

BEGINNING = "0-0"


@dataclass(slots=True)
class _Held:
    reader: str
    since: float
    deliveries: int


@dataclass(slots=True)
class _Group:
    last: str = BEGINNING
    held: dict[str, _Held] = field(default_factory=dict)


@dataclass(slots=True)
class _Stream:
    last: tuple[int, int] = (0, 0)
    entries: dict[str, Fields] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)


class MemoryStreams:
    """Keeps the contract of Streams among the threads of one process. `clock` counts seconds, forwards."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = Condition()
        self._streams: dict[str, _Stream] = {}

    def append(self, stream: str, entries: Sequence[Fields]) -> list[str]:
        with self._changed:
            ids = [self._add(stream, fields) for fields in entries]
            self._changed.notify_all()
            return ids

    def take(self, stream: str, *, group: str, reader: str, count: int, wait: timedelta) -> list[Entry]:
        with self._changed:
            ours = self._group(stream, group)
            self._changed.wait_for(lambda: self._behind(stream, ours.last), wait.total_seconds())
            taken = self._behind(stream, ours.last)[:count]
            for entry in taken:
                ours.last = entry.id
                ours.held[entry.id] = _Held(reader, self._clock(), 1)
            return [Entry(id=entry.id, fields=entry.fields, deliveries=1) for entry in taken]

    def take_over(self, stream: str, *, group: str, reader: str, idle: timedelta) -> Entry | None:
        with self._changed:
            ours, entries = self._group(stream, group), self._of(stream).entries
            for entry_id in sorted(ours.held, key=number_of):
                held = ours.held[entry_id]
                if self._clock() - held.since < idle.total_seconds():
                    continue
                if entry_id not in entries:
                    del ours.held[entry_id]
                    continue
                ours.held[entry_id] = _Held(reader, self._clock(), held.deliveries + 1)
                return Entry(id=entry_id, fields=entries[entry_id], deliveries=held.deliveries + 1)
            return None

    def settle(
        self,
        stream: str,
        *,
        group: str,
        entry_id: str,
        moved_to: str | None = None,
        as_: Fields | None = None,
    ) -> None:
        with self._changed:
            if moved_to is not None:
                self._add(moved_to, as_ or {})
            self._group(stream, group).held.pop(entry_id, None)
            self._of(stream).entries.pop(entry_id, None)
            self._changed.notify_all()

    def leave(self, stream: str, *, group: str, reader: str) -> None:
        """Readers are not remembered beyond what they hold."""

    def after(self, stream: str, *, entry_id: str, count: int, wait: timedelta) -> list[Entry]:
        with self._changed:
            self._changed.wait_for(lambda: self._behind(stream, entry_id), wait.total_seconds())
            return self._behind(stream, entry_id)[:count]

    def before(self, stream: str, *, entry_id: str | None, count: int) -> list[Entry]:
        with self._changed:
            found = [
                Entry(id=each, fields=fields)
                for each, fields in self._of(stream).entries.items()
                if entry_id is None or number_of(each) < number_of(entry_id)
            ]
            return found[::-1][:count]

    def delete(self, stream: str, entry_ids: Sequence[str]) -> int:
        with self._changed:
            return self._drop(stream, entry_ids)

    def length(self, stream: str) -> int:
        with self._changed:
            return len(self._of(stream).entries)

    def unread(self, stream: str) -> list[Unread]:
        with self._changed:
            return [self._unread(stream, name) for name in self._of(stream).groups]

    def trim(self, stream: str, *, keep: int, at_most: int) -> int:
        with self._changed:
            needed = [self._unread(stream, name).oldest for name in self._of(stream).groups]
            first = min((number_of(each) for each in needed if each is not None), default=None)
            entries = self._of(stream).entries
            excess = [*entries][: max(0, min(len(entries) - keep, at_most))]
            return self._drop(stream, [each for each in excess if first is None or number_of(each) < first])

    def cap(self, stream: str, *, keep: int) -> int:
        with self._changed:
            entries = self._of(stream).entries
            return self._drop(stream, [*entries][: max(0, len(entries) - keep)])

    def _drop(self, stream: str, entry_ids: Sequence[str]) -> int:
        entries = self._of(stream).entries
        return sum(entries.pop(entry_id, None) is not None for entry_id in entry_ids)

    def _unread(self, stream: str, name: str) -> Unread:
        group = self._group(stream, name)
        ids = [*group.held, *(entry.id for entry in self._behind(stream, group.last)[:1])]
        return Unread(group=name, oldest=min(ids, key=number_of, default=None))

    def _of(self, stream: str) -> _Stream:
        return self._streams.setdefault(stream, _Stream())

    def _group(self, stream: str, group: str) -> _Group:
        return self._of(stream).groups.setdefault(group, _Group())

    def _behind(self, stream: str, entry_id: str) -> list[Entry]:
        last = number_of(entry_id)
        entries = self._of(stream).entries.items()
        return [Entry(id=each, fields=fields) for each, fields in entries if number_of(each) > last]

    def _add(self, stream: str, fields: Fields) -> str:
        of = self._of(stream)
        of.last = max((int(self._clock() * 1000), 0), (of.last[0], of.last[1] + 1))
        entry_id = f"{of.last[0]}-{of.last[1]}"
        of.entries[entry_id] = dict(fields)
        return entry_id
