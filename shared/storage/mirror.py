"""Every object in two places: reads prefer the first (a folder, near), writes end in both.

put          second, then first. A crash in between leaves an object that is readable everywhere
             and survives this machine, and `head` says that the first lacks it: put it again.
create_only  the second is the referee, since all hosts share the bucket and not always the
             folder. Whoever finds the key taken on one side first copies it to the other, so the
             repetition of a put that was cut off mends what it left.
get          the first; where it fails, the second, with an event in the log.
head         of what both hold alike. What one lacks or holds otherwise is not stored yet.
list         the union, for whoever looks for what there is; `sides` for whoever must know that both have it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import groupby

import structlog

from shared.errors import Damaged, NotFound, Refused, SnapfleetError
from shared.storage.base import Capabilities, Stat, Storage, Upload

FELL_BACK = "storage_fell_back"

log = structlog.get_logger()


class MirrorStorage:
    """Keeps the contract of `Storage`. To put an object again mends whichever side lost or damaged it."""

    def __init__(self, *, first: Storage, second: Storage) -> None:
        self._first = first
        self._second = second

    @property
    def location(self) -> str:
        return f"{self._first.location} + {self._second.location}"

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        if create_only:
            self._put_new(key, body)
        else:
            self._second.put(key, body)
        self._first.put(key, body)

    def get(self, key: str, *, start: int = 0, length: int | None = None, sha256: str | None = None) -> bytes:
        try:
            return self._first.get(key, start=start, length=length, sha256=sha256)
        except SnapfleetError as exc:
            failure = exc
        try:
            body = self._second.get(key, start=start, length=length, sha256=sha256)
        except NotFound:
            if isinstance(failure, NotFound):
                raise
            raise failure from failure.__cause__  # the first has it, if damaged or out of reach: say that
        log.warning(FELL_BACK, key=key, location=self._first.location, code=failure.code)
        return body

    def head(self, key: str) -> Stat:
        """NotFound or Damaged(object_damaged), naming the side, unless both hold the same bytes."""
        first, second = self._first.head(key), self._second.head(key)
        if first != second:
            raise Damaged(
                f"{key} differs: {first.size_bytes} bytes with SHA-256 {first.sha256} in {self._first.location}, "
                f"{second.size_bytes} with {second.sha256} in {self._second.location}",
                code="object_damaged",
                hint="store it again; reads use the side that matches the manifest",
            )
        return first

    def list(self, prefix: str) -> Iterator[Stat]:
        """What either side has, with the first's size and time where both have it."""
        both = heapq.merge(self._first.list(prefix), self._second.list(prefix), key=_key)
        for _, alike in groupby(both, key=_key):
            yield next(alike)

    def folders(self, prefix: str) -> Iterator[str]:
        both = heapq.merge(self._first.folders(prefix), self._second.folders(prefix))
        yield from (name for name, _ in groupby(both))

    def delete(self, key: str) -> None:
        self._first.delete(key)
        self._second.delete(key)

    def uploads(self, prefix: str) -> Iterator[Upload]:
        """The second's: a folder has none."""
        yield from self._second.uploads(prefix)

    def abort(self, upload: Upload) -> None:
        self._second.abort(upload)

    def sides(self) -> tuple[Storage, ...]:
        return (*self._first.sides(), *self._second.sides())

    def check(self, *, probe_id: str | None = None) -> Capabilities:
        """Checks both. `create_only` holds as far as the second honours it."""
        self._first.check(probe_id=probe_id)
        return self._second.check(probe_id=probe_id)

    def _put_new(self, key: str, body: bytes | bytearray) -> None:
        first = _found(self._first, key)
        if first is None:
            try:
                self._second.put(key, body, create_only=True)
            except Refused as exc:
                if exc.code == "object_exists":
                    self._first.put(key, self._second.get(key))
                raise
            return
        if _found(self._second, key) is None:
            self._second.put(key, self._first.get(key, sha256=first.sha256))
        raise Refused(f"{key} exists in {self._first.location}", code="object_exists")


def _found(storage: Storage, key: str) -> Stat | None:
    try:
        return storage.head(key)
    except NotFound:
        return None


def _key(stat: Stat) -> str:
    return stat.key
