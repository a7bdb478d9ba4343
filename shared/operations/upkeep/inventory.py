"""What the repository holds of one database beside what the catalog says that it holds.

Objects are listed first and rows are read after: a row is always written before its object, and goes after it.
What seems to be wrong is looked at once more before it is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.catalog.chunks import KnownChunk
from shared.domain.findings import Finding, found
from shared.domain.snapshot import Snapshot, SnapshotState
from shared.domain.wording import counted
from shared.errors import NotFound, Permanent, SnapfleetError
from shared.operations.fleet import Fleet
from shared.operations.trust import manifests
from shared.operations.upkeep.prune import CHUNK_GRACE
from shared.storage.base import Stat, Upload

UPLOAD_GRACE = timedelta(days=1)
FEW = 100
"""That many are named one by one; the others are counted."""

CHUNK = re.compile(r"chunks/([0-9a-f]{2})/(\1[0-9a-f]{62})")
CHAIN = "chain.json"
OF_SNAPSHOT = re.compile(r"snapshots/([^/]+)/(manifest|standing)\.json")


@dataclass(slots=True, kw_only=True)
class Stored:
    """Everything below the folder of a database, by what it is."""

    chunks: dict[str, Stat] = field(default_factory=dict)
    manifests: set[str] = field(default_factory=set)
    strange: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Findings, and what of them may be fixed: chunks with their stored sizes, and uploads."""

    findings: tuple[Finding, ...]
    chunks: Mapping[str, int] = field(default_factory=dict)
    uploads: tuple[Upload, ...] = ()


def take(fleet: Fleet, database: str, *, now: datetime, check: Callable[[], None]) -> Inventory:
    """Raises Unreachable and Refused as the storage does."""
    stored = listed(fleet, database, check=check)
    check()
    with fleet.catalog.transaction() as tx:
        rows = tx.chunks.listing(database)
        snapshots = tx.snapshots.listing(database=database, with_hidden=True)
    unknown = unknown_chunks(fleet, database, stored, rows, now=now, check=check)
    removable = safe_to_remove(fleet, database, stored, snapshots, unknown, now=now)
    uploads, unsearched = open_uploads(fleet, database, now=now)
    return Inventory(
        findings=(
            *of_manifests(fleet, database, stored, snapshots),
            *manifests.look(fleet, database, snapshots, stored.manifests, check=check),
            *of_chunks(fleet, database, stored, rows, check=check),
            *of_unknown(database, unknown, removable),
            *of_strange(stored),
            *uploads.values(),
            *unsearched,
        ),
        chunks=removable,
        uploads=tuple(upload for upload, told in uploads.items() if told.fixable),
    )


def listed(fleet: Fleet, database: str, *, check: Callable[[], None]) -> Stored:
    result = Stored()
    for number, stat in enumerate(fleet.repository.storage.list(f"{database}/")):
        if number % FEW == 0:
            check()
        name = stat.key.removeprefix(f"{database}/")
        if match := CHUNK.fullmatch(name):
            result.chunks[match[2]] = stat
        elif match := OF_SNAPSHOT.fullmatch(name):
            if match[2] == "manifest":
                result.manifests.add(match[1])
        elif name != CHAIN:
            result.strange.append(name)
    return result


def of_manifests(
    fleet: Fleet, database: str, stored: Stored, snapshots: Sequence[Snapshot]
) -> Iterator[Finding]:
    known = {snapshot.id for snapshot in snapshots}
    for snapshot_id in sorted(stored.manifests - known):
        yield found("manifest_unknown", snapshot_id, f"snapshot {snapshot_id} is in the repository only")
    sealed = {s.id for s in snapshots if s.state is SnapshotState.SEALED}
    for snapshot_id in sorted(sealed - stored.manifests):
        if is_sealed(fleet, snapshot_id) and not fleet.repository.has_manifest(database, snapshot_id):
            yield found("manifest_missing", snapshot_id, f"snapshot {snapshot_id} has no manifest any more")


def is_sealed(fleet: Fleet, snapshot_id: str) -> bool:
    """Now: it may be going away."""
    with fleet.catalog.transaction() as tx:
        snapshot = tx.snapshots.get(snapshot_id)
    return snapshot is not None and snapshot.state is SnapshotState.SEALED


