"""Objects in this process's memory: the contract in its shortest form, and the double of the others."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from uuid import uuid4

from shared.errors import NotFound, Refused
from shared.storage import keys, verified
from shared.storage.base import Capabilities, Stat, Storage, Upload


class MemoryStorage:
    """Keeps the contract of `Storage`, durability aside."""

    location = "memory"

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._changing = threading.Lock()

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        keys.checked(key)
        with self._changing:
            if create_only and key in self._objects:
                raise Refused(f"{key} exists in memory", code="object_exists")
            self._objects[key] = bytes(body)

    def get(self, key: str, *, start: int = 0, length: int | None = None, sha256: str | None = None) -> bytes:
        verified.check_range(start, length, sha256)
        body = self._body(key)
        end = None if length is None else start + length
        return verified.matching(body[start:end], sha256, where=f"{key} in memory")

    def head(self, key: str) -> Stat:
        body = self._body(key)
        return Stat(key=key, size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest())

    def list(self, prefix: str) -> Iterator[Stat]:
        with self._changing:
            found = [(key, len(body)) for key, body in self._objects.items() if key.startswith(prefix)]
        for key, size_bytes in sorted(found):
            yield Stat(key=key, size_bytes=size_bytes, sha256=None)

    def folders(self, prefix: str) -> Iterator[str]:
        below = (stat.key.removeprefix(prefix).split("/") for stat in self.list(prefix))
        yield from sorted({first for first, *rest in below if rest})

    def delete(self, key: str) -> None:
        with self._changing:
            self._objects.pop(keys.checked(key), None)

    def uploads(self, prefix: str) -> Iterator[Upload]:  # noqa: ARG002 -- there are none, whatever the prefix
        yield from ()

    def abort(self, upload: Upload) -> None:
        """There are none."""

    def sides(self) -> tuple[Storage, ...]:
        return (self,)

    def check(self, *, probe_id: str | None = None) -> Capabilities:
        return verified.round_trip(self, probe_id or uuid4().hex)

    def _body(self, key: str) -> bytes:
        body = self._objects.get(keys.checked(key))
        if body is None:
            raise NotFound(f"{key} is not in memory", code="object_missing")
        return body
