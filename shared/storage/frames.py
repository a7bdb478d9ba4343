"""Raw bytes as one zstd frame and back, nothing of it believed until all of it is seen."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator

from shared.domain.manifest import DAMAGED_HINT, Chunk
from shared.errors import Damaged

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b"\x28\xb5\x2f\xfd"
PIECE_BYTES = 1024 * 1024


def frame_of(raw: bytes | bytearray, *, level: int) -> bytes:
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: level,
        # Without it, most flipped bits decode to other bytes without a word.
        zstd.CompressionParameter.checksum_flag: 1,
    }
    return zstd.compress(raw, options=options)


def is_frame(body: bytes) -> bool:
    """Whether it begins as one, which no JSON does."""
    return body.startswith(MAGIC)


def raw_of(frame: bytes, *, at_most: int) -> bytes:
    """What is in a frame. ValueError where it is none, not whole, or holds more than `at_most` bytes."""
    decompressor = zstd.ZstdDecompressor()
    try:
        raw = decompressor.decompress(frame, max_length=at_most)
    except zstd.ZstdError as exc:
        raise ValueError("it is no zstd frame") from exc
    if not decompressor.eof or decompressor.unused_data:
        raise ValueError("it is no single whole frame of the size that it may have")
    return raw


def raw_bytes(frame: bytes, chunk: Chunk) -> Iterator[bytes]:
    """What is in a frame, piece by piece; Damaged, at the latest in the end, unless it is this chunk."""
    decompressor = zstd.ZstdDecompressor()
    digest, size = hashlib.sha256(), 0
    while not decompressor.eof and size <= chunk.raw_bytes:
        try:
            piece = decompressor.decompress(frame, max_length=PIECE_BYTES)
        except zstd.ZstdError as exc:
            raise damaged(chunk) from exc
        if not piece and decompressor.needs_input:
            break
        frame = b""  # the decompressor holds the rest
        digest.update(piece)
        size += len(piece)
        yield piece
    whole = decompressor.eof and not decompressor.unused_data
    if not whole or size != chunk.raw_bytes or digest.hexdigest() != chunk.contents_sha256:
        raise damaged(chunk)


def damaged(chunk: Chunk) -> Damaged:
    return Damaged(f"chunk {chunk.sha256} is not what was stored", code="chunk_damaged", hint=DAMAGED_HINT)
