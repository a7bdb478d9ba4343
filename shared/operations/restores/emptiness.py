"""A restore that may replace nothing: into a database that is absent or empty, whenever one looks.

It is looked at before the job is asked for, in its first step, and a last time when nobody else can be in the
database any more. What has been put there in between stays.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.catalog.catalog import Transaction
from shared.domain.job import Job
from shared.errors import Refused
from shared.operations.databases import source
from shared.operations.jobs import blocking
from shared.operations.jobs.saga import StepRun
from shared.operations.trust import auditing
from shared.postgres import databases, inspection
from shared.postgres.databases import LastLook
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected

WHY_BLOCKED = "it was found absent or empty at a start, and no restore into it has ended well since"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What there is under the name of a database: its oid, and something in it, by name. None for nothing."""

    oid: int | None
    holds: str | None


def look(dsn: Dsn, *, application_name: str) -> Standing:
    """Raises Unreachable or Refused where it cannot be told."""
    with source.maintenance(dsn, application_name) as session:
        if databases.oid_of(session, dsn.dbname) is None:
            return Standing(oid=None, holds=None)
    with connected(dsn, application_name=application_name) as session:
        return standing(session)


def standing(session: Session) -> Standing:
    return Standing(oid=inspection.identity(session).oid, holds=inspection.first_content(session))


def refuse_in_use(run: StepRun) -> None:
    """For a job that may replace nothing: Refused where there is something."""
    if is_asked_for(run.job):
        found = look(run.fleet.dsn(run.job.database), application_name=run.name)
        if found.holds is not None:
            raise in_use(run.job.database, found.holds)


def last_look(run: StepRun, *, live_oid: int | None) -> LastLook | None:
    """What the swap of such a job asks: still the database with this oid, and still empty."""
    if not is_asked_for(run.job):
        return None

    def judge(session: Session) -> None:
        found = standing(session)
        if found.oid != live_oid or found.holds is not None:
            raise in_use(run.job.database, found.holds or "another database under its name")

    dsn = run.fleet.dsn(run.job.database)
    return LastLook(enter=lambda: connected(dsn, application_name=run.name), judge=judge)


def lift(tx: Transaction, job: Job) -> None:
    """The live database holds a snapshot, whoever asked for that: snapshots of it are good again."""
    if job.request.get("to") is None:
        blocking.lift(tx, job.database, why=WHY_BLOCKED, by=auditing.of_job(job.id))


def is_asked_for(job: Job) -> bool:
    return bool(job.request.get("if_empty"))


def in_use(database: str, holds: str) -> Refused:
    return Refused(
        f"{database} is not empty: it holds {holds}",
        code="not_empty",
        hint=f"to replace what is there: snapfleet restore {database}",
    )
