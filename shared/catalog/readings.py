"""Readings of all that is stored of a snapshot: while one goes on its snapshot stays, afterwards what it showed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from shared.catalog.mapping import table
from shared.catalog.models import ReadingRow, SnapshotRow
from shared.domain.snapshot import SnapshotState

READING = table(ReadingRow)
SNAPSHOT = table(SnapshotRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One that has ended. `differences` says of each object that is not as it was stored what is wrong with it."""

    id: str
    snapshot_id: str
    ended_at: datetime
    objects: int
    differences: tuple[str, ...]


class Readings:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def begin(self, reading_id: str, *, snapshot_id: str, ttl: timedelta) -> bool:
        """Keep a sealed snapshot from retention for `ttl`, or until the reading ends; False if it is not there."""
        if not self.is_there(snapshot_id):
            return False
        values = {"id": reading_id, "snapshot_id": snapshot_id, "held_until": func.now() + ttl}
        self._db.execute(insert(READING).values(values))
        return True

    def renew(self, reading_id: str, *, ttl: timedelta) -> None:
        change = update(READING).where(READING.c.id == reading_id, READING.c.ended_at.is_(None))
        self._db.execute(change.values(held_until=func.now() + ttl))

    def is_there(self, snapshot_id: str) -> bool:
        """Whether the snapshot is sealed. It stays so until this transaction ends."""
        query = select(SNAPSHOT.c.id).where(
            SNAPSHOT.c.id == snapshot_id, SNAPSHOT.c.state == SnapshotState.SEALED
        )
        return self._db.execute(query.with_for_update()).one_or_none() is not None

    def end(self, reading_id: str, *, objects: int, differences: Sequence[str]) -> None:
        """Keep what it showed."""
        change = update(READING).where(READING.c.id == reading_id)
        self._db.execute(change.values(ended_at=func.now(), objects=objects, differences=list(differences)))

    def give_up(self, reading_id: str) -> None:
        """One that shows nothing; one that has ended stays."""
        self._db.execute(delete(READING).where(READING.c.id == reading_id, READING.c.ended_at.is_(None)))

    def newest(self, snapshot_id: str) -> Reading | None:
        query = select(READING).where(READING.c.snapshot_id == snapshot_id, READING.c.ended_at.is_not(None))
        newest = query.order_by(READING.c.ended_at.desc()).limit(1)
        row = self._db.execute(newest).mappings().one_or_none()
        return to_reading(row) if row else None


def to_reading(row: RowMapping) -> Reading:
    values = {field.name: row[field.name] for field in fields(Reading)}
    return Reading(**values | {"id": str(row["id"]), "differences": tuple(row["differences"])})
