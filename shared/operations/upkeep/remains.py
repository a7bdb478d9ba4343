"""What jobs that have ended have left on a database's servers: databases, sessions, locks.

Each is looked at, then its job in the catalog, then the thing again: what was only just going is not told.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from shared.domain.findings import Finding, found
from shared.domain.job import Job, Lane
from shared.errors import Unreachable
from shared.operations.fleet import Fleet
from shared.operations.jobs.saga import lock_of
from shared.postgres import backends, databases
from shared.postgres.backends import Backend
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session

OF_A_JOB = re.compile(rf"{databases.OURS}(side|parked|warm)_([0-9a-f]{{8}})([0-9a-f]{{4}})(?:_|$)")

CLOSING_SECONDS = 1.0
"""Whoever ends a job closes its sessions and lets go of its lock within this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """Findings, and of those that may be fixed the things themselves, by their subjects."""

    findings: tuple[Finding, ...]
    side_databases: tuple[str, ...] = ()
    backends: tuple[Backend, ...] = ()


def servers(fleet: Fleet, database: str) -> tuple[Dsn, ...]:
    """Where its jobs work: beside the live database, and where it is proven."""
    own, proving = fleet.dsn(database), fleet.verify_dsn(database)
    same = (own.host, own.port, own.user) == (proving.host, proving.port, proving.user)
    return (own,) if same else (own, proving)


def on_server(fleet: Fleet, database: str, session: Session) -> Remains:
    """Of jobs of this database, on the server of this session; of unknown jobs all that is there."""
    sides, findings = [], list[Finding]()
    for name in databases.ours(session):
        told = of_database(fleet, database, session, name)
        if told is not None:
            findings.append(told)
            if told.fixable:
                sides.append(name)
    dead = tuple(dead_backends(fleet, database, session))
    findings += [told_of(backend) for backend in dead]
    return Remains(findings=tuple(findings), side_databases=tuple(sides), backends=dead)


def of_database(fleet: Fleet, database: str, session: Session, name: str) -> Finding | None:
    match = OF_A_JOB.match(name)
    if match is None:
        return None
    kind, job = match[1], job_like(fleet, f"{match[2]}-{match[3]}")
    if job is not None and job.database != database:
        return None
    if kind == "parked":
        return None if is_owned(fleet, job, name) else still_there(session, name, "parked_database")
    if kind == "warm" and job is not None and is_warm(fleet, job):
        return None
    if job is None:
        return still_there(session, name, "side_database_unknown")
    return still_there(session, name, "side_database", fixable=True) if job.state.is_final else None


def still_there(session: Session, name: str, code: str, *, fixable: bool = False) -> Finding | None:
    if databases.oid_of(session, name) is None:
        return None
    return found(code, name, f"database {name}", fixable=fixable)


def is_owned(fleet: Fleet, job: Job | None, name: str) -> bool:
    """Whether an undo would look for it; one that is only just being parked counts as well."""
    if job is None:
        return False
    with fleet.catalog.transaction() as tx:
        parked = tx.parked.get(job.id)
        undoing = tx.jobs.live(job.database) is not None
    return undoing or (parked is not None and parked.dropped_at is None and parked.parked_name == name)


def is_warm(fleet: Fleet, job: Job) -> bool:
    """Whether a restore, or housekeeping, would look for the copy that this proof has kept."""
    with fleet.catalog.transaction() as tx:
        return tx.warm.get(job.id) is not None


def dead_backends(fleet: Fleet, database: str, session: Session) -> Iterator[Backend]:
    suspects = [b for b in backends.of_jobs(session) if is_dead(job_like(fleet, b.job), b, database)]
    if suspects:
        time.sleep(CLOSING_SECONDS)
        there = {(b.pid, b.started_at): b for b in backends.of_jobs(session)}
        for suspect in suspects:
            now = there.get((suspect.pid, suspect.started_at))
            if now is not None:
                yield now


def is_dead(job: Job | None, backend: Backend, database: str) -> bool:
    if job is None or job.database != database:
        return False
    return job.state.is_final or backend.epoch < job.epoch


def told_of(backend: Backend) -> Finding:
    state = "idle" if backend.is_idle else "at work"
    what = f"session {backend.pid} ({backend.application_name}) is {state} since {backend.started_at:%F %T}"
    return found("backend", f"{backend.application_name} {backend.pid}", what, fixable=backend.is_idle)


def locks(fleet: Fleet, database: str) -> Iterator[Finding]:
    """Locks in Redis of jobs that have ended. Nothing is said while Redis does not answer."""
    try:
        held = {name: token for name in lock_names(database) if (token := dead_token(fleet, name))}
        if held:
            time.sleep(CLOSING_SECONDS)
        for name, token in held.items():
            if fleet.locks.holder(name) == token:
                yield found("lock", name, f"the lock {name} is held by {token}")
    except Unreachable:
        return


def lock_names(database: str) -> tuple[str, ...]:
    return tuple(lock_of(database, lane) for lane in Lane)


def dead_token(fleet: Fleet, name: str) -> str | None:
    token = fleet.locks.holder(name)
    if token is None:
        return None
    with fleet.catalog.transaction() as tx:
        job = tx.jobs.get(token.rpartition(":")[0])
    return token if job is not None and job.state.is_final else None


def job_like(fleet: Fleet, beginning: str) -> Job | None:
    """The job whose id begins so; None where the catalog knows none, or several."""
    with fleet.catalog.transaction() as tx:
        several = tx.jobs.find(beginning)
    return several[0] if len(several) == 1 else None
