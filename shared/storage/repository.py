"""The repository's layout on any storage: manifests and chunks of each database.

    <database>/snapshots/<id>/manifest.json                    last, create-only; one zstd frame
    <database>/snapshots/<id>/standing.json                    beside it, and not needed to restore it
    <database>/chunks/<2 hex>/<sha256 of the raw bytes>        one zstd frame with its content checksum
    <database>/chain.json                                      where snapshots are signed: the list of them

Where encryption is on, a chunk is an age file of its frame under a keyed name, and both JSON hide what they say.

`docs/repository-format.md` describes it to the byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby

from shared.domain import cover, manifest, standing
from shared.domain import database as names
from shared.domain.chain import Chain
from shared.domain.cover import Link
from shared.domain.manifest import DAMAGED_HINT, MAX_CHUNK_BYTES, Chunk, Manifest
from shared.domain.standing import Standing
from shared.domain.wording import counted
from shared.errors import Damaged, NotFound, Refused
from shared.storage import covers, vouching
from shared.storage.base import Storage
from shared.storage.encryption import PLAIN, Encryption, is_encrypted
from shared.storage.frames import damaged, frame_of, raw_bytes
from shared.storage.signing import UNSIGNED, Signing, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A chunk ready to be stored: its description, and the frame, encrypted or not."""

    chunk: Chunk
    frame: bytes


def manifest_key(database: str, snapshot_id: str) -> str:
    return f"{database}/snapshots/{snapshot_id}/manifest.json"


def standing_key(database: str, snapshot_id: str) -> str:
    return f"{database}/snapshots/{snapshot_id}/standing.json"


def chunk_key(database: str, sha256: str) -> str:
    return f"{database}/chunks/{sha256[:2]}/{sha256}"


def compress(raw: bytes | bytearray, *, sha256: str, level: int, encryption: Encryption = PLAIN) -> Sealed:
    """One chunk. `sha256` is of the raw bytes, computed by the caller who asked for it first."""
    frame = frame_of(raw, level=level)
    if encryption.is_on:
        frame = encryption.encrypt(frame)
    chunk = Chunk(
        sha256=encryption.name_of(sha256),
        raw_bytes=len(raw),
        stored_bytes=len(frame),
        stored_sha256=hashlib.sha256(frame).hexdigest(),
        raw_sha256=sha256 if encryption.is_on else None,
    )
    return Sealed(chunk=chunk, frame=frame)


