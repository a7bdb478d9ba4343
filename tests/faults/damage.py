"""Stored objects that are not what was put: every way of changing them is noticed before a byte is used."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from shared.domain.job import SAGAS, JobKind, JobState
from shared.domain.manifest import Chunk, Manifest
from shared.errors import Damaged
from shared.operations.databases import side
from shared.storage import covers
from shared.storage.memory import MemoryStorage
from shared.storage.repository import Repository, chunk_key, manifest_key
from tests.faults.case import Case
from tests.faults.promises import assert_world
from tests.faults.scenes import SCENES
from tests.faults.world import NAME, World

FLIPS = 150
KINDS = ("archive", "part", "manifest")
Change = Callable[[bytes], bytes]


def cases(*, seeds: int) -> Iterator[Case]:
    for what in KINDS:
        for seed in range(seeds):
            name = f"{FLIPS} places, seed {seed}"
            yield looked_at(f"a bit flips in a stored {what}", name, flipped(what, seed))
        yield looked_at(f"a stored {what} is cut short", "at every border", truncated(what))
    yield looked_at("two objects change places", "each with each", swapped)
    yield looked_at("an object is missing", "each in turn", missing)
    yield looked_at("a field of the manifest is changed", "each in turn", edited)
    yield looked_at("a manifest is replaced by another sealed one", "of the same database", replaced)
    for kind in (JobKind.RESTORE, JobKind.VERIFY):
        for what in KINDS:
            for change_name, change in CHANGES.items():
                yield stored_damage(kind, what, change_name, change)


def looked_at(title: str, name: str, look: Callable[[World], None]) -> Case:
    def run(world: World) -> None:
        look(world)
        assert_world(world, contents=[world.shop.content()])

    return Case(kind=title, name=name, run=run)


def at(place: float) -> Change:
    def change(body: bytes) -> bytes:
        changed = bytearray(body)
        changed[int(len(body) * place)] ^= 16
        return bytes(changed)

    return change


CHANGES: Mapping[str, Change | None] = {
    "has a flipped bit": at(0.6),
    "is cut short": lambda body: body[:-1],
    "is missing": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The golden snapshot's objects in memory, to be changed at will."""

    repository: Repository
    manifest: Manifest
    sha256: str

    def key(self, what: str) -> str:
        if what == "manifest":
            return manifest_key(NAME, self.manifest.id)
        return chunk_key(NAME, self.chunk(what).sha256)

    def chunk(self, what: str) -> Chunk:
        chunks = self.manifest.archive if what == "archive" else self.manifest.parts[0].chunks
        return max(chunks, key=lambda chunk: chunk.stored_bytes)

    def read(self, what: str) -> None:
        """As a restore would."""
        if what == "manifest":
            self.repository.get_manifest(NAME, self.manifest.id, sha256=self.sha256)
        else:
            for _ in self.repository.read_chunk(NAME, self.chunk(what)):
                pass

    def body(self, what: str) -> bytes:
        return self.repository.storage.get(self.key(what))

    def is_noticed(self, what: str, body: bytes) -> bool:
        """Whether a changed object is refused; the right one is put back."""
        right = self.body(what)
        self.repository.storage.put(self.key(what), body)
        try:
            self.read(what)
        except Damaged:
            return True
        finally:
            self.repository.storage.put(self.key(what), right)
        return False


def shelf(world: World) -> Shelf:
    manifest = side.manifest_of(world.fleet, world.golden_id)
    with world.fleet.catalog.transaction() as tx:
        known = tx.snapshots.get(world.golden_id)
    assert known is not None
    assert known.manifest_sha256 is not None
    copies, storage = MemoryStorage(), world.fleet.repository.storage
    for chunk in manifest.distinct_chunks.values():
        key = chunk_key(NAME, chunk.sha256)
        copies.put(key, storage.get(key))
    key = manifest_key(NAME, manifest.id)
    copies.put(key, storage.get(key))
    made = Shelf(repository=Repository(copies), manifest=manifest, sha256=known.manifest_sha256)
    for what in KINDS:
        made.read(what)
    return made


