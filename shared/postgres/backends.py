"""Sessions that say of themselves that they are a job's: `snapfleet:<job>:<epoch>`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.postgres.session import Session, as_logged_in, statement

NAMED = "^snapfleet:[0-9a-f]{8}-[0-9a-f]{4}:[0-9]+$"
"""Their names, as a regular expression of PostgreSQL: a job is known by the beginning of its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One session; `started_at` tells it from a later one of the same process id."""

    pid: int
    application_name: str
    started_at: datetime
    is_idle: bool
    """Between two statements, in a transaction or not."""

    @property
    def job(self) -> str:
        """The beginning of its job's id."""
        return self.application_name.split(":")[1]

    @property
    def epoch(self) -> int:
        return int(self.application_name.split(":")[2])


def of_jobs(session: Session) -> tuple[Backend, ...]:
    """Those in this cluster that our role may end."""
    with as_logged_in(session):
        rows = session.execute(statement("job_backends").encode(), {"named": NAMED}).fetchall()
    return tuple(Backend(**row) for row in rows)


def end_idle(session: Session, backend: Backend) -> None:
    """End this very session if it is still idle, and wait for that."""
    with as_logged_in(session):
        session.execute(
            "select pg_catalog.pg_terminate_backend(pid, 5000) from pg_catalog.pg_stat_activity"
            " where pid = %s and backend_start = %s and application_name = %s and starts_with(state, 'idle')",
            [backend.pid, backend.started_at, backend.application_name],
        )


def end_superseded(session: Session, application_name: str) -> None:
    """End the sessions of a job's former epochs, wherever in this cluster they are, and wait for that.

    A worker that was paused has left a transaction open, or a statement half sent, and does not know
    yet that it is superseded. The catalog refuses its epoch; here the end of its session does.
    `application_name` is ours: `snapfleet:<job>:<epoch>`.
    """
    job, _, epoch = application_name.rpartition(":")
    with as_logged_in(session):
        session.execute(statement("end_superseded").encode(), {"job": f"{job}:", "epoch": epoch})