class Repository:
    """Chunks and manifests over one storage. Raises what the storage raises, and Damaged.

    A manifest that cannot be opened here raises Refused(identity_missing), one that is not signed as it should be
    Damaged(signature_wrong) or Refused(signature_missing). A chunk is asked for by who has read its manifest.
    """

    def __init__(
        self, storage: Storage, *, encryption: Encryption = PLAIN, signing: Signing = UNSIGNED
    ) -> None:
        self.storage = storage
        self.encryption = encryption
        self.signing = signing

    @property
    def marks(self) -> str:
        """Of the keys that it writes with; empty without any."""
        keys = [*self.encryption.keys, self.signing.key or ""]
        return ":" + ",".join(keys) if any(keys) else ""

    def elsewhere(self, storage: Storage) -> Repository:
        """Another place, read with the same keys."""
        return Repository(storage, encryption=self.encryption, signing=self.signing)

    def seal(self, raw: bytes | bytearray, *, sha256: str, level: int) -> Sealed:
        """A chunk as it would be stored here. `sha256` is of its raw bytes."""
        return compress(raw, sha256=sha256, level=level, encryption=self.encryption)

    def known(self, stored: Chunk, *, sha256: str) -> Chunk:
        """A chunk that is stored already, as a manifest tells of it. `sha256` is of its raw bytes."""
        return replace(stored, raw_sha256=sha256) if self.encryption.is_on else stored

    def put_chunk(self, database: str, sealed: Sealed) -> None:
        self.storage.put(chunk_key(database, sealed.chunk.sha256), sealed.frame)

    def read_chunk(self, database: str, chunk: Chunk) -> Iterator[bytes]:
        """A chunk's raw bytes in pieces of at most 1 MiB, exactly those that were recorded.

        They are checked before the last `next` returns: only the end of the iterator says that they were
        right. Raises Damaged. Memory: one frame, twice where it is encrypted.
        """
        yield from self._raw(self._stored(database, chunk), chunk)

    def get_chunk(self, database: str, chunk: Chunk) -> Sealed:
        """A chunk as it is stored now, its raw bytes checked. Raises Damaged.

        One that nobody can open here is judged by the hash of what is stored.
        """
        stored = self._stored(database, chunk)
        found = replace(chunk, stored_bytes=len(stored), stored_sha256=hashlib.sha256(stored).hexdigest())
        closed = is_encrypted(stored) and not (chunk.is_encrypted and self.encryption.held)
        if found != chunk or not closed:
            for _ in self._raw(stored, chunk):
                pass
        return Sealed(chunk=found, frame=stored)

    def _raw(self, stored: bytes, chunk: Chunk) -> Iterator[bytes]:
        # No generator: it would hold what is stored for as long as it is read.
        if chunk.is_encrypted:
            stored = self.encryption.decrypt(stored, what=f"chunk {chunk.sha256}", code="chunk_damaged")
        return raw_bytes(stored, chunk)

    def _stored(self, database: str, chunk: Chunk) -> bytes:
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

    def lost_on_any_side(self, database: str, chunks: Iterable[Chunk]) -> list[Chunk]:
        """Which of these a side of storage does not have, or not whole, looked for as by `look_for`; each once.

        To put them again mends that side, however well the other one is read instead.
        """
        wanted, lost = list(chunks), dict[str, Chunk]()
        for side in self.storage.sides():
            _, missing = self.elsewhere(side).look_for(database, wanted)
            lost |= {chunk.sha256: chunk for chunk in missing}
        return list(lost.values())

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

    def put_manifest(self, sealed: Manifest, *, previous: Link | None = None) -> str:
        """Write a manifest, once; the SHA-256 of what is there. The same one again is fine, another is Refused."""
        body = self.put_manifest_body(sealed.database, sealed.id, self.encoded(sealed, previous=previous))
        return hashlib.sha256(body).hexdigest()

    def encoded(self, sealed: Manifest, *, previous: Link | None, plain: bool = False) -> bytes:
        """A manifest as it would be stored here; with `plain` not encrypted, as those of its snapshot's chunks."""
        return covers.encode(
            sealed,
            previous=previous,
            encryption=PLAIN if plain else self.encryption,
            signing=self.signing,
        )

    def put_manifest_body(self, database: str, snapshot_id: str, body: bytes) -> bytes:
        """The same for one that is encoded already; what is there."""
        key = manifest_key(database, snapshot_id)
        try:
            self.storage.put(key, body, create_only=True)
        except Refused as exc:
            if exc.code != "object_exists":
                raise
            there = self.storage.get(key)
            if not self._is_ours(there, body):
                raise
            return there
        return body

    def get_manifest(self, database: str, snapshot_id: str, *, sha256: str | None) -> Manifest:
        """Read a manifest; Damaged unless it hashes to `sha256` (where that is known) and is this one's."""
        with found_whole("manifest_damaged"):
            body = self.storage.get(manifest_key(database, snapshot_id), sha256=sha256)
        return self._decoded(body, database, snapshot_id, sha256=sha256)

    def read_manifest(self, database: str, snapshot_id: str) -> tuple[Manifest, bytes]:
        """The same with its bytes, whatever they hash to; NotFound where there is none."""
        body = self.storage.get(manifest_key(database, snapshot_id))
        return self._decoded(body, database, snapshot_id, sha256=None), body

    def get_closed_manifest(self, database: str, snapshot_id: str, *, sha256: str) -> bytes:
        """Its bytes where nobody need open it; Damaged unless they hash to `sha256` and are signed as they should."""
        with found_whole("manifest_damaged"):
            body = self.storage.get(manifest_key(database, snapshot_id), sha256=sha256)
        self.refuse_untrusted(covers.unpacked(body), body, database, snapshot_id)
        return body

    def has_manifest(self, database: str, snapshot_id: str) -> bool:
        """Whether there is one, damaged or not."""
        try:
            self.storage.head(manifest_key(database, snapshot_id))
        except NotFound as exc:
            if exc.code == "bucket_missing":
                raise
            return False
        except Damaged:  # another one in each place of a mirror
            return True
        return True

    def keys_of(self, database: str, snapshot_id: str) -> tuple[str, ...]:
        """Ids of the keys of which one is needed to open it; none where it is not encrypted. As anybody can read it."""
        key = manifest_key(database, snapshot_id)
        with found_whole("manifest_damaged"):
            try:
                outline = covers.outline(self.storage.get(key))
            except Damaged:  # of a mirror that was the first side, as nobody has said what hash it must have
                *_, last = self.storage.sides()
                outline = covers.outline(last.get(key))
        return () if outline is None else outline.keys

    def _decoded(self, body: bytes, database: str, snapshot_id: str, *, sha256: str | None) -> Manifest:
        manifest.refuse_other(body, sha256=sha256)
        text = covers.unpacked(body)
        self.refuse_untrusted(text, body, database, snapshot_id)
        found = covers.decode(text, encryption=self.encryption)
        if (found.database, found.id) != (database, snapshot_id):
            raise Damaged(
                f"{manifest_key(database, snapshot_id)} holds the manifest of {found.database}/{found.id}",
                code="manifest_damaged",
                hint=DAMAGED_HINT,
            )
        return found

    def _is_ours(self, there: bytes, wanted: bytes) -> bool:
        """Whether what lies there says the same: put by a run that died, or by a release that packs it otherwise."""
        if there == wanted:
            return True
        try:
            there, wanted = covers.unpacked(there), covers.unpacked(wanted)
        except Damaged:
            return False
        if there == wanted:
            return True
        # What is encrypted at another time never looks alike.
        if not (cover.has_cover(there) and cover.has_cover(wanted)):
            return False
        if self.signing.can_sign and self.signing.verdict(there) is not Verdict.RIGHT:
            return False
        return cover.are_of_one(cover.decode(there), cover.decode(wanted))

    def refuse_untrusted(self, text: bytes, stored: bytes, database: str, snapshot_id: str) -> None:
        """Damaged(signature_wrong), and Refused(signature_missing) where somebody must vouch and nobody does."""
        vouching.refuse_untrusted(
            self.storage,
            self.signing,
            text,
            sha256=hashlib.sha256(stored).hexdigest(),
            database=database,
            snapshot_id=snapshot_id,
        )

    def put_chain(self, chain: Chain) -> None:
        """Signed; only by who can."""
        vouching.put_chain(self.storage, self.signing, chain)

    def get_chain(self, database: str) -> Chain | None:
        """None where there is none; Damaged unless it is signed by somebody known."""
        return vouching.get_chain(self.storage, self.signing, database)

    def put_standing(self, database: str, snapshot_id: str, known: Standing) -> None:
        body = self.signing.sign(standing.encode(known))
        if self.encryption.is_on:
            body = self.encryption.encrypt(body)
        self.storage.put(standing_key(database, snapshot_id), body)

    def get_standing(self, database: str, snapshot_id: str) -> Standing | None:
        """None where there is none; Damaged where it cannot be read, or is not signed as it should be."""
        try:
            body = self.storage.get(standing_key(database, snapshot_id))
        except NotFound as exc:
            if exc.code == "bucket_missing":
                raise
            return None
        if is_encrypted(body):
            body = self.encryption.decrypt(
                body, what=f"the standing of snapshot {snapshot_id}", code="standing_damaged"
            )
        verdict = self.signing.verdict(body)
        if verdict is Verdict.WRONG or (self.signing.required and verdict is not Verdict.RIGHT):
            raise Damaged("what is known of its standing is not what was signed", code="standing_damaged")
        return standing.decode(body)

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


@contextmanager
def found_whole(code: str) -> Generator[None]:
    """An object that was recorded and is gone is as bad as a changed one: say so, and what to do."""
    try:
        yield
    except (NotFound, Damaged) as exc:
        if exc.code == "bucket_missing":
            raise
        raise Damaged(exc.message, code=code, hint=DAMAGED_HINT) from exc
