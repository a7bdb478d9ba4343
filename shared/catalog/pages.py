"""Lists in pages: each goes on right behind the last row of the one before, whatever was added meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, literal_column, select, tuple_

from shared.catalog.mapping import table
from shared.catalog.models import JobRow, SnapshotRow
from shared.catalog.rows import JOB_FIELDS, to_job, to_snapshot
from shared.catalog.snapshots import HIDDEN, SHOWN
from shared.domain.job import Job, JobKind, JobState
from shared.domain.snapshot import Snapshot, SnapshotState

JOB = table(JobRow)
SNAPSHOT = table(SnapshotRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlace:
    """Where a job stands among the others."""

    created_at: datetime
    id: str

    @classmethod
    def of(cls, job: Job) -> JobPlace:
        return cls(created_at=job.created_at, id=job.id)


# Of a page's rows only what is shown: the findings of a check are long.
SHOWN_OF_JOB = tuple(
    literal_column("'{}'::jsonb", JOB.c.result.type).label(name) if name == "result" else JOB.c[name]
    for name in JOB_FIELDS
)


class Pages:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def snapshots(
        self,
        database: str,
        *,
        limit: int,
        state: SnapshotState | None = None,
        before: int | None = None,
    ) -> Sequence[Snapshot]:
        """The newest first, older than the sequence number `before`; hidden ones only by their state."""
        query = select(*SHOWN).where(SNAPSHOT.c.database == database)
        if state is None:
            query = query.where(SNAPSHOT.c.state.not_in(HIDDEN))
        else:
            query = query.where(SNAPSHOT.c.state == state)
        if before is not None:
            query = query.where(SNAPSHOT.c.sequence < before)
        query = query.order_by(SNAPSHOT.c.sequence.desc()).limit(limit)
        return [to_snapshot(row) for row in self._db.execute(query).mappings()]

    def newest_snapshots(self, *, limit: int) -> Sequence[Snapshot]:
        """Of all databases together, by when they were taken, or asked for; no hidden ones."""
        taken = func.coalesce(SNAPSHOT.c.taken_at, SNAPSHOT.c.created_at)
        query = select(*SHOWN).where(SNAPSHOT.c.state.not_in(HIDDEN)).order_by(taken.desc(), SNAPSHOT.c.id)
        query = query.limit(limit)
        return [to_snapshot(row) for row in self._db.execute(query).mappings()]

    def jobs(
        self,
        *,
        limit: int,
        databases: Collection[str] | None = None,
        kind: JobKind | None = None,
        state: JobState | None = None,
        before: JobPlace | None = None,
    ) -> Sequence[Job]:
        """The newest first, of these databases or of all, asked for before the one at `before`; without results."""
        query = select(*SHOWN_OF_JOB)
        if databases is not None:
            query = query.where(JOB.c.database.in_(sorted(databases)))
        if kind is not None:
            query = query.where(JOB.c.kind == kind)
        if state is not None:
            query = query.where(JOB.c.state == state)
        if before is not None:
            query = query.where(tuple_(JOB.c.created_at, JOB.c.id) < (before.created_at, before.id))
        query = query.order_by(JOB.c.created_at.desc(), JOB.c.id.desc()).limit(limit)
        return [to_job(row) for row in self._db.execute(query).mappings()]
