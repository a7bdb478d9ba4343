"""Ask storage for every object of a snapshot: before it is trusted, and before a restore relies on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from shared.domain.manifest import Chunk, Manifest
from shared.domain.wording import counted
from shared.errors import Damaged
from shared.operations.fleet import Fleet


def troubles(
    fleet: Fleet, manifest: Manifest, *, deep: bool = False, each: Callable[[int], None] = lambda _: None
) -> Mapping[str, str]:
    """What is wrong with stored chunks, by their names; empty where all are as recorded.

    By size and hash as storage tells them; with `deep`, by reading and hashing every byte. `each` is called
    with the number of objects looked at, and raises to stop.
    """
    return troubles_of(fleet, manifest.database, manifest.distinct_chunks.values(), deep=deep, each=each)


def troubles_of(
    fleet: Fleet, database: str, chunks: Iterable[Chunk], *, deep: bool, each: Callable[[int], None]
) -> Mapping[str, str]:
    """The same of these chunks. One that cannot be opened here is judged by the hash of what is stored."""
    look = reread if deep else told
    wrong: dict[str, str] = {}
    for number, chunk in enumerate(chunks, start=1):
        trouble = look(fleet, database, chunk)
        if trouble is not None:
            wrong[chunk.sha256] = trouble
        each(number)
    return wrong


def told(fleet: Fleet, database: str, chunk: Chunk) -> str | None:
    """Where storage tells something else, reading decides: the same bytes may have been stored again in another
    frame, and a mirror has them twice.
    """
    trouble = fleet.repository.check_chunk(database, chunk)
    return None if trouble is None or reread(fleet, database, chunk) is None else trouble


def reread(fleet: Fleet, database: str, chunk: Chunk) -> str | None:
    try:
        fleet.repository.get_chunk(database, chunk)
    except Damaged as exc:
        return exc.message
    return None


def damaged(manifest: Manifest, wrong: Mapping[str, str]) -> Damaged:
    sha256, trouble = next(iter(wrong.items()))
    return Damaged(
        f"{len(wrong)} of {counted(len(manifest.distinct_chunks), 'chunk')} of snapshot {manifest.id} not as"
        f" stored; chunk {sha256}: {trouble}",
        code="chunk_damaged",
        hint="restore another snapshot; `snapfleet snapshot list` shows them",
    )
