"""Bring the snapshots of another installation's repository into ours, with their history.

    every chunk that we lack, its bytes checked ─► the manifest ─► the catalog's row

A snapshot is visible only when all of it is here, so this may be cut off anywhere; run again it goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from shared.domain.access import Actor
from shared.domain.manifest import Chunk, Manifest
from shared.domain.snapshot import SnapshotState
from shared.errors import Damaged, NotFound, Refused
from shared.operations.fleet import Fleet
from shared.operations.upkeep.rebuilding import (
    BATCH,
    OF_ONE,
    Entry,
    Found,
    enter_all,
    present,
    read,
    rebuild,
    recorded,
)
from shared.storage import covers
from shared.storage.repository import Repository

ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """How far the copying of one snapshot is."""

    database: str
    snapshot_id: str
    chunks: int
    done_chunks: int
    done_bytes: int
    """Stored bytes that were really copied."""


Report = Callable[[Copying], None]


def adopt(
    fleet: Fleet,
    source: Repository,
    *,
    databases: Collection[str],
    name: str | None,
    report: Report = lambda _: None,
    by: Actor,
) -> Iterator[Entry]:
    """Copy the snapshots of these databases, or of all, into our repository; tells of each when it is done.

    `name` is what a single one of them is called here; else each keeps its name. Our own repository is
    rebuilt. Refused, before anything is copied, where a name means another database here.
    """
    if name is None and is_ours(fleet, source):
        yield from rebuild(fleet, databases, by=by)
        return
    wanted = present(source, databases)
    if name is not None and len(wanted) != 1:
        raise Refused(
            f"{len(wanted)} databases cannot all be called {name}",
            code="database_not_named",
            hint=f"name one of them with --database: {', '.join(wanted)}",
        )
    for each in wanted:
        refuse_another(fleet, source, each, into=name or each)
    entries = adopted(fleet, source, {each: name or each for each in wanted}, report)
    details = {"repository": source.storage.location, "databases": wanted, "as": name}
    yield from recorded(fleet, entries, action="repository.adopt", by=by, **details)


def adopted(fleet: Fleet, source: Repository, names: Mapping[str, str], report: Report) -> Iterator[Entry]:
    for each, into in names.items():

        def take_in(snapshot_id: str, each: str = each, into: str = into) -> Found:
            found = renamed(fleet.repository, read(source, each, snapshot_id), into)
            copy(fleet, source, each, found.manifest, report)
            return with_body(found, fleet.repository.put_manifest_body(into, snapshot_id, found.body))

        yield from enter_all(fleet, source, each, into=into, take_in=take_in)


def is_ours(fleet: Fleet, source: Repository) -> bool:
    """Whether it is our own, or one side of our mirror. Under another address it is not known as such:
    then its objects are read and written where they are, which changes nothing.
    """
    return source.storage.location in fleet.repository.storage.location.split(" + ")


def refuse_another(fleet: Fleet, source: Repository, name: str, *, into: str) -> None:
    """Refused unless what `into` means here is the same database, or nothing yet."""
    with fleet.catalog.transaction() as tx:
        ours = [s for s in tx.snapshots.listing(database=into) if s.state is SnapshotState.SEALED]
    theirs = list(source.snapshots(name))
    if not ours or {s.id for s in ours} & set(theirs):
        return
    server = next(servers(source, name, reversed(theirs)), None)
    if server is None or server in servers(fleet.repository, into, (s.id for s in ours)):
        return
    raise Refused(
        f"{into} has snapshots here, and of another server than those of {name} in {source.storage.location}",
        code="another_database",
        hint=f"adopt them under a name of their own: --database {name} --as NAME",
    )


def servers(repository: Repository, name: str, snapshot_ids: Iterator[str]) -> Iterator[str]:
    """The system identifiers of the servers that these snapshots were taken on, as far as they can be read."""
    for snapshot_id in snapshot_ids:
        try:
            manifest, _ = repository.read_manifest(name, snapshot_id)
        except (NotFound, Damaged):
            continue
        except Refused as exc:
            if exc.code not in OF_ONE:
                raise
            continue
        yield manifest.source.system_identifier


def renamed(ours: Repository, found: Found, into: str) -> Found:
    """The same snapshot under another database's name, signed anew. Under its own its manifest keeps its bytes.

    Refused(keys_differ) of one that is encrypted for others than we encrypt for: its manifest would be for us, and
    its chunks not.
    """
    if found.manifest.database == into:
        return found
    ours.signing.refuse_unable("a manifest under another name")
    outline = covers.outline(found.body)
    keys = () if outline is None else outline.keys
    if keys and keys != ours.encryption.keys:
        raise Refused(
            f"it is encrypted for {' and '.join(keys)}, and here snapshots are encrypted for"
            f" {' and '.join(ours.encryption.keys) or 'nobody'}",
            code="keys_differ",
            hint="adopt it under its own name",
        )
    manifest = replace(found.manifest, database=into)
    body = ours.encoded(manifest, previous=None, plain=not keys)
    return with_body(replace(found, manifest=manifest), body)


def with_body(found: Found, body: bytes) -> Found:
    """The same with the bytes of its manifest as they are here."""
    sha256 = hashlib.sha256(body).hexdigest()
    return replace(found, body=body, standing=replace(found.standing, manifest_sha256=sha256))


def copy(fleet: Fleet, source: Repository, name: str, manifest: Manifest, report: Report) -> None:
    """Make sure that our repository holds every chunk of a snapshot. Damaged where the source does not.

    What we had is looked for as well: it may turn out to be lost, or to have been deleted meanwhile.
    """
    into, wanted = manifest.database, manifest.distinct_chunks
    done_bytes = 0
    for _ in range(ATTEMPTS):
        lacking = claim(fleet, into, wanted.values())
        for number, sha256 in enumerate(lacking, start=1 + len(wanted) - len(lacking)):
            done_bytes += copy_chunk(fleet, source, name, into, wanted[sha256])
            report(
                Copying(
                    database=into,
                    snapshot_id=manifest.id,
                    chunks=len(wanted),
                    done_chunks=number,
                    done_bytes=done_bytes,
                )
            )
        _, lost = fleet.repository.look_for(into, wanted.values())
        if not lost and not claim(fleet, into, wanted.values()):
            return
        with fleet.catalog.transaction() as tx:
            tx.chunks.distrust(into, [chunk.sha256 for chunk in lost])
    raise Damaged(
        f"{fleet.repository.storage.location} does not keep what is put there", code="chunk_damaged"
    )


def claim(fleet: Fleet, into: str, chunks: Iterable[Chunk]) -> list[str]:
    """Keep all of them from retention for a day; those that we do not have."""
    wanted, lacking = list(chunks), list[str]()
    for start in range(0, len(wanted), BATCH):
        with fleet.catalog.transaction() as tx:
            claimed = tx.chunks.claim(into, wanted[start : start + BATCH])
        lacking += [each.sha256 for each in claimed if not each.is_stored]
    return lacking


def copy_chunk(fleet: Fleet, source: Repository, name: str, into: str, chunk: Chunk) -> int:
    """One chunk as it is, and its row before it; the bytes that it takes."""
    sealed = source.get_chunk(name, chunk)
    with fleet.catalog.transaction() as tx:
        tx.chunks.intend(into, sealed.chunk)
    fleet.repository.put_chunk(into, sealed)
    with fleet.catalog.transaction() as tx:
        tx.chunks.stored(into, chunk.sha256)
    return sealed.chunk.stored_bytes
