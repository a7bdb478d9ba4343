"""Databases that a swap parked: what an undo can bring back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Text, cast, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.catalog.mapping import table
from shared.catalog.models import JobRow, ParkedRow
from shared.domain.job import FINAL, JobKind

PARKED = table(ParkedRow)
JOB = table(JobRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """`job_id` is the restore that parked it. `parked_oid` tells the database apart under any name."""

    job_id: str
    database: str
    parked_name: str
    live_name: str
    parked_oid: int
    expires_at: datetime
    dropped_at: datetime | None


class ParkedDatabases:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def park(
        self,
        *,
        job_id: str,
        database: str,
        parked_name: str,
        live_name: str,
        parked_oid: int,
        window: timedelta,
    ) -> None:
        """Note what lies parked under a name; an undo calls it again with the other one."""
        values: dict[str, Any] = {
            "parked_oid": parked_oid,
            "expires_at": func.now() + window,
            "dropped_at": None,
        }
        row = upsert(PARKED).values(
            job_id=job_id,
            database=database,
            parked_name=parked_name,
            live_name=live_name,
            **values,
        )
        self._db.execute(row.on_conflict_do_update(index_elements=["job_id"], set_=values))

    def get(self, job_id: str) -> Parked | None:
        row = self._db.execute(select(PARKED).where(PARKED.c.job_id == job_id)).mappings().one_or_none()
        return Parked(**row) if row else None

    def expired(self) -> Sequence[Parked]:
        """Those whose undo window has passed, but for the ones that an accepted undo waits for."""
        wanted = select(JOB.c.request["restore_job"].astext).where(
            JOB.c.kind == JobKind.UNDO, JOB.c.state.not_in(list(FINAL))
        )
        query = select(PARKED).where(PARKED.c.dropped_at.is_(None), PARKED.c.expires_at < func.now())
        query = query.where(cast(PARKED.c.job_id, Text).not_in(wanted))
        return [Parked(**row) for row in self._db.execute(query).mappings()]

    def dropped(self, job_id: str) -> None:
        self._db.execute(update(PARKED).where(PARKED.c.job_id == job_id).values(dropped_at=func.now()))
