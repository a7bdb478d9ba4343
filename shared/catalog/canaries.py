"""The newest sign that beat, Redis and a worker work together. No job, so that none is mistaken for one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.catalog.mapping import table
from shared.catalog.models import CanaryRow

CANARY = table(CanaryRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A worker did what beat had asked for over Redis, by the catalog's clock."""

    sung_at: datetime
    worker: str


class Canaries:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def sing(self, queue: str, *, worker: str) -> None:
        """Note that a worker took a message from this queue now. Twice does no harm."""
        row = upsert(CANARY).values(queue=queue, worker=worker, sung_at=func.now())
        newest = {"sung_at": row.excluded.sung_at, "worker": row.excluded.worker}
        self._db.execute(row.on_conflict_do_update(index_elements=[CANARY.c.queue], set_=newest))

    def newest(self) -> Sign | None:
        """None before the first."""
        query = select(CANARY.c.sung_at, CANARY.c.worker).order_by(CANARY.c.sung_at.desc()).limit(1)
        row = self._db.execute(query).mappings().one_or_none()
        return Sign(**row) if row else None
