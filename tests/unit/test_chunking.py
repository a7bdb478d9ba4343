"""Streams cut into chunks: every byte once, in order, never more than a chunk in hand."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.manifest import Chunk
from shared.operations.snapshots import chunking
from shared.operations.snapshots.chunking import ChunkWriter


class Shelf:
    """Keeps what it is handed; the buffer is the writer's own, so it copies."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def store(self, raw: bytearray) -> Chunk:
        self.bodies.append(bytes(raw))
        digest = hashlib.sha256(raw).hexdigest()
        return Chunk(sha256=digest, raw_bytes=len(raw), stored_bytes=0, stored_sha256="")


@given(pieces=st.lists(st.binary(max_size=400)), first=st.integers(min_value=1, max_value=300))
def test_chunks_joined_are_the_stream(pieces: list[bytes], first: int) -> None:
    shelf = Shelf()
    writer = ChunkWriter(shelf.store, first_bytes=first)
    for piece in pieces:
        writer.write(piece)
    chunks = writer.close()

    assert b"".join(shelf.bodies) == b"".join(pieces)
    assert writer.taken_bytes == sum(map(len, pieces))
    assert [chunk.raw_bytes for chunk in chunks] == [len(body) for body in shelf.bodies]
    assert all(shelf.bodies)
    assert not shelf.bodies or len(shelf.bodies[0]) == min(first, writer.taken_bytes)


def test_where_a_stream_is_cut_does_not_depend_on_how_it_came() -> None:
    data = b"x" * (2 * chunking.CHUNK_BYTES + 5)
    whole, pieces = Shelf(), Shelf()
    at_once = ChunkWriter(whole.store)
    at_once.write(data)
    in_pieces = ChunkWriter(pieces.store)
    for start in range(0, len(data), 1_000_003):
        in_pieces.write(data[start : start + 1_000_003])

    assert at_once.close() == in_pieces.close()
    assert [len(body) for body in whole.bodies] == [chunking.CHUNK_BYTES, chunking.CHUNK_BYTES, 5]


def test_an_empty_stream_has_no_chunks() -> None:
    shelf = Shelf()
    writer = ChunkWriter(shelf.store)
    writer.write(b"")
    assert writer.close() == ()
    assert shelf.bodies == []
