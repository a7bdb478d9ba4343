"""Cut a stream of raw bytes into chunks and store each at most once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from threading import Thread

from shared import failpoints
from shared.domain.manifest import Chunk
from shared.operations.fleet import Fleet
from shared.storage.repository import Sealed

CHUNK_BYTES = 8 * 1024 * 1024
"""An eighth of what the format allows: raw bytes and two frames stand in memory together."""

ARCHIVE_HEAD_BYTES = 64 * 1024
"""pg_dump writes the time of day into the first bytes: cut apart, the rest of an unchanged archive
keeps its names and is not stored again."""


class ChunkWriter:
    """Takes bytes as they come; hands in chunks. Memory: one chunk and its frame.

    Every chunk is the same buffer: given back and asked for again, its pages would have to be made anew.
    """

    def __init__(self, store: Callable[[bytearray], Chunk], *, first_bytes: int = CHUNK_BYTES) -> None:
        self._store = store
        self._limit = first_bytes
        self._buffer = bytearray()
        self._filled = 0
        self._chunks: list[Chunk] = []
        self.taken_bytes = 0

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while len(view) >= (room := self._limit - self._filled):
            self._take(view[:room])
            view = view[room:]
            self._cut()
        self._take(view)
        self.taken_bytes += len(data)

    def close(self) -> tuple[Chunk, ...]:
        """Hand in what is left; all chunks, in order. An empty stream has none."""
        if self._filled:
            self._cut()
        return tuple(self._chunks)

    def _take(self, piece: memoryview) -> None:
        end = self._filled + len(piece)
        if end > len(self._buffer):
            del self._buffer[self._filled :]
            self._buffer += piece
        else:
            with memoryview(self._buffer) as buffer:
                buffer[self._filled : end] = piece
        self._filled = end

    def _cut(self) -> None:
        del self._buffer[self._filled :]
        self._chunks.append(self._store(self._buffer))
        self._filled = 0
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
        known, sealed = self._seal(raw, sha256=self._hash(raw))
        if sealed is not None:
            self._put(sealed)
        return known

    @contextmanager
    def ahead(self) -> Generator[Callable[[bytearray], Chunk]]:
        """The same in a thread, for whoever reads the next chunk meanwhile. Memory: a second frame.

        All are in storage once the context has ended well. What putting one raises is raised for the next other one,
        or then. Whoever leaves by an exception does not wait for what is in hand: storage may not answer for minutes,
        and a put that ends later is as good as one that a dead worker had begun.
        """
        in_hand: tuple[Chunk, Future[None]] | None = None

        def store(raw: bytearray) -> Chunk:
            nonlocal in_hand
            sha256 = self._hash(raw)
            if in_hand is not None and in_hand[0].contents_sha256 == sha256:
                return in_hand[0]  # the same again, which the catalog does not call stored yet
            known, sealed = self._seal(raw, sha256=sha256)
            if in_hand is not None:
                in_hand[1].result()
                in_hand = None
            if sealed is not None:
                in_hand = known, self._begin(sealed)
            return known

        yield store
        if in_hand is not None:
            in_hand[1].result()

    def _begin(self, sealed: Sealed) -> Future[None]:
        """Put it in a daemon thread: an executor's would be waited for when the process ends."""
        future: Future[None] = Future()

        def run() -> None:
            try:
                self._put(sealed)
            except BaseException as exc:  # noqa: BLE001 - raised again for whoever asks for the result
                future.set_exception(exc)
            else:
                future.set_result(None)

        # What is logged there belongs to the same job.
        Thread(target=copy_context().run, args=(run,), name="put", daemon=True).start()
        return future

    def _hash(self, raw: bytearray) -> str:
        self._check()
        return hashlib.sha256(raw).hexdigest()

    def _seal(self, raw: bytearray, *, sha256: str) -> tuple[Chunk, Sealed | None]:
        """What a manifest will say of it, and what is to be put, unless it is there."""
        repository = self._fleet.repository
        with self._fleet.catalog.transaction() as tx:
            known = tx.chunks.touch(self._database, repository.encryption.name_of(sha256))
        if known is not None:
            return repository.known(known, sha256=sha256), None
        sealed = repository.seal(raw, sha256=sha256, level=self._level)
        return sealed.chunk, sealed

    def _put(self, sealed: Sealed) -> None:
        with self._fleet.catalog.transaction() as tx:
            tx.chunks.intend(self._database, sealed.chunk)
        failpoints.reach("chunk.intended")
        self._check()
        self._fleet.repository.put_chunk(self._database, sealed)
        failpoints.reach("chunk.put")
        with self._fleet.catalog.transaction() as tx:
            tx.chunks.stored(self._database, sealed.chunk.sha256)
        self.new_bytes += sealed.chunk.stored_bytes
