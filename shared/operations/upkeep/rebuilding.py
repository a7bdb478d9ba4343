"""Make the catalog anew from the repository alone: every snapshot that has a manifest, as it stood.

Nothing that the catalog knows is ever changed: what it lacks is added, and where it says something else
than the repository, that is told. So it may run twice, beside a working fleet, or be cut off at any point.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from shared.domain import chain, standing
from shared.domain.access import Actor
from shared.domain.chain import Chain
from shared.domain.manifest import Chunk, Manifest
from shared.domain.snapshot import Snapshot, SnapshotState
from shared.domain.standing import Standing
from shared.errors import Damaged, NotFound, Refused
from shared.operations.fleet import Fleet
from shared.operations.trust import auditing
from shared.operations.trust.standing import keep
from shared.storage.repository import Repository, manifest_key

BATCH = 10_000
"""Chunks that are written down in one transaction."""


OF_ONE = frozenset(
    {"bad_key", "object_exists", "snapshot_elsewhere", "identity_missing", "signature_missing", "keys_differ"}
)
"""Refusals that are about one snapshot and not about all."""


class What(StrEnum):
    ADDED = "added"
    KNOWN = "known"
    DIFFERS = "differs"
    """The catalog knows it, and says something else than the repository. Nothing was changed."""
    LEFT_OUT = "left_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What became of one snapshot of the repository."""

    database: str
    snapshot_id: str
    what: What
    why: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A snapshot as its repository holds it. `body` are the bytes of its manifest."""

    manifest: Manifest
    body: bytes
    standing: Standing

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


TakeIn = Callable[[str], Found]
"""Makes sure that the repository of the fleet holds a snapshot whole, and its chunks are known; by its id."""


def rebuild(fleet: Fleet, databases: Collection[str] = (), *, by: Actor) -> Iterator[Entry]:
    """Add every snapshot of the repository that the catalog lacks, of these databases or of all.

    Each is told of when it is done, the oldest of each database first. Raises what storage and catalog
    raise; NotFound where the repository holds none of what was asked for.
    """
    names = present(fleet.repository, databases)
    yield from recorded(fleet, rebuilt(fleet, names), action="catalog.rebuild", by=by, databases=names)


def rebuilt(fleet: Fleet, names: Collection[str]) -> Iterator[Entry]:
    for name in names:

        def take_in(snapshot_id: str, name: str = name) -> Found:
            found = read(fleet.repository, name, snapshot_id)
            look_for_chunks(fleet, name, found.manifest)
            return found

        yield from enter_all(fleet, fleet.repository, name, into=name, take_in=take_in)


def recorded(
    fleet: Fleet, entries: Iterator[Entry], *, action: str, by: Actor, **details: object
) -> Iterator[Entry]:
    """The same, with an entry of the audit before the first and, unless it is cut off, one after the last."""
    with fleet.catalog.transaction() as tx:
        auditing.did(tx, action, outcome="begun", by=by, details=details)
    counts = Counter[str]()
    for each in entries:
        counts[str(each.what)] += 1
        yield each
    with fleet.catalog.transaction() as tx:
        auditing.did(tx, action, by=by, details=details | {"snapshots": dict(counts)})


def present(repository: Repository, wanted: Collection[str]) -> list[str]:
    """The databases that a repository holds something of; NotFound naming it where that is nothing."""
    names = list(repository.databases())
    if missing := sorted(set(wanted) - set(names)):
        raise NotFound(
            f"{repository.storage.location} holds nothing of {', '.join(missing)}",
            code="database_unknown",
            hint=f"it holds: {', '.join(names) or 'no database at all'}",
        )
    if not names:
        raise NotFound(
            f"{repository.storage.location} holds no snapshot",
            code="repository_empty",
            hint="is it the right bucket, prefix or folder?",
        )
    return sorted(wanted) or names


def enter_all(
    fleet: Fleet, repository: Repository, name: str, *, into: str, take_in: TakeIn
) -> Iterator[Entry]:
    """Every snapshot of one database of a repository, entered under the name `into` where it is not known."""
    with fleet.catalog.transaction() as tx:
        tx.schedules.know([into])
        known = {s.id: s for s in tx.snapshots.listing(database=into, with_hidden=True)}
    stored = list(repository.snapshots(name))
    new = {id_: standing_of(repository, name, id_) for id_ in stored if id_ not in known}
    made = {id_: standing.made_at(id_, new[id_]) for id_ in new}
    made |= {id_: snapshot.created_at for id_, snapshot in known.items()}
    ours = sorted(known, key=lambda id_: known[id_].sequence)
    previous: str | None = None
    listed = list_of(repository, name)
    yield from gone(into, listed, {*stored, *known})
    ordered = chain.in_its_order(standing.in_order(new, made=made), listed)
    for snapshot_id in standing.merged(ours, ordered, made=made):
        if snapshot_id in known:
            previous = snapshot_id
            if snapshot_id in stored:
                yield compare(fleet, known[snapshot_id])
            elif known[snapshot_id].state is SnapshotState.SEALED and repository is fleet.repository:
                yield entry(into, snapshot_id, What.DIFFERS, "the catalog lists it, and its manifest is gone")
            continue
        try:
            refuse_elsewhere(fleet, snapshot_id)
            refuse_replaced(repository, name, snapshot_id, listed)
            found = take_in(snapshot_id)
        except NotFound as exc:
            if exc.code == "object_missing":  # deleted: only what was known of it is left, if anything
                continue
            raise
        except (Damaged, Refused) as exc:
            if isinstance(exc, Refused) and exc.code not in OF_ONE:
                raise
            yield entry(into, snapshot_id, What.LEFT_OUT, exc.message, exc.hint)
            continue
        with fleet.catalog.transaction() as tx:
            tx.chunks.all_stored(into, found.manifest.distinct_chunks)
            added = tx.standings.enter(
                found.manifest, manifest_sha256=found.sha256, standing=found.standing, after=previous
            )
        previous = snapshot_id
        yield entry(into, snapshot_id, What.ADDED if added else What.KNOWN)
    keep(fleet, into)


def list_of(repository: Repository, name: str) -> Chain:
    """The signed list of a database's snapshots; an empty one where there is none, or nobody looks at signatures."""
    found = repository.get_chain(name) if repository.signing.judges else None
    return found or Chain(database=name, snapshots=())