def flipped(what: str, seed: int) -> Callable[[World], None]:
    def run(world: World) -> None:
        chance = random.Random(seed)  # noqa: S311 - it is to be repeatable
        found = shelf(world)
        body = found.body(what)
        unnoticed = []
        for _ in range(FLIPS):
            changed = bytearray(body)
            place, bit = chance.randrange(len(body)), chance.randrange(8)
            changed[place] ^= 1 << bit
            if not found.is_noticed(what, bytes(changed)):
                unnoticed.append((place, bit))
        assert unnoticed == [], "I1: changed, and not noticed"

    return run


def truncated(what: str) -> Callable[[World], None]:
    def run(world: World) -> None:
        found = shelf(world)
        body = found.body(what)
        # A frame's header ends within 18 bytes; blocks hold 128 KiB; the checksum is the last 4 bytes.
        borders = [0, 1, 4, 6, 9, 18, len(body) // 2, len(body) - 5, len(body) - 4, len(body) - 1]
        borders += range(18, len(body), 128 * 1024)
        unnoticed = [size for size in borders if not found.is_noticed(what, body[:size])]
        unnoticed += [len(body) + 1] * (not found.is_noticed(what, body + b"\0"))
        unnoticed += [2 * len(body)] * (not found.is_noticed(what, body + body))
        assert unnoticed == [], "I1: cut short or longer, and not noticed"

    return run


def swapped(world: World) -> None:
    found = shelf(world)
    for what in KINDS:
        for other in KINDS:
            assert what == other or found.is_noticed(what, found.body(other)), (what, other)


def missing(world: World) -> None:
    found = shelf(world)
    for what in KINDS:
        right = found.body(what)
        found.repository.storage.delete(found.key(what))
        try:
            found.read(what)
        except Damaged:
            found.repository.storage.put(found.key(what), right)
        else:
            raise AssertionError(f"I1: the {what} is missing, and nobody noticed")


def edited(world: World) -> None:
    """Every value in it, however deep."""
    found = shelf(world)
    text = covers.unpacked(found.body("manifest"))
    places = [*leaves(json.loads(text))]
    assert len(places) > 50
    for path in places:
        changed = json.loads(text)
        alter(changed, path)
        assert found.is_noticed("manifest", covers.packed(json.dumps(changed, indent=1).encode())), path


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    )
    if inner is None:
        yield path
        return
    for key, below in inner:
        yield from leaves(below, (*path, key))


def alter(value: Any, path: tuple[Any, ...]) -> None:
    *way, last = path
    for key in way:
        value = value[key]
    old = value[last]
    value[last] = not old if isinstance(old, bool) else old + 1 if isinstance(old, int) else f"{old}x"


def replaced(world: World) -> None:
    """By one that was itself sealed, of the same database."""
    newer = world.ended(SCENES[JobKind.SNAPSHOT](world).ask())
    other = manifest_key(NAME, str(newer.request["snapshot_id"]))
    found = shelf(world)
    assert found.is_noticed("manifest", world.fleet.repository.storage.get(other))


def stored_damage(kind: JobKind, what: str, name: str, change: Change | None) -> Case:
    """A whole job meets it: the live database is not touched, and once it is mended the job succeeds."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        key = shelf(world).key(what)
        with damaged(world, key, change):
            job = world.ended(scene.ask())
            assert job.state is SAGAS[kind].ends_undone, (job.state, job.error)
            assert job.error is not None
            assert job.error["code"] in {"chunk_damaged", "manifest_damaged"}, job.error
        scene.assert_over(job, expected=SAGAS[kind].ends_undone)
        again = world.ended(scene.ask())
        scene.assert_over(again, expected=JobState.SUCCEEDED)

    return Case(kind=f"a {kind} meets a damaged object", name=f"the {what} {name}", run=run)


@contextmanager
def damaged(world: World, key: str, change: Change | None) -> Iterator[None]:
    """Inside it the stored object is another one, or none."""
    storage = world.fleet.repository.storage
    right = storage.get(key)
    if change is None:
        storage.delete(key)
    else:
        storage.put(key, change(right))
    try:
        yield
    finally:
        storage.put(key, right)
