"""Which warm copies are of no use any more, and drop those: part of housekeeping."""

from __future__ import annotations

import structlog

from shared.catalog.catalog import Transaction
from shared.catalog.warm import WarmCopy
from shared.errors import SnapfleetError
from shared.operations.databases import source, warm
from shared.operations.fleet import Fleet
from shared.postgres import offers

log = structlog.get_logger(__name__)


def tidy(fleet: Fleet) -> None:
    """Drop those that are of no use; a server that does not answer is asked again next time."""
    with fleet.catalog.transaction() as tx:
        there = [(copy, uselessness(fleet, tx, copy)) for copy in tx.warm.there() if is_at_rest(tx, copy)]
    for copy, why in there:
        if copy.database not in fleet.databases:
            log.warning("warm_copy_unknown", database=copy.database, name=copy.name)
            continue
        try:
            said = why or trouble(fleet, copy)
            if said is not None and warm.drop(fleet, copy):
                log.info("warm_copy_dropped", database=copy.database, name=copy.name, why=said)
        except SnapfleetError as exc:
            log.warning("warm_copy_not_dropped", database=copy.database, code=exc.code)


def is_at_rest(tx: Transaction, copy: WarmCopy) -> bool:
    """Whether neither the proof that makes it nor a restore that takes it is at work."""
    jobs = [tx.jobs.get(job_id) for job_id in (copy.job_id, copy.taken_by) if job_id is not None]
    return all(job is None or job.state.is_final for job in jobs)


def uselessness(fleet: Fleet, tx: Transaction, copy: WarmCopy) -> str | None:
    """Why it is to go, by what we know; None where it may stay."""
    if copy.taken_by is not None or copy.let_go_at is not None or copy.seal is None:
        return "nobody ends what was begun with it"
    if copy.database not in fleet.databases or not warm.is_possible(fleet, copy.database):
        return "it is not asked for"
    newest = tx.snapshots.newest_good(copy.database, verified=True)
    if newest is None or newest.id != copy.snapshot_id:
        return "its snapshot is not the newest verified one"
    return None


def trouble(fleet: Fleet, copy: WarmCopy) -> str | None:
    """The same by what its server says."""
    with fleet.catalog.transaction() as tx:
        snapshot = tx.snapshots.get(copy.snapshot_id)
    with source.maintenance(fleet.dsn(copy.database), warm.APPLICATION) as session:
        said = warm.doubted(fleet, session, copy)
        free_bytes = offers.free_bytes(session)
    if said:
        return "; ".join(said)
    if warm.is_scarce(free_bytes, (snapshot.raw_bytes if snapshot else None) or 0):
        return "no restore would fit beside it"
    return None
