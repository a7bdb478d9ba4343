"""Fill a database that is absent or empty from its newest proven snapshot: before a service starts.

    look ─► in use: nothing is done
       └──► absent or empty ─► block ─► choose ─► ask for a restore that may replace nothing ─► unblock
                                          └─ there is no snapshot at all: unblock, and say so

Whatever dies in between leaves the database blocked: no snapshot of an empty one is taken until a later
start ends well, or somebody decides. Any number of nodes that start at once ask for one and the same job.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.domain.access import Actor
from shared.domain.job import Job, JobKind, NewJob
from shared.domain.proof import VerifyPolicy
from shared.domain.snapshot import Reason, Snapshot, SnapshotState
from shared.errors import NotFound, Refused
from shared.operations.fleet import Fleet
from shared.operations.jobs import blocking, requests
from shared.operations.jobs.requests import Accepted
from shared.operations.restores import emptiness
from shared.operations.restores.emptiness import WHY_BLOCKED, Standing

NOTHING = "no_snapshot"
"""The code of the error that says that there never was a snapshot."""

APPLICATION = "snapfleet:bootstrap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What was found, and the job that fills it; None where it is in use and stays as it is."""

    found: Standing
    snapshot: Snapshot | None = None
    accepted: Accepted | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was found, and the job that would fill it; None where it is in use and stays as it is."""

    found: Standing
    snapshot: Snapshot | None = None
    new: NewJob | None = None


def begin(fleet: Fleet, database: str, *, job_id: str, as_superuser: bool, by: Actor) -> Begun:
    """Look, and ask for the restore if there is nothing to replace. Never asks for a second one of its kind.

    Raises what `look` raises.
    """
    seen = look(fleet, database, job_id=job_id, as_superuser=as_superuser, by=by)
    accepted = None if seen.new is None else requests.submit(fleet, seen.new, by=by)
    return Begun(found=seen.found, snapshot=seen.snapshot, accepted=accepted)


def look(fleet: Fleet, database: str, *, job_id: str, as_superuser: bool, by: Actor) -> Wanted:
    """Look whether there is anything to replace. Where there is not the database is blocked from here on.

    Raises Unreachable where the server does not answer, NotFound(no_snapshot) where no snapshot was ever
    sealed, and Refused where there are some, but none that may be relied on without anybody looking.
    """
    found = emptiness.look(fleet.dsn(database), application_name=APPLICATION)
    if found.holds is not None:
        return Wanted(found=found)
    if blocking.block(fleet, database, why=WHY_BLOCKED, by=by):
        # Another node's restore may have ended, and unblocked it, between our look and our block.
        found = emptiness.look(fleet.dsn(database), application_name=APPLICATION)
        if found.holds is not None:
            with fleet.catalog.transaction() as tx:
                blocking.lift(tx, database, why=WHY_BLOCKED, by=by)
            return Wanted(found=found)
    chosen = choose(fleet, database, by=by)
    new = NewJob(
        id=job_id,
        kind=JobKind.RESTORE,
        database=database,
        request=requests.restore_request(snapshot_id=chosen.id, as_superuser=as_superuser)
        | {"if_empty": True},
        idempotency_key=key_of(fleet, database, found, chosen),
    )
    return Wanted(found=found, snapshot=chosen, new=new)


def choose(fleet: Fleet, database: str, *, by: Actor) -> Snapshot:
    """The newest snapshot that may be relied on without anybody looking. Unblocks where there is none at all."""
    with fleet.catalog.transaction() as tx:
        sealed = [s for s in tx.snapshots.listing(database=database) if s.state is SnapshotState.SEALED]
    unproven_too = fleet.database(database).verify is VerifyPolicy.NEVER
    chosen = newest_reliable(sealed, unproven_too=unproven_too)
    if chosen is not None:
        return chosen
    if sealed:
        raise Refused(
            f"the newest snapshot of {database}, {sealed[0].id}, is {sealed[0].standing}, and none is verified",
            code="not_verified",
            hint=f"prove it: snapfleet snapshot verify {sealed[0].id}; or take it as it is: "
            f"snapfleet restore {database} --snapshot {sealed[0].id}",
        )
    unknown = fleet.repository.first_snapshot(database)
    if unknown is not None:
        raise Refused(
            f"the repository holds snapshots of {database} that the catalog does not know, such as {unknown}",
            code="catalog_behind",
            hint="snapfleet catalog rebuild",
        )
    with fleet.catalog.transaction() as tx:
        blocking.lift(tx, database, why=WHY_BLOCKED, by=by)
    raise NotFound(
        f"there is no snapshot of {database}",
        code=NOTHING,
        hint="to start with an empty database: --allow-fresh",
    )


def newest_reliable(newest_first: Iterable[Snapshot], *, unproven_too: bool) -> Snapshot | None:
    """Verified, not suspect, and not of a database that was being replaced."""
    return next(
        (
            s
            for s in newest_first
            if (s.is_verified or (unproven_too and s.refuted_at is None))
            and not s.is_suspect
            and s.reason is not Reason.SAFEGUARD
        ),
        None,
    )


def key_of(fleet: Fleet, database: str, found: Standing, chosen: Snapshot) -> str:
    """The same for all who find the same, until the job that they ask for has ended."""
    base = f"bootstrap:{database}:{found.oid or 'absent'}:{chosen.id}"
    number = 1
    with fleet.catalog.transaction() as tx:
        while (former := tx.jobs.by_key(f"{base}:{number}")) is not None and former.state.is_final:
            number += 1
    return f"{base}:{number}"


def found_in_use(job: Job) -> bool:
    """Whether a job ended because somebody else was quicker: then look again."""
    return job.error is not None and job.error.get("code") == "not_empty"
