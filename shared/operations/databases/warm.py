"""The warm copy of a database: what its newest proof has restored, kept so that a restore can swap it in.

    proof:    close ─► ours, says the catalog ─► rename ─► seal ─► older ones go
    restore:  take ─► is it what was sealed? ─► rename to a side database ─► swap
                                       └─ any doubt: it goes, and the restore builds its own

It is no backup: whatever stands in its way, it goes. It lies on the live database's server, where nobody can log
in to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import wraps

import structlog

from shared import failpoints
from shared.catalog.warm import WarmCopy
from shared.domain.database import Database
from shared.domain.warm import doubts
from shared.errors import SnapfleetError, Transient
from shared.operations.databases import source
from shared.operations.databases.requirements import ROOM_FOR_INDEXES
from shared.operations.fleet import Fleet
from shared.operations.jobs.lease import LeaseLost, Stopped
from shared.operations.jobs.saga import Outcome, StepRun
from shared.postgres import databases, offers, seals
from shared.postgres.session import Session

log = structlog.get_logger(__name__)

APPLICATION = "snapfleet:warm"


def is_possible(fleet: Fleet, database: str) -> bool:
    """Whether its proofs leave something that could be swapped in: on its own server, made by the same role."""
    own, proving = fleet.dsn(database), fleet.verify_dsn(database)
    same = (own.host, own.port, own.user) == (proving.host, proving.port, proving.user)
    return fleet.database(database).warm and same


def asked(database: Database) -> str:
    """A hash of the operator's own queries: a copy that was proven by others is not proven."""
    said = "".join(f"{each.name}\0{each.sql}\0" for each in database.assertions)
    return hashlib.sha256(said.encode()).hexdigest()


def ready(
    fleet: Fleet, session: Session, database: str, snapshot_id: str, *, by: str | None
) -> WarmCopy | None:
    """The warm copy of a snapshot, where the restore `by` could swap it in: nothing about it is in doubt."""
    if not is_possible(fleet, database):
        return None
    with fleet.catalog.transaction() as tx:
        copy = tx.warm.usable(database, snapshot_id, by=by)
    return None if copy is None or doubted(fleet, session, copy) else copy


def doubted(fleet: Fleet, session: Session, copy: WarmCopy, *, renamed: bool = False) -> Sequence[str]:
    """What there is against it, in words. `renamed` is by the restore that has taken it."""
    now = seals.read(session, copy.oid)
    if now is None or copy.seal is None:
        return ["it is gone"]
    said = [*doubts(copy.seal, now, renamed=renamed)]
    if not renamed and databases.name_of(session, copy.oid) != copy.name:
        said.append("it has another name")
    if copy.assertions != asked(fleet.database(copy.database)):
        said.append("it was proven by other assertions")
    return said


def drop(fleet: Fleet, copy: WarmCopy, *, application_name: str = APPLICATION, by: str | None = None) -> bool:
    """Drop it, unless a restore other than `by` relies on it; whether it is gone.

    What has another name by now, or lies on another server, is only forgotten.
    """
    with fleet.catalog.transaction() as tx:
        if not tx.warm.let_go(copy.job_id, by=by):
            return False
    failpoints.reach("warm.let_go")
    dsn = fleet.dsn(copy.database)
    with source.maintenance(dsn, application_name) as session:
        seal = seals.read(session, copy.oid)
        is_it = seal is not None and seal.system_identifier == copy.system_identifier
        if is_it and databases.oid_of(session, copy.name) == copy.oid:
            source.drop(dsn, session, copy.name)
            failpoints.reach("warm.dropped")
    with fleet.catalog.transaction() as tx:
        tx.warm.dropped(copy.job_id)
    return True


def try_drop(run: StepRun, copy: WarmCopy, *, by: str | None = None) -> bool:
    """The same for a job, which no copy may stop: one that cannot be dropped is left to housekeeping, and nobody
    takes it any more.
    """
    try:
        return drop(run.fleet, copy, application_name=run.name, by=by)
    except (LeaseLost, Stopped):
        raise
    except SnapfleetError as exc:
        log.warning("warm_copy_not_dropped", name=copy.name, code=exc.code, why=exc.message)
        return False


def droppable_bytes(fleet: Fleet, database: str) -> int:
    """What its warm copies take that no restore relies on. Not counted: what was to be dropped, and still is there."""
    with fleet.catalog.transaction() as tx:
        there = tx.warm.there(database)
    return sum(copy.size_bytes or 0 for copy in there if copy.taken_by is None and copy.let_go_at is None)


def is_scarce(free_bytes: int | None, raw_bytes: int) -> bool:
    """Whether a restore of so many bytes may not fit. No where nobody can tell what is free."""
    return free_bytes is not None and free_bytes < raw_bytes * ROOM_FOR_INDEXES


def make_room(run: StepRun, *, raw_bytes: int) -> None:
    """Before so much is built: drop the warm copy where both may not fit, by what can be known."""
    if not droppable_bytes(run.fleet, run.job.database):
        return
    with source.maintenance(run.fleet.dsn(run.job.database), run.name) as session:
        free_bytes = offers.free_bytes(session)
    if is_scarce(free_bytes, raw_bytes):
        give_way(run)


def give_way(run: StepRun) -> None:
    """Drop every warm copy of this job's database that no restore relies on."""
    with run.fleet.catalog.transaction() as tx:
        there = tx.warm.there(run.job.database)
    for copy in there:
        run.check()
        if copy.job_id != run.job.id and try_drop(run, copy):
            log.warning("warm_copy_gave_way", name=copy.name)


def yielding(do: Callable[[StepRun], Outcome]) -> Callable[[StepRun], Outcome]:
    """A step that fills the server's disk: where it is full the warm copy goes, and the next attempt has its room."""

    @wraps(do)
    def act(run: StepRun) -> Outcome:
        try:
            return do(run)
        except Transient as exc:
            is_ours = isinstance(exc.__cause__, OSError)  # the worker's own disk
            if exc.code == "disk_full" and not is_ours:
                give_way(run)
            raise

    return act
