"""Events in the transaction that they tell of, numbered without a gap per database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, update

from shared.catalog.models import DatabaseRow, OutboxRow, table

DATABASE = table(DatabaseRow)
OUTBOX = table(OutboxRow)


class Outbox:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(self, type_: str, *, database: str, job_id: str | None, data: Mapping[str, Any]) -> None:
        """Write one event; it is seen only if the caller's transaction commits."""
        number = (
            update(DATABASE)
            .where(DATABASE.c.name == database)
            .values(event_sequence=DATABASE.c.event_sequence + 1)
            .returning(DATABASE.c.event_sequence)
        )
        sequence = self._db.execute(number).scalar_one()
        self._db.execute(
            insert(OUTBOX).values(
                database=database, sequence=sequence, type=type_, job_id=job_id, data=dict(data)
            )
        )

    def trim(self, *, older_than: timedelta) -> int:
        """Drop old events, so that the table stays bounded; how many went."""
        result = self._db.execute(delete(OUTBOX).where(OUTBOX.c.created_at < func.now() - older_than))
        return result.rowcount
