"""The repository's layout on any storage: manifests and chunks of each database.

    <database>/snapshots/<id>/manifest.json                    last, create-only
    <database>/snapshots/<id>/standing.json                    beside it, and not needed to restore it
    <database>/chunks/<2 hex>/<sha256 of the raw bytes>        one zstd frame with its content checksum

`docs/repository-format.md` describes it to the byte.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

from shared.domain import database as names
from shared.domain import manifest, standing
from shared.domain.manifest import DAMAGED_HINT, MAX_CHUNK_BYTES, Chunk, Manifest
from shared.domain.standing import Standing
from shared.domain.wording import counted
from shared.errors import Damaged, NotFound, Refused
from shared.storage.base import Storage

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A chunk ready to be stored: its description and the frame."""

    chunk: Chunk
    frame: bytes


def manifest_key(database: str, snapshot_id: str) -> str:
    return f"{database}/snapshots/{snapshot_id}/manifest.json"


def standing_key(database: str, snapshot_id: str) -> str:
    return f"{database}/snapshots/{snapshot_id}/standing.json"


def chunk_key(database: str, sha256: str) -> str:
    return f"{database}/chunks/{sha256[:2]}/{sha256}"


def compress(raw: bytes | bytearray, *, sha256: str, level: int) -> Sealed:
    """One chunk's frame. `sha256` is of the raw bytes, computed by the caller who asked for it first."""
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: level,
        # Without it, most flipped bits decode to other bytes without a word.
        zstd.CompressionParameter.checksum_flag: 1,
    }
    frame = zstd.compress(raw, options=options)
    stored_sha256 = hashlib.sha256(frame).hexdigest()
    chunk = Chunk(sha256=sha256, raw_bytes=len(raw), stored_bytes=len(frame), stored_sha256=stored_sha256)
    return Sealed(chunk=chunk, frame=frame)