def of_chunks(
    fleet: Fleet, database: str, stored: Stored, rows: Mapping[str, KnownChunk], *, check: Callable[[], None]
) -> Iterator[Finding]:
    """Rows that say `stored`, of which the storage says something else."""
    wrong = [
        sha256
        for sha256, row in rows.items()
        if row.is_stored
        and (sha256 not in stored.chunks or stored.chunks[sha256].size_bytes != row.stored_bytes)
    ]
    told = 0
    for sha256 in wrong:
        check()
        with fleet.catalog.transaction() as tx:
            row = tx.chunks.listing(database, only=[sha256]).get(sha256)
            users = tx.chunks.users(database, sha256)
        trouble = (
            None if row is None or not row.is_stored else fleet.repository.check_chunk(database, row.chunk)
        )
        if trouble is None:
            continue
        told += 1
        code = "chunk_missing" if trouble == "missing" else "chunk_altered"
        needed = f"needed by {', '.join(users)}" if users else "needed by no snapshot"
        yield found(
            code, sha256, f"chunk {sha256} {trouble if trouble != 'missing' else 'is missing'}, {needed}"
        )
        if told == FEW:
            yield found(
                "not_searched",
                "chunks",
                f"up to {counted(len(wrong) - FEW, 'more chunk')} may be missing or altered",
            )
            return


def unknown_chunks(
    fleet: Fleet,
    database: str,
    stored: Stored,
    rows: Mapping[str, KnownChunk],
    *,
    now: datetime,
    check: Callable[[], None],
) -> dict[str, Stat]:
    """Objects without a row: asked for once more, for one that was just deleted has lost its row last."""
    candidates = {sha256: stat for sha256, stat in stored.chunks.items() if sha256 not in rows}
    result = {}
    for sha256, stat in candidates.items():
        if is_old(stat, now):
            result[sha256] = stat
            continue
        check()
        try:
            fleet.repository.storage.head(stat.key)
        except NotFound:
            continue
        with fleet.catalog.transaction() as tx:
            if not tx.chunks.listing(database, only=[sha256]):
                result[sha256] = stat
    return result


def is_old(stat: Stat, now: datetime) -> bool:
    return stat.modified_at is not None and stat.modified_at < now - CHUNK_GRACE


def safe_to_remove(
    fleet: Fleet,
    database: str,
    stored: Stored,
    snapshots: Sequence[Snapshot],
    unknown: Mapping[str, Stat],
    *,
    now: datetime,
) -> dict[str, int]:
    """Those older than a day that no manifest in the repository names; none where one cannot be read.

    What the catalog's own snapshots use has a row: only manifests that it does not know are read.
    """
    old = {sha256: stat.size_bytes for sha256, stat in unknown.items() if is_old(stat, now)}
    if not old:
        return {}
    known = {s.id for s in snapshots if s.state is SnapshotState.SEALED}
    try:
        for snapshot_id in sorted(stored.manifests - known):
            manifest, _ = fleet.repository.read_manifest(database, snapshot_id)
            for sha256 in manifest.distinct_chunks:
                old.pop(sha256, None)
    except SnapfleetError:
        return {}
    return old


def of_unknown(database: str, unknown: Mapping[str, Stat], removable: Mapping[str, int]) -> Iterator[Finding]:
    for chosen, fixable in ((removable.keys(), True), (unknown.keys() - removable.keys(), False)):
        if chosen:
            size = sum(unknown[sha256].size_bytes for sha256 in chosen)
            why = "older than a day, in no manifest" if fixable else "not yet a day old, or in a manifest"
            what = (
                f"{counted(len(chosen), 'chunk')} that the catalog does not know, {counted(size, 'byte')}, {why}:"
                f" {min(chosen)} …"
            )
            subject = f"{database}, {'old' if fixable else 'new'}"
            yield found("chunk_unknown", subject, what, amount=len(chosen), fixable=fixable)


def of_strange(stored: Stored) -> Iterator[Finding]:
    if stored.strange:
        what = f"{counted(len(stored.strange), 'object')} that are none of ours: {stored.strange[0]} …"
        yield found("object_unknown", "objects", what, amount=len(stored.strange))


def open_uploads(
    fleet: Fleet, database: str, *, now: datetime
) -> tuple[dict[Upload, Finding], tuple[Finding, ...]]:
    result = {}
    try:
        for upload in fleet.repository.storage.uploads(f"{database}/"):
            is_ours = upload.key.startswith((f"{database}/chunks/", f"{database}/snapshots/"))
            result[upload] = found(
                "upload_open",
                f"{upload.key} {upload.upload_id}",
                f"an upload of {upload.key}, begun {upload.began_at:%F %T}, is open",
                fixable=is_ours and upload.began_at < now - UPLOAD_GRACE,
            )
    except Permanent as exc:
        return {}, (found("not_searched", "uploads", f"open uploads not searched: {exc.message}"),)
    return result, ()
