"""Streams in Redis, by the commands of its streams and nothing else: any Redis or Valkey from 6.2 on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from shared.errors import Unreachable
from shared.streams.base import Entry, Fields, Unread, next_id, number_of

BEGINNING = "0-0"
# How long beyond what it was asked to wait the server may take to answer.
PATIENCE = timedelta(seconds=10)

T = TypeVar("T")


class RedisStreams:
    """Keeps the contract of Streams among all processes that use one Redis."""

    def __init__(self, *, client: Redis) -> None:
        self._client = client

    @classmethod
    def connect(cls, url: str, *, patience: timedelta = PATIENCE) -> RedisStreams:
        """The streams in the server of `url`, which is first asked when one of them is.

        Nothing is asked twice here: whoever gets Unreachable knows what a repetition would do.
        """
        seconds = patience.total_seconds()
        return cls(
            client=Redis.from_url(
                url,
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                health_check_interval=10,
                retry=Retry(NoBackoff(), 0),
                # Answers have the shape of the older protocol, which every server speaks.
                protocol=2,
            )
        )

    def append(self, stream: str, entries: Sequence[Fields]) -> list[str]:
        if not entries:
            return []
        # One alone needs no transaction, and whoever may only append has no right to one.
        with translated(), self._client.pipeline(transaction=len(entries) > 1) as pipe:
            for fields in entries:
                pipe.xadd(stream, _plain(fields))
            return [_text(entry_id) for entry_id in pipe.execute()]

    def take(self, stream: str, *, group: str, reader: str, count: int, wait: timedelta) -> list[Entry]:
        def read() -> list[Entry]:
            answer = self._client.xreadgroup(group, reader, {stream: ">"}, count=count, block=_wait(wait))
            return _entries_of(answer, deliveries=1)

        with translated():
            return self._in_group(stream, group, read)

    def take_over(self, stream: str, *, group: str, reader: str, idle: timedelta) -> Entry | None:
        milliseconds = int(idle / timedelta(milliseconds=1))

        def claim() -> Entry | None:
            begin = BEGINNING
            while True:
                # One at a time: the server counts what it hands out, and only what is looked at next
                # may count as tried once more.
                answer: Any = self._client.xautoclaim(
                    stream, group, reader, min_idle_time=milliseconds, start_id=begin, count=1
                )
                for entry_id, fields in answer[1]:
                    if fields is not None:
                        return self._counted(stream, group, _entry(entry_id, fields))
                begin = _text(answer[0])
                if begin == BEGINNING:
                    return None

        with translated():
            return self._in_group(stream, group, claim)

    def settle(
        self,
        stream: str,
        *,
        group: str,
        entry_id: str,
        moved_to: str | None = None,
        as_: Fields | None = None,
    ) -> None:
        with translated(), self._client.pipeline(transaction=True) as pipe:
            if moved_to is not None:
                pipe.xadd(moved_to, _plain(as_ or {}))
            pipe.xack(stream, group, entry_id)
            pipe.xdel(stream, entry_id)
            pipe.execute()

    def leave(self, stream: str, *, group: str, reader: str) -> None:
        with translated(), suppressed("NOGROUP", "no such key"):
            held = self._client.xpending_range(stream, group, "-", "+", 1, consumername=reader)
            if not held:
                self._client.xgroup_delconsumer(stream, group, reader)

    def after(self, stream: str, *, entry_id: str, count: int, wait: timedelta) -> list[Entry]:
        with translated():
            return _entries_of(self._client.xread({stream: entry_id}, count=count, block=_wait(wait)))

    def before(self, stream: str, *, entry_id: str | None, count: int) -> list[Entry]:
        upto = "+" if entry_id is None else f"({entry_id}"
        with translated():
            answer: Any = self._client.xrevrange(stream, max=upto, min="-", count=count)
            return [_entry(found, fields) for found, fields in answer]

    def delete(self, stream: str, entry_ids: Sequence[str]) -> int:
        if not entry_ids:
            return 0
        with translated():
            return _number(self._client.xdel(stream, *entry_ids))

    def length(self, stream: str) -> int:
        with translated():
            return _number(self._client.xlen(stream))

    def unread(self, stream: str) -> list[Unread]:
        with translated(), suppressed("no such key"):
            groups: Any = self._client.xinfo_groups(stream)
            return [self._unread(stream, group) for group in groups]
        return []

    def trim(self, stream: str, *, keep: int, at_most: int) -> int:
        excess = min(self.length(stream) - keep, at_most)
        if excess <= 0:
            return 0
        needed = [unread.oldest for unread in self.unread(stream) if unread.oldest is not None]
        with translated():
            answer: Any = self._client.xrange(stream, count=excess)
            ends = [next_id(_text(answer[-1][0])), *needed] if answer else needed
            if not ends:
                return 0
            return _number(self._client.xtrim(stream, minid=min(ends, key=number_of), approximate=False))

    def cap(self, stream: str, *, keep: int) -> int:
        with translated():
            return _number(self._client.xtrim(stream, maxlen=keep, approximate=True))

    def _unread(self, stream: str, group: Mapping[str, Any]) -> Unread:
        name = _text(group["name"])
        held: Any = self._client.xpending(stream, name)
        if held["pending"]:
            return Unread(group=name, oldest=_text(held["min"]))
        later: Any = self._client.xrange(stream, min=f"({_text(group['last-delivered-id'])}", count=1)
        return Unread(group=name, oldest=_text(later[0][0]) if later else None)

    def _counted(self, stream: str, group: str, entry: Entry) -> Entry:
        found: Any = self._client.xpending_range(stream, group, entry.id, entry.id, 1)
        times = found[0]["times_delivered"] if found else 1
        return Entry(id=entry.id, fields=entry.fields, deliveries=int(times))

    def _in_group(self, stream: str, group: str, read: Callable[[], T]) -> T:
        """Read; where there is no such group, make it at the oldest entry, and read then.

        At the newest, as is usual, it would miss what was sent before it was made: before the first
        start of all, or after Redis had lost its memory.
        """
        try:
            return read()
        except ResponseError as exc:
            if "NOGROUP" not in str(exc) and "no such key" not in str(exc):
                raise
        with suppressed("BUSYGROUP"):
            self._client.xgroup_create(stream, group, id=BEGINNING, mkstream=True)
        return read()


@contextmanager
def translated() -> Generator[None]:
    """Turn redis-py's errors into ours, the cause kept."""
    try:
        yield
    except RedisError as exc:
        raise Unreachable(
            f"Redis does not serve streams: {type(exc).__name__}",
            code="redis_unreachable",
            hint="check that it runs, that it has memory left, and what REDIS_URL says",
        ) from exc


@contextmanager
def suppressed(*answers: str) -> Generator[None]:
    """Go on where the server refuses with one of these words."""
    try:
        yield
    except ResponseError as exc:
        if not any(answer in str(exc) for answer in answers):
            raise


def _plain(fields: Fields) -> dict[Any, Any]:
    return dict(fields)


def _entries_of(answer: Any, *, deliveries: int = 0) -> list[Entry]:
    """Of the one stream that was asked about."""
    return [
        _entry(entry_id, fields, deliveries=deliveries)
        for _, found in answer or ()
        for entry_id, fields in found
    ]


def _entry(entry_id: Any, fields: Any, *, deliveries: int = 0) -> Entry:
    values = {_text(name): bytes(value) for name, value in (fields or {}).items()}
    return Entry(id=_text(entry_id), fields=values, deliveries=deliveries)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _wait(wait: timedelta) -> int | None:
    """In milliseconds, and None for not at all: the server takes 0 for ever."""
    return int(wait / timedelta(milliseconds=1)) or None


def _number(value: Any) -> int:
    return int(value)
