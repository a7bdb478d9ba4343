"""A storage that remembers of chunks what can be asked about them without reading them: thousands fit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from shared.errors import NotFound
from shared.storage.base import Stat
from shared.storage.memory import MemoryStorage

CHUNKS = "/chunks/"


class ForgetfulStorage(MemoryStorage):
    """Manifests are kept whole, of chunks only size and digest."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: dict[str, Stat] = {}

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        if CHUNKS not in key:
            super().put(key, body, create_only=create_only)
            return
        self._chunks[key] = Stat(key=key, size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest())

    def head(self, key: str) -> Stat:
        if CHUNKS not in key:
            return super().head(key)
        if key not in self._chunks:
            raise NotFound(f"{key} is not in memory", code="object_missing")
        return self._chunks[key]

    def list(self, prefix: str) -> Iterator[Stat]:
        chunks = (replace(stat, sha256=None) for key, stat in self._chunks.items() if key.startswith(prefix))
        yield from sorted((*super().list(prefix), *chunks), key=lambda stat: stat.key)