def gone(into: str, listed: Chain, here: Collection[str]) -> Iterator[Entry]:
    """What the signed list names, and nobody finds: retention would have taken it off first."""
    for link in listed.snapshots:
        if link.id not in here:
            why = "the signed list of snapshots names it, and there is nothing of it"
            yield entry(into, link.id, What.LEFT_OUT, why, "look in older versions or copies of the bucket")


def refuse_replaced(repository: Repository, name: str, snapshot_id: str, listed: Chain) -> None:
    """Damaged where the signed list knows this snapshot by another manifest."""
    wanted = listed.hashes.get(snapshot_id)
    if wanted is None:
        return
    found = repository.storage.head(manifest_key(name, snapshot_id)).sha256
    if found != wanted:
        raise Damaged(
            f"its manifest is not the one in the signed list of snapshots: its hash is {found}, not {wanted}",
            code="manifest_replaced",
            hint="look in older versions or copies of the bucket, and see who could write there",
        )


def refuse_elsewhere(fleet: Fleet, snapshot_id: str) -> None:
    with fleet.catalog.transaction() as tx:
        other = tx.snapshots.get(snapshot_id)
    if other is not None:
        raise Refused(f"it is here already, as one of {other.database}", code="snapshot_elsewhere")


def entry(
    database: str, snapshot_id: str, what: What, why: str | None = None, hint: str | None = None
) -> Entry:
    return Entry(database=database, snapshot_id=snapshot_id, what=what, why=why, hint=hint)


def compare(fleet: Fleet, known: Snapshot) -> Entry:
    """A snapshot that the catalog knows with what the repository holds of it."""
    name, snapshot_id = known.database, known.id
    if known.state in {SnapshotState.FAILED, SnapshotState.DELETED}:
        try:
            fleet.repository.read_manifest(name, snapshot_id)
        except (NotFound, Damaged):
            return entry(name, snapshot_id, What.KNOWN)
        except Refused as exc:
            if exc.code not in OF_ONE:
                raise
        return entry(name, snapshot_id, What.DIFFERS, f"it is {known.state} here, and its manifest is there")
    if known.state is SnapshotState.SEALED:
        try:
            fleet.repository.get_closed_manifest(name, snapshot_id, sha256=str(known.manifest_sha256))
        except (Damaged, Refused) as exc:
            if isinstance(exc, Refused) and exc.code not in OF_ONE:
                raise
            return entry(name, snapshot_id, What.DIFFERS, exc.message)
    return entry(name, snapshot_id, What.KNOWN)


def standing_of(repository: Repository, name: str, snapshot_id: str) -> Standing | None:
    """A damaged one counts as none: it is never needed to restore."""
    try:
        return repository.get_standing(name, snapshot_id)
    except Damaged:
        return None


def read(repository: Repository, name: str, snapshot_id: str) -> Found:
    """A snapshot's manifest and standing; Damaged unless the two are of one."""
    manifest, body = repository.read_manifest(name, snapshot_id)
    sha256 = hashlib.sha256(body).hexdigest()
    known = standing_of(repository, name, snapshot_id)
    if known is not None and known.manifest_sha256 != sha256:
        raise Damaged(
            f"its manifest is not the one that was sealed: its hash is {sha256}, not {known.manifest_sha256}",
            code="manifest_damaged",
            hint="where standing.json is what was damaged, remove that",
        )
    return Found(manifest=manifest, body=body, standing=known or Standing.unknown(manifest, sha256=sha256))


def look_for_chunks(fleet: Fleet, name: str, manifest: Manifest) -> None:
    """Make sure that each chunk is in storage and known to be; Damaged where one is not there.

    Looked for first, so that of an incomplete snapshot nothing is written down and retention leaves alone
    what there is of it. Once more where retention had begun to delete it in the meantime.
    """
    wanted = manifest.distinct_chunks
    with fleet.catalog.transaction() as tx:
        stored = tx.chunks.known(name, wanted)
    present_ones = look(fleet, name, [chunk for sha256, chunk in wanted.items() if sha256 not in stored])
    found = list((wanted | {chunk.sha256: chunk for chunk in present_ones}).values())
    for start in range(0, len(found), BATCH):
        with fleet.catalog.transaction() as tx:
            claimed = tx.chunks.claim(name, found[start : start + BATCH])
        look(fleet, name, [wanted[c.sha256] for c in claimed if not c.is_stored and not c.is_new])


def look(fleet: Fleet, name: str, chunks: Collection[Chunk]) -> list[Chunk]:
    found, lost = fleet.repository.look_for(name, chunks)
    if lost:
        raise Damaged(
            f"{len(lost)} of its chunks are missing or damaged, {lost[0].sha256} the first",
            code="chunk_damaged",
        )
    return found
