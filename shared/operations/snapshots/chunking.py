"""Cut a stream of raw bytes into chunks and store each at most once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from shared import failpoints
from shared.domain.manifest import Chunk
from shared.operations.fleet import Fleet

CHUNK_BYTES = 16 * 1024 * 1024
"""A quarter of what the format allows: raw bytes and their frame stand in memory together."""

ARCHIVE_HEAD_BYTES = 64 * 1024
"""pg_dump writes the time of day into the first bytes: cut apart, the rest of an unchanged archive
keeps its names and is not stored again."""


class ChunkWriter:
    """Takes bytes as they come; hands in chunks. Memory: one chunk and its frame."""

    def __init__(self, store: Callable[[bytearray], Chunk], *, first_bytes: int = CHUNK_BYTES) -> None:
        self._store = store
        self._limit = first_bytes
        self._buffer = bytearray()
        self._chunks: list[Chunk] = []
        self.taken_bytes = 0

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while len(view) >= (room := self._limit - len(self._buffer)):
            self._buffer += view[:room]
            view = view[room:]
            self._cut()
        self._buffer += view
        self.taken_bytes += len(data)

    def close(self) -> tuple[Chunk, ...]:
        """Hand in what is left; all chunks, in order. An empty stream has none."""
        if self._buffer:
            self._cut()
        return tuple(self._chunks)

    def _cut(self) -> None:
        self._chunks.append(self._store(self._buffer))
        self._buffer.clear()
        self._limit = CHUNK_BYTES


class ChunkStore:
    """Stores the chunks of one database, unless they are there already."""

    def __init__(self, fleet: Fleet, *, database: str, level: int, check: Callable[[], None]) -> None:
        self._fleet = fleet
        self._database = database
        self._level = level
        self._check = check
        self.new_bytes = 0
        """Bytes that really went to storage."""

    def store(self, raw: bytearray) -> Chunk:
        """Make sure the chunk is in storage; touched, so that retention leaves it for a day."""
        self._check()
        sha256, repository = hashlib.sha256(raw).hexdigest(), self._fleet.repository
        with self._fleet.catalog.transaction() as tx:
            known = tx.chunks.touch(self._database, repository.encryption.name_of(sha256))
        if known is not None:
            return repository.known(known, sha256=sha256)
        sealed = repository.seal(raw, sha256=sha256, level=self._level)
        with self._fleet.catalog.transaction() as tx:
            tx.chunks.intend(self._database, sealed.chunk)
        failpoints.reach("chunk.intended")
        self._check()
        repository.put_chunk(self._database, sealed)
        failpoints.reach("chunk.put")
        with self._fleet.catalog.transaction() as tx:
            tx.chunks.stored(self._database, sealed.chunk.sha256)
        self.new_bytes += sealed.chunk.stored_bytes
        return sealed.chunk
