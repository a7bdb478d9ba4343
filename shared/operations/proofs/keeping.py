"""Keep what a proof has restored as the warm copy of its database, where that is asked for.

Whose it is stands in the catalog before it loses the name of a side database; what tells that it is untouched,
once it has its own. Cut off anywhere, the next run goes on, and an undo drops it.

    compare it alone ─► close ─► ours, says the catalog ─► rename ─► seal ─► older ones go
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import structlog

from shared import failpoints
from shared.catalog.catalog import Transaction
from shared.catalog.warm import WarmCopy
from shared.domain.job import JobKind
from shared.domain.manifest import Manifest
from shared.domain.proof import Digests
from shared.domain.warm import doubts
from shared.errors import Busy, Refused
from shared.operations.databases import source, warm
from shared.operations.jobs.saga import StepRun
from shared.operations.proofs import refreshing
from shared.postgres import databases, offers, seals
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected, scan_in_parallel

log = structlog.get_logger(__name__)

Record = Callable[[Transaction], None]


@contextmanager
def entered(run: StepRun, dsn: Dsn) -> Generator[Session]:
    """A session in the side database, to compare it. Of one that may be kept nobody else sees the inside from now on:
    what is proven is what is kept.
    """
    if run.job.kind is not JobKind.VERIFY or not warm.is_possible(run.fleet, run.job.database):
        with connected(dsn, application_name=run.name) as session:
            # Not in a closed one: before its minor releases of 2024 a server keeps its own workers out, too.
            scan_in_parallel(session)
            yield session
        return
    with source.maintenance(dsn, run.name) as beside:
        databases.allow(beside, dsn.dbname, allowed=True)  # a former attempt has closed it
        with connected(dsn, application_name=run.name) as session:
            alone = True
            try:
                seals.close(beside, dsn.dbname, check=run.check, but=session.info.backend_pid)
            except (Busy, Refused) as exc:
                alone = False
                not_kept(exc.message)
            run.record(alone=alone, asked=warm.asked(run.database))
            yield session


def keep(run: StepRun, manifest: Manifest) -> Record | None:
    """Make what this proof has restored the warm copy; what to write when the job ends. None where none is kept."""
    record = kept(run, manifest) if is_wanted(run, manifest) else None
    if record is None:
        discard(run)
    return record


def is_wanted(run: StepRun, manifest: Manifest) -> bool:
    """Of the newest snapshot that counts, compared as closely as its restore would, and with nobody else in it."""
    if not run.data("prove").get("alone"):
        return False
    choice = Digests(run.job.request.get("digests", Digests.SAMPLE))
    if choice is Digests.NONE and run.database.digests is not Digests.NONE:
        return False
    with run.fleet.catalog.transaction() as tx:
        newest = tx.snapshots.newest_good(run.job.database, verified=True)
    return warm.is_possible(run.fleet, run.job.database) and newest is not None and newest.id == manifest.id


def kept(run: StepRun, manifest: Manifest) -> Record | None:
    with source.taken_over(run.fleet.dsn(run.job.database), run.name) as session:
        side = str(run.data("create")["side"])
        oid = databases.oid_of(session, side)
        if oid is not None and not rename(run, session, side, oid, raw_bytes=manifest.raw_bytes):
            return None
        with run.fleet.catalog.transaction() as tx:
            copy = tx.warm.get(run.job.id)
        seal = None if copy is None else seals.read(session, copy.oid)
        if copy is None or seal is None or [*doubts(copy.first_seal, seal, renamed=True)]:
            not_kept("somebody was in it")
            return None
        size_bytes = databases.size_bytes(session, copy.name)
    drop_older(run, copy)
    return lambda tx: tx.warm.seal(run.job.id, seal, size_bytes=size_bytes)


def rename(run: StepRun, session: Session, side: str, oid: int, *, raw_bytes: int) -> bool:
    """Close the side database, and give it the name of a warm copy. False where that is not to be."""
    free_bytes = offers.free_bytes(session)
    if free_bytes is not None:
        free_bytes += warm.droppable_bytes(run.fleet, run.job.database)
    if warm.is_scarce(free_bytes, raw_bytes):
        not_kept("no other restore would fit beside it")
        return False
    try:
        seals.close(session, side, check=run.check)
    except (Busy, Refused) as exc:
        not_kept(exc.message)
        return False
    seal = seals.read(session, oid)
    if seal is None:
        return False
    name = databases.warm_name(run.job.id)
    # By what the next proof knows its rows, when it loads only what has changed.
    run.record(brought_by=refreshing.brought_by(run), whole_at=refreshing.whole_at(run))
    with run.fenced() as tx:
        tx.warm.keep(
            job_id=run.job.id,
            database=run.job.database,
            snapshot_id=str(run.job.request["snapshot_id"]),
            name=name,
            assertions=str(run.data("prove")["asked"]),
            seal=seal,
        )
    failpoints.reach("warm.owned")
    run.check()
    databases.rename(session, side, name)
    failpoints.reach("warm.renamed")
    return True


def not_kept(why: str) -> None:
    log.warning("warm_copy_not_kept", why=why)


def drop_older(run: StepRun, newer: WarmCopy) -> None:
    with run.fleet.catalog.transaction() as tx:
        others = [copy for copy in tx.warm.there(run.job.database) if copy.job_id != newer.job_id]
    for copy in others:
        run.check()
        warm.try_drop(run, copy)


def discard(run: StepRun) -> None:
    """Undo of it: the copy that this proof has made goes, if it has made one."""
    with run.fleet.catalog.transaction() as tx:
        copy = tx.warm.get(run.job.id)
    if copy is not None:
        warm.try_drop(run, copy)
