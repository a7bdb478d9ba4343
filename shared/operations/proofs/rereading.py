"""Read and hash again everything that is stored of a snapshot; no database is touched, and no worker is needed.

    begin ─► read ─► end                  (what it showed, and the judgement: one commit)
    held     held until it is not heard of for `HOLD`

Retention leaves the snapshot alone meanwhile. Where the hold was lost (the reader slept for longer than that)
the snapshot may be gone, and then what is missing of it means nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import timedelta

from shared.domain.manifest import Chunk
from shared.domain.snapshot import Snapshot
from shared.errors import Damaged, NotFound, Refused, SnapfleetError
from shared.operations.databases import side, stored
from shared.operations.fleet import Fleet
from shared.operations.trust import standing

HOLD = timedelta(minutes=10)
"""Several times as long as one object takes."""

MANIFEST = "manifest"
"""Stands for its hash in what a reading tells."""


def read_again(
    fleet: Fleet, snapshot: Snapshot, *, reading_id: str, each: Callable[[int], None]
) -> tuple[int, Mapping[str, str]]:
    """How many objects there are, and what is wrong with which. A reading of its own for each `reading_id`.

    A snapshot whose objects are damaged is refuted, and the next one stores them again. Raises Damaged where
    the manifest itself is, and NotFound where the snapshot has gone in between.
    """
    with fleet.catalog.transaction() as tx:
        if not tx.readings.begin(reading_id, snapshot_id=snapshot.id, ttl=HOLD):
            raise gone(snapshot)
    try:
        return read(fleet, snapshot, reading_id=reading_id, each=each)
    finally:
        # Without the catalog the hold runs out by itself.
        with suppress(SnapfleetError), fleet.catalog.transaction() as tx:
            tx.readings.give_up(reading_id)


def read(
    fleet: Fleet, snapshot: Snapshot, *, reading_id: str, each: Callable[[int], None]
) -> tuple[int, Mapping[str, str]]:
    try:
        chunks = chunks_of(fleet, snapshot)
    except Damaged as exc:
        judge(fleet, snapshot, reading_id=reading_id, objects=1, troubles={MANIFEST: exc.message})
        raise
    renewed_at = time.monotonic()

    def seen(number: int) -> None:
        nonlocal renewed_at
        if time.monotonic() - renewed_at > HOLD.total_seconds() / 4:
            with fleet.catalog.transaction() as tx:
                tx.readings.renew(reading_id, ttl=HOLD)
            renewed_at = time.monotonic()
        each(number)

    troubles = stored.troubles_of(fleet, snapshot.database, chunks, deep=True, each=seen)
    objects = len(chunks) + 1
    judge(fleet, snapshot, reading_id=reading_id, objects=objects, troubles=troubles)
    return objects, troubles


def chunks_of(fleet: Fleet, snapshot: Snapshot) -> Collection[Chunk]:
    """As its manifest tells of them; where nobody here can open that, as the catalog knows them."""
    try:
        return side.manifest_of(fleet, snapshot.id).distinct_chunks.values()
    except Refused as exc:
        if exc.code != "identity_missing":
            raise
    sha256 = str(snapshot.manifest_sha256)
    fleet.repository.get_closed_manifest(snapshot.database, snapshot.id, sha256=sha256)
    with fleet.catalog.transaction() as tx:
        return tx.chunks.of_snapshot(snapshot.id)


def judge(
    fleet: Fleet, snapshot: Snapshot, *, reading_id: str, objects: int, troubles: Mapping[str, str]
) -> None:
    """Keep what was found; where that is damage the snapshot is refuted."""
    differences = [f"{name}: {trouble}" for name, trouble in troubles.items()]
    with fleet.catalog.transaction() as tx:
        if not tx.readings.is_there(snapshot.id):
            raise gone(snapshot)
        tx.readings.end(reading_id, objects=objects, differences=differences)
        if differences:
            damaged = sorted(troubles.keys() - {MANIFEST})
            tx.chunks.distrust(snapshot.database, damaged)
            tx.snapshots.judge(snapshot.id, matched=False)
            data = {"snapshot_id": snapshot.id, "damaged_objects": damaged}
            tx.outbox.add("verify.refuted", database=snapshot.database, job_id=None, data=data)
    if differences:
        standing.keep(fleet, snapshot.database)


def gone(snapshot: Snapshot) -> NotFound:
    return NotFound(
        f"snapshot {snapshot.id} is gone: it was deleted before all of it was read",
        code="snapshot_unknown",
        hint=f"`snapfleet snapshot list {snapshot.database}` shows what there is",
    )
