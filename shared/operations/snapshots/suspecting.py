"""Say of a new snapshot why it looks wrong, and hear from an operator that it is right as it is."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from shared.catalog.catalog import Transaction
from shared.domain import suspicion
from shared.domain.access import Actor
from shared.domain.manifest import Manifest
from shared.domain.snapshot import Reason, Snapshot
from shared.domain.suspicion import Contents
from shared.domain.wording import shown
from shared.errors import NotFound, Refused
from shared.operations.fleet import Fleet
from shared.operations.trust import auditing, standing

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What was found of one snapshot. `is_news` where an operator should hear of it."""

    snapshot_id: str
    sentences: tuple[str, ...] = ()
    compared_with: str | None = None
    is_news: bool = False


def of(fleet: Fleet, manifest: Manifest) -> Suspicion:
    """Compare a snapshot that is about to be sealed with the newest good one before it.

    A safeguard is never suspect: it shows a database that somebody is about to give up.
    """
    with fleet.catalog.singly() as tx:
        taken = tx.snapshots.get(manifest.id)
        if taken is None or taken.reason is Reason.SAFEGUARD:
            return Suspicion(snapshot_id=manifest.id)
        rows = {f"{table.schema}.{table.name}": table.row_count for table in manifest.tables}
        now = Contents(table_rows=rows, raw_bytes=manifest.raw_bytes)
        measure, sentences = compare(tx, taken, now)
        former = tx.snapshots.regular_before(taken.database, taken.sequence)
    so_far = former.suspicions if former is not None and former.is_suspect else ()
    judged = [sentence for sentence in so_far if sentence != suspicion.STALE]
    return Suspicion(
        snapshot_id=manifest.id,
        sentences=sentences,
        compared_with=measure.id if measure is not None else None,
        is_news=suspicion.is_news(sentences, so_far=judged),
    )


def compare(tx: Transaction, taken: Snapshot, now: Contents) -> tuple[Snapshot | None, tuple[str, ...]]:
    measure = tx.snapshots.measure(taken.database, before=taken.sequence)
    return measure, suspicion.judge(contents(tx, measure) if measure is not None else None, now)


def contents(tx: Transaction, snapshot: Snapshot) -> Contents:
    return Contents(table_rows=tx.snapshots.table_rows(snapshot.id), raw_bytes=snapshot.raw_bytes or 0)


def alert(tx: Transaction, found: Suspicion, *, database: str, job_id: str) -> None:
    """Tell of a suspect snapshot, in the transaction that seals it: once for a run of them, until it gets worse."""
    if not found.sentences:
        return
    facts = {"snapshot_id": found.snapshot_id, "compared_with": found.compared_with}
    if found.is_news:
        log.warning("snapshot_suspect", suspicions=found.sentences, **facts)
        data = {**facts, "suspicions": list(found.sentences)}
        tx.outbox.add("snapshot.suspect", database=database, job_id=job_id, data=data)
    else:
        log.info("snapshot_still_suspect", suspicions=found.sentences, **facts)


def doubt(tx: Transaction, built_on: str) -> None:
    """Make suspect what may hold old rows, when parts of this one turn out to have changed unnoticed.

    These are the snapshots that took parts over since the one that was read whole and that this one goes back to.
    A proof does not tell: it compares with counts that were taken over as well.
    """
    wrong = tx.snapshots.get(built_on)
    if wrong is None:
        return
    whole: Snapshot | None = wrong
    while whole is not None and took_over(whole):
        before = whole.how_read.built_on if whole.how_read is not None else None
        whole = None if before is None else tx.snapshots.get(before)
    for each in tx.snapshots.sealed_after(wrong.database, 0 if whole is None else whole.sequence):
        if took_over(each) and suspicion.STALE not in each.suspicions:
            tx.snapshots.suspect(each.id, (*each.suspicions, suspicion.STALE))


def took_over(snapshot: Snapshot) -> bool:
    return snapshot.how_read is not None and snapshot.how_read.unread.parts > 0


def accept(fleet: Fleet, snapshot_id: str, *, by: Actor) -> Snapshot:
    """Let a suspect snapshot count, and let what came after it be compared with it.

    Refused where it is not suspect. Accepted twice it is accepted.
    """
    with fleet.catalog.transaction() as tx:
        found = tx.snapshots.get(snapshot_id)
        if found is None:
            raise NotFound(f"no snapshot {shown(snapshot_id)}", code="snapshot_unknown")
        if not found.suspicions:
            raise Refused(
                f"snapshot {snapshot_id} is {found.standing}, not suspect: there is nothing to accept",
                code="not_suspect",
                hint=f"`snapfleet snapshot show {snapshot_id}` tells more",
            )
        if not tx.snapshots.accept(snapshot_id):
            raise Refused(f"snapshot {snapshot_id} is {found.state}", code="snapshot_not_sealed")
        if found.is_suspect:
            data = {"snapshot_id": snapshot_id, "suspicions": list(found.suspicions)}
            tx.outbox.add("snapshot.cleared", database=found.database, job_id=None, data=data)
            auditing.did(tx, "snapshot.accepted", by=by, database=found.database, details=data)
        later = tx.snapshots.sealed_after(found.database, found.sequence)
        for each in reversed(later):
            if each.is_suspect and each.reason is not Reason.SAFEGUARD:
                _, sentences = compare(tx, each, contents(tx, each))
                stale = (suspicion.STALE,) if suspicion.STALE in each.suspicions else ()
                tx.snapshots.suspect(each.id, (*sentences, *stale))
        accepted = tx.snapshots.get(snapshot_id)
    standing.keep(fleet, found.database)
    return accepted or found
