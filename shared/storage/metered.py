"""A storage that tells how long each call took, and how it ended. Keeps the contract of what it wraps."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from shared.domain.meters import Meters
from shared.errors import SnapfleetError
from shared.storage.base import Capabilities, Stat, Storage, Upload

T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """What was moved, once it is known."""

    put_bytes: int = 0
    got_bytes: int = 0


class MeteredStorage:
    def __init__(self, storage: Storage, *, place: str, meters: Meters) -> None:
        self._storage = storage
        self._place = place
        self._meters = meters

    @property
    def location(self) -> str:
        return self._storage.location

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        with self._timed("put") as call:
            self._storage.put(key, body, create_only=create_only)
            call.put_bytes = len(body)

    def get(self, key: str, *, start: int = 0, length: int | None = None, sha256: str | None = None) -> bytes:
        with self._timed("get") as call:
            body = self._storage.get(key, start=start, length=length, sha256=sha256)
            call.got_bytes = len(body)
        return body

    def head(self, key: str) -> Stat:
        with self._timed("head"):
            return self._storage.head(key)

    def list(self, prefix: str) -> Iterator[Stat]:
        """Timed up to its first answer: what the caller does in between is no time of the storage's."""
        yield from self._begun("list", self._storage.list(prefix))

    def folders(self, prefix: str) -> Iterator[str]:
        yield from self._begun("folders", self._storage.folders(prefix))

    def delete(self, key: str) -> None:
        with self._timed("delete"):
            self._storage.delete(key)

    def uploads(self, prefix: str) -> Iterator[Upload]:
        yield from self._begun("uploads", self._storage.uploads(prefix))

    def abort(self, upload: Upload) -> None:
        with self._timed("abort"):
            self._storage.abort(upload)

    def sides(self) -> tuple[Storage, ...]:
        return tuple(
            MeteredStorage(side, place=self._place, meters=self._meters) for side in self._storage.sides()
        )

    def check(self, *, probe_id: str | None = None) -> Capabilities:
        with self._timed("check"):
            return self._storage.check(probe_id=probe_id)

    def _begun(self, operation: str, answers: Iterator[T]) -> Iterator[T]:
        with self._timed(operation):
            first = next(answers, None)
        if first is not None:
            yield first
            yield from answers

    @contextmanager
    def _timed(self, operation: str) -> Generator[Call]:
        call, code, began = Call(), None, time.monotonic()
        try:
            yield call
        except SnapfleetError as exc:
            code = exc.code
            raise
        finally:
            self._meters.storage_called(
                self._place,
                operation,
                seconds=time.monotonic() - began,
                put_bytes=call.put_bytes,
                got_bytes=call.got_bytes,
                code=code,
            )
