"""Events in the transaction that they tell of, numbered without a gap per database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, text, update

from shared.catalog.ledgers import CauseRow, OutboxRow
from shared.catalog.mapping import table
from shared.catalog.models import DatabaseRow
from shared.catalog.statements import statement
from shared.domain.events import Cause, Told

DATABASE = table(DatabaseRow)
OUTBOX = table(OutboxRow)
CAUSE = table(CauseRow)

# Any constant will do, as long as every release uses the same one.
RELAY_LOCK = 5_262_733_602


class Outbox:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(
        self,
        type_: str,
        *,
        database: str | None,
        job_id: str | None,
        data: Mapping[str, Any],
        cause: Cause | None = None,
    ) -> None:
        """Write one event; it is seen only if the caller's transaction commits.

        It happens for `cause`, or else for the request that its job is known to be for, if there is one.
        """
        sequence = None
        if database is not None:
            # Locks the database's row until the commit: so its events become visible in their order.
            number = (
                update(DATABASE)
                .where(DATABASE.c.name == database)
                .values(event_sequence=DATABASE.c.event_sequence + 1)
                .returning(DATABASE.c.event_sequence)
            )
            sequence = self._db.execute(number).scalar_one()
        causes: dict[str, Any] = {
            "cause_source": select(CAUSE.c.source)
            .where(CAUSE.c.job_id == bindparam("job"))
            .scalar_subquery(),
            "cause_id": select(CAUSE.c.event_id).where(CAUSE.c.job_id == bindparam("job")).scalar_subquery(),
        }
        if cause is not None:
            causes = {"cause_source": cause.source, "cause_id": cause.id}
        row = insert(OUTBOX).values(
            database=database, sequence=sequence, type=type_, job_id=job_id, data=dict(data), **causes
        )
        self._db.execute(row, {"job": job_id} if cause is None else {})

    def lead(self) -> bool:
        """Whether this transaction is the only one that publishes, until it ends."""
        key = {"key": RELAY_LOCK}
        return bool(self._db.execute(text("select pg_try_advisory_xact_lock(:key)"), key).scalar_one())

    def unpublished(self, *, limit: int) -> Sequence[Told]:
        """The oldest that were not published yet; those of one database in its order, none left out."""
        query = select(OUTBOX).where(OUTBOX.c.published_at.is_(None)).order_by(OUTBOX.c.id).limit(limit)
        return [told(row) for row in self._db.execute(query).mappings()]

    def published(self, numbers: Sequence[int]) -> None:
        change = update(OUTBOX).where(OUTBOX.c.id.in_(numbers))
        self._db.execute(change.values(published_at=func.now()))

    def quiet_jobs(self, *, for_: timedelta) -> Sequence[tuple[str, Mapping[str, Any] | None]]:
        """Running jobs that nothing was told of for so long, each with what was told of its progress last."""
        found = self._db.execute(statement("quiet_jobs"), {"for_": for_})
        return [(str(row.id), row.last_told) for row in found]

    def told_of(self, jobs: Mapping[str, int], *, limit: int) -> Sequence[Told]:
        """What was told of each of these jobs after a sequence number of its database, in order."""
        values = {"jobs": list(jobs), "afters": list(jobs.values()), "limit": limit}
        return [told(row) for row in self._db.execute(statement("told_of"), values).mappings()]

    def waiting(self) -> int:
        """How many are not published yet."""
        query = select(func.count()).where(OUTBOX.c.published_at.is_(None))
        return int(self._db.execute(query).scalar_one())

    def trim(self, *, older_than: timedelta) -> int:
        """Drop old events, so that the table stays bounded; how many went."""
        result = self._db.execute(delete(OUTBOX).where(OUTBOX.c.created_at < func.now() - older_than))
        return result.rowcount


def told(row: RowMapping) -> Told:
    cause_id = row["cause_id"]
    return Told(
        number=row["id"],
        id=str(row["event_id"]),
        type=row["type"],
        database=row["database"],
        sequence=row["sequence"],
        job_id=None if row["job_id"] is None else str(row["job_id"]),
        cause=None if cause_id is None else Cause(source=row["cause_source"], id=cause_id),
        data=row["data"],
        time=row["created_at"],
    )
