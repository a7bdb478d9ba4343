"""Events in the transaction that they tell of, numbered without a gap per database.

Each is kept until just before the commit, and all are written by one statement: so the rows of their databases, which
are locked for it, are locked for a moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, select, text, update

from shared.catalog.ledgers import OutboxRow
from shared.catalog.mapping import table
from shared.catalog.statements import statement
from shared.domain.events import Cause, Told

OUTBOX = table(OutboxRow)

# Any constant will do, as long as every release uses the same one.
RELAY_LOCK = 5_262_733_602

COLUMNS = ("databases", "types", "jobs", "data", "cause_sources", "cause_ids")


class Outbox:
    def __init__(self, connection: Connection) -> None:
        self._db = connection
        self._kept: list[tuple[Any, ...]] = []

    def add(
        self,
        type_: str,
        *,
        database: str | None,
        job_id: str | None,
        data: Mapping[str, Any],
        cause: Cause | None = None,
    ) -> None:
        """Have an event written if this transaction commits, in the order in which they are added.

        It happens for `cause`, or else for the request that its job is known to be for, if there is one.
        """
        source, id_ = (None, None) if cause is None else (cause.source, cause.id)
        self._kept.append((database, type_, job_id, json.dumps(dict(data)), source, id_))

    @property
    def is_kept(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._kept)

    def write(self) -> None:
        """Write what was added. Called by the catalog before the commit, and before anything is read here."""
        if not self._kept:
            return
        columns = zip(*self._kept, strict=True)
        self._db.execute(statement("add_events"), dict(zip(COLUMNS, map(list, columns), strict=True)))
        self._kept.clear()

    def lead(self) -> bool:
        """Whether this transaction is the only one that publishes, until it ends."""
        key = {"key": RELAY_LOCK}
        return bool(self._db.execute(text("select pg_try_advisory_xact_lock(:key)"), key).scalar_one())

    def unpublished(self, *, limit: int) -> Sequence[Told]:
        """The oldest that were not published yet; those of one database in its order, none left out."""
        self.write()
        query = select(OUTBOX).where(OUTBOX.c.published_at.is_(None)).order_by(OUTBOX.c.id).limit(limit)
        return [told(row) for row in self._db.execute(query).mappings()]

    def published(self, numbers: Sequence[int]) -> None:
        change = update(OUTBOX).where(OUTBOX.c.id.in_(numbers))
        self._db.execute(change.values(published_at=func.now()))

    def quiet_jobs(self, *, for_: timedelta) -> Sequence[tuple[str, Mapping[str, Any] | None]]:
        """Running jobs that nothing was told of for so long, each with what was told of its progress last."""
        self.write()
        found = self._db.execute(statement("quiet_jobs"), {"for_": for_})
        return [(str(row.id), row.last_told) for row in found]

    def told_of(self, jobs: Mapping[str, int], *, limit: int) -> Sequence[Told]:
        """What was told of each of these jobs after a sequence number of its database, in order."""
        self.write()
        values = {"jobs": list(jobs), "afters": list(jobs.values()), "limit": limit}
        return [told(row) for row in self._db.execute(statement("told_of"), values).mappings()]

    def is_waiting(self) -> bool:
        """Whether any is not published yet."""
        self.write()
        query = select(select(OUTBOX.c.id).where(OUTBOX.c.published_at.is_(None)).exists())
        return bool(self._db.execute(query).scalar_one())

    def waiting(self) -> int:
        """How many are not published yet."""
        self.write()
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