class Repository:
    """Chunks and manifests over one storage. Raises what the storage raises, and Damaged."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def put_chunk(self, database: str, sealed: Sealed) -> None:
        self.storage.put(chunk_key(database, sealed.chunk.sha256), sealed.frame)

    def read_chunk(self, database: str, chunk: Chunk) -> Iterator[bytes]:
        """A chunk's raw bytes in pieces of at most 1 MiB, exactly those that were recorded.

        They are checked before the last `next` returns: only the end of the iterator says that they were
        right. Raises Damaged. Memory: one frame.
        """
        yield from raw_bytes(self._frame(database, chunk), chunk)

    def get_chunk(self, database: str, chunk: Chunk) -> Sealed:
        """A chunk as it is stored now, its raw bytes checked. Raises Damaged."""
        frame = self._frame(database, chunk)
        for _ in raw_bytes(frame, chunk):
            pass
        stored = Chunk(
            sha256=chunk.sha256,
            raw_bytes=chunk.raw_bytes,
            stored_bytes=len(frame),
            stored_sha256=hashlib.sha256(frame).hexdigest(),
        )
        return Sealed(chunk=stored, frame=frame)

    def _frame(self, database: str, chunk: Chunk) -> bytes:
        if chunk.raw_bytes > MAX_CHUNK_BYTES:
            raise damaged(chunk)
        key = chunk_key(database, chunk.sha256)
        with found_whole("chunk_damaged"):
            try:
                return self.storage.get(key, sha256=chunk.stored_sha256)
            except Damaged:
                # Lost once and stored again, the same bytes may be in another frame: the raw hash decides.
                return self.storage.get(key)

    def look_for(self, database: str, chunks: Iterable[Chunk]) -> tuple[list[Chunk], list[Chunk]]:
        """Which of these chunks are there as storage lists them, and which are not, or not whole.

        By name and size; one of another size than recorded is read. Memory: names of one in 256 chunks.
        """
        found, lost = list[Chunk](), list[Chunk]()
        for two, group in groupby(sorted(chunks, key=lambda c: c.sha256), key=lambda c: c.sha256[:2]):
            listed = self.storage.list(f"{database}/chunks/{two}/")
            sizes = {stat.key.rpartition("/")[2]: stat.size_bytes for stat in listed}
            for chunk in group:
                if sizes.get(chunk.sha256) == chunk.stored_bytes:
                    found.append(chunk)
                    continue
                try:
                    found.append(self.get_chunk(database, chunk).chunk)
                except Damaged:
                    lost.append(chunk)
        return found, lost

    def check_chunk(self, database: str, chunk: Chunk) -> str | None:
        """What is wrong with a stored chunk, by what storage says of it; None when it is as recorded.

        Where that is something else, it is read: the same bytes in another frame are right too.
        """
        try:
            stat = self.storage.head(chunk_key(database, chunk.sha256))
        except NotFound:
            return "missing"
        except Damaged:
            return "damaged"
        if (stat.size_bytes, stat.sha256) == (chunk.stored_bytes, chunk.stored_sha256):
            return None
        try:
            self.get_chunk(database, chunk)
        except Damaged:
            if stat.size_bytes != chunk.stored_bytes:
                return f"has {counted(stat.size_bytes, 'byte')} instead of {chunk.stored_bytes:,}"
            return "has another hash"
        return None

    def delete_chunk(self, database: str, sha256: str) -> None:
        self.storage.delete(chunk_key(database, sha256))

    def put_manifest(self, sealed: Manifest) -> str:
        """Write a manifest, once; its SHA-256. Writing the same one again is fine, another is Refused."""
        body = manifest.encode(sealed)
        self.put_manifest_body(sealed.database, sealed.id, body)
        return hashlib.sha256(body).hexdigest()

    def put_manifest_body(self, database: str, snapshot_id: str, body: bytes) -> None:
        """The same for one that is encoded already."""
        key = manifest_key(database, snapshot_id)
        try:
            self.storage.put(key, body, create_only=True)
        except Refused as exc:
            if exc.code != "object_exists" or self.storage.get(key) != body:
                raise

    def get_manifest(self, database: str, snapshot_id: str, *, sha256: str | None) -> Manifest:
        """Read a manifest; Damaged unless it hashes to `sha256` (where that is known) and is this one's."""
        with found_whole("manifest_damaged"):
            body = self.storage.get(manifest_key(database, snapshot_id), sha256=sha256)
        return decoded(body, database, snapshot_id, sha256=sha256)

    def read_manifest(self, database: str, snapshot_id: str) -> tuple[Manifest, bytes]:
        """The same with its bytes, whatever they hash to; NotFound where there is none."""
        body = self.storage.get(manifest_key(database, snapshot_id))
        return decoded(body, database, snapshot_id, sha256=None), body

    def put_standing(self, database: str, snapshot_id: str, known: Standing) -> None:
        self.storage.put(standing_key(database, snapshot_id), standing.encode(known))

    def get_standing(self, database: str, snapshot_id: str) -> Standing | None:
        """None where there is none; Damaged where it cannot be read."""
        try:
            return standing.decode(self.storage.get(standing_key(database, snapshot_id)))
        except NotFound as exc:
            if exc.code == "bucket_missing":
                raise
            return None

    def delete_standing(self, database: str, snapshot_id: str) -> None:
        self.storage.delete(standing_key(database, snapshot_id))

    def manifests(self, database: str) -> list[str]:
        """Snapshots whose manifest is here, whatever anybody knows of them."""
        listed = (
            stat.key.split("/")[2]
            for stat in self.storage.list(f"{database}/snapshots/")
            if stat.key.endswith("/manifest.json")
        )
        return sorted(listed)

    def widowed(self, database: str) -> list[str]:
        """Snapshots whose standing is here and whose manifest is not."""
        listed = {stat.key for stat in self.storage.list(f"{database}/snapshots/")}
        ids = {key.split("/")[2] for key in listed}
        return sorted(
            id_
            for id_ in ids
            if standing_key(database, id_) in listed and manifest_key(database, id_) not in listed
        )

    def databases(self) -> Iterator[str]:
        """The names of those with something here, sorted; what cannot be a name is passed over."""
        return filter(names.is_name, self.storage.folders(""))

    def snapshots(self, database: str) -> Iterator[str]:
        """The ids of a database's snapshots, sorted; one may have lost its manifest, and be none any more."""
        return self.storage.folders(f"{database}/snapshots/")

    def first_snapshot(self, database: str) -> str | None:
        """The id of the oldest snapshot with a manifest here, whatever anybody knows of it."""
        for stat in self.storage.list(f"{database}/snapshots/"):
            *_, snapshot_id, name = stat.key.split("/")
            if name == "manifest.json":
                return snapshot_id
        return None

    def delete_manifest(self, database: str, snapshot_id: str) -> None:
        """From here on there is no such snapshot; then what it was worth goes too."""
        self.storage.delete(manifest_key(database, snapshot_id))
        self.delete_standing(database, snapshot_id)


def decoded(body: bytes, database: str, snapshot_id: str, *, sha256: str | None) -> Manifest:
    found = manifest.decode(body, sha256=sha256)
    if (found.database, found.id) != (database, snapshot_id):
        raise Damaged(
            f"{manifest_key(database, snapshot_id)} holds the manifest of {found.database}/{found.id}",
            code="manifest_damaged",
            hint=DAMAGED_HINT,
        )
    return found


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
    if not whole or size != chunk.raw_bytes or digest.hexdigest() != chunk.sha256:
        raise damaged(chunk)


@contextmanager
def found_whole(code: str) -> Generator[None]:
    """An object that was recorded and is gone is as bad as a changed one: say so, and what to do."""
    try:
        yield
    except (NotFound, Damaged) as exc:
        if exc.code == "bucket_missing":
            raise
        raise Damaged(exc.message, code=code, hint=DAMAGED_HINT) from exc


def damaged(chunk: Chunk) -> Damaged:
    return Damaged(f"chunk {chunk.sha256} is not what was stored", code="chunk_damaged", hint=DAMAGED_HINT)
