"""Keep what the catalog knows of each snapshot beside its manifest, so that losing the catalog loses little.

A row that changed is found by its fingerprint, whoever changed it and however. So this is called right
after what changes one most often, and by housekeeping for all the rest: also for what a dead process left.
"""

from __future__ import annotations

from collections.abc import Collection

import structlog

from shared.domain.job import Job, JobKind
from shared.domain.standing import Standing
from shared.errors import SnapfleetError
from shared.operations.fleet import Fleet
from shared.operations.trust import chain

log = structlog.get_logger(__name__)

AT_ONCE = 1000


CHANGING = (JobKind.SNAPSHOT, JobKind.VERIFY, JobKind.RESTORE, JobKind.RESET)
"""Kinds of jobs that change the rows of snapshots which stay, and which: those that their requests name."""


def keep_after(fleet: Fleet, job: Job) -> None:
    """The same for what a job has changed, so that the end of each job does not cost with every snapshot there is."""
    if job.kind in CHANGING:
        named = (job.request.get(name) for name in ("snapshot_id", "safeguard_id"))
        keep(fleet, job.database, only=[str(id_) for id_ in named if id_ is not None])


def keep(fleet: Fleet, database: str | None = None, *, only: Collection[str] | None = None) -> None:
    """Write the standing of every snapshot whose row has changed since, of one database or of all, or of these.

    Never fails: what cannot be written now is written by the next call. Where others sign what this process
    cannot, it leaves all of it to them.
    """
    if fleet.repository.signing.leaves_writing:
        return
    try:
        with fleet.catalog.singly() as tx:
            marks = fleet.repository.marks
            unwritten = tx.standings.unwritten(database, limit=AT_ONCE, marks=marks, only=only)
        chain.keep(fleet, sorted({name for _, name in unwritten}))
        for snapshot_id, _ in unwritten:
            write(fleet, snapshot_id)
    except SnapfleetError as exc:
        log.warning("standing_not_written", database=database, code=exc.code)


def keep_one(fleet: Fleet, snapshot_id: str) -> None:
    """The same for one snapshot, whose row has just been changed: nobody who waits pays for all the others."""
    try:
        write(fleet, snapshot_id)
    except SnapfleetError as exc:
        log.warning("standing_not_written", snapshot=snapshot_id, code=exc.code)


def write(fleet: Fleet, snapshot_id: str) -> None:
    """Write one. Two writers of one snapshot take turns, so that the older never overwrites the newer.

    Not where others sign what this process cannot.
    """
    if fleet.repository.signing.leaves_writing:
        return
    with fleet.catalog.transaction() as tx:
        unwritten = tx.standings.take(snapshot_id, marks=fleet.repository.marks)
        if unwritten is None:
            return
        snapshot = unwritten.snapshot
        fleet.repository.put_standing(snapshot.database, snapshot.id, Standing.of(snapshot))
        if not tx.standings.written(unwritten):
            # It is being deleted, and whoever does that may have been here already.
            fleet.repository.delete_standing(snapshot.database, snapshot.id)
