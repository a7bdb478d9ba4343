"""Emergency: put an empty database in the place of a broken one, which lies parked from then on.

    plan ─► create ─► swap ─► settle
            empty     names   undo window opens

Everything is done from beside the live database, by what the cluster's own catalogs say of it: so it works
where nobody can connect to it any more. What takes its place has its owner, grants, comment, settings,
encoding and locale. One connection limit is not taken over: none at all, which would lock everybody out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from shared import failpoints
from shared.domain.access import Actor
from shared.domain.job import Job, JobKind, NewJob
from shared.domain.manifest import Properties, Source, parse, plain
from shared.errors import Busy, NotFound, Refused
from shared.operations.databases import preflight, side, source, ties
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests
from shared.operations.jobs.requests import Accepted
from shared.operations.jobs.saga import Outcome, StepActions, StepRun
from shared.operations.restores import swapping
from shared.postgres import bonds, databases, inspection
from shared.postgres.bonds import SessionGroup
from shared.postgres.session import Session

APPLICATION = "snapfleet:reset"
UNLIMITED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetPreview:
    """What a reset would do."""

    database: str
    where: str
    sessions: tuple[SessionGroup, ...]
    tied: tuple[str, ...]
    """Slots and subscriptions, which stay with the parked database."""
    stopped: tuple[Job, ...]
    """Jobs that are asked to end first."""
    parked_name: str
    parked_until: datetime


def look(fleet: Fleet, database: str, *, job_id: str) -> ResetPreview:
    """Raises Refused or NotFound where it could not be done."""
    dsn = fleet.dsn(database)
    with source.maintenance(dsn, APPLICATION) as session:
        refuse(fleet, session, dsn.dbname)
        tied = bonds.of(session, dsn.dbname)
        sessions = bonds.sessions(session, dsn.dbname)
    with fleet.catalog.transaction() as tx:
        now = tx.jobs.now()
        ahead = tx.jobs.ahead(database)
    return ResetPreview(
        database=database,
        where=dsn.where,
        sessions=sessions,
        tied=(*tied.slots, *tied.subscriptions),
        stopped=tuple(ahead),
        parked_name=databases.parked_name(job_id),
        parked_until=now + fleet.database(database).undo_window,
    )


def refuse(fleet: Fleet, session: Session, name: str) -> None:
    """All that a swap needs, and no more: in an emergency nothing else stands in its way."""
    if databases.oid_of(session, name) is None:
        raise NotFound(
            f"there is no database {name!r} to reset",
            code="database_missing",
            hint="restore it from a snapshot: snapfleet restore",
        )
    source.refuse_catalog_target(fleet, session, name)
    ties.refuse_prepared(session, name)
    preflight.refuse_without_rights(session, name)


def clear_the_way(fleet: Fleet, jobs: Sequence[Job], *, by: Actor) -> None:
    """Ask jobs to end; what they began is undone. The fence holds: a reset begins when they are gone."""
    for job in jobs:
        # One that has ended by now, rolls back anyway, or is past its swap needs no asking.
        with suppress(Refused, Busy):
            requests.cancel(fleet, job.id, by=by)


def submit(fleet: Fleet, database: str, *, job_id: str, idempotency_key: str, by: Actor) -> Accepted:
    return requests.submit(
        fleet,
        NewJob(id=job_id, kind=JobKind.RESET, database=database, request={}, idempotency_key=idempotency_key),
        by=by,
    )


def plan(run: StepRun) -> Outcome:
    dsn = run.fleet.dsn(run.job.database)
    with source.maintenance(dsn, run.name) as session:
        refuse(run.fleet, session, dsn.dbname)
    return Outcome(result={"target": dsn.dbname})


def create(run: StepRun) -> Outcome:
    """An empty database with all that belongs to the live one but its content. A second run starts over."""
    dsn = run.fleet.dsn(run.job.database)
    made = databases.side_name(run.job.id, run.job.epoch)
    with source.taken_over(dsn, run.name) as session:
        like = inspection.source(session, tool_version="", name=dsn.dbname)
        properties = reachable(inspection.properties(session, dsn.dbname))
        run.record(side=made, properties=plain(properties, Properties), like=plain(like, Source))
        failpoints.reach("reset.intended")
        for leftover in databases.side_databases(session, run.job.id):
            run.check()
            source.drop(dsn, session, leftover)
        run.check()
        databases.create(session, made, like=like, owner=properties.owner)
        failpoints.reach("reset.created")
        databases.rehearse(session, made, properties)
    return Outcome()


def reachable(properties: Properties) -> Properties:
    """With a connection limit that lets somebody in."""
    if properties.connection_limit == 0:
        return replace(properties, connection_limit=UNLIMITED)
    return properties


def swap(run: StepRun) -> Outcome:
    properties = parse(run.data("create")["properties"], Properties)
    return swapping.swap(run, run.fleet.dsn(run.job.database), properties=properties)


def undo_swap(run: StepRun) -> None:
    swapping.swap_back(run, run.fleet.dsn(run.job.database))


def settle(run: StepRun) -> Outcome:
    swapping.refuse_unsettled(run, run.fleet.dsn(run.job.database))
    return Outcome()


STEPS = {
    (JobKind.RESET, "plan"): StepActions(do=plan),
    (JobKind.RESET, "create"): StepActions(do=create, undo=side.undo_create),
    (JobKind.RESET, "swap"): StepActions(do=swap, undo=undo_swap),
    (JobKind.RESET, "settle"): StepActions(do=settle),
}
