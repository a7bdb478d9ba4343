"""Databases as the catalog knows them, and the slots of their schedules."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.catalog.mapping import table
from shared.catalog.models import DatabaseRow, SlotRow

DATABASE = table(DatabaseRow)
SLOT = table(SlotRow)
KNOWN = (DATABASE.c.name, DATABASE.c.created_at, DATABASE.c.slots_until, DATABASE.c.blocked_why)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDatabase:
    name: str
    created_at: datetime
    slots_until: datetime
    blocked_why: str | None
    """Why no snapshot of it is taken until somebody decides; None where nothing is in the way."""


class Schedules:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def know(self, names: Collection[str]) -> None:
        """Make sure that every configured database has its row; its slots count from now on."""
        rows = [{"name": name} for name in sorted(names)]
        self._db.execute(upsert(DATABASE).on_conflict_do_nothing(), rows)

    def lock(self, name: str) -> KnownDatabase:
        """One database's row, locked until this transaction ends: two ticks take turns."""
        query = select(*KNOWN)
        row = self._db.execute(query.where(DATABASE.c.name == name).with_for_update()).mappings().one()
        return KnownDatabase(**row)

    def known_since(self, name: str) -> datetime | None:
        """When this database was first seen here; None where nobody has ticked or asked since it is declared."""
        query = select(DATABASE.c.created_at).where(DATABASE.c.name == name)
        return self._db.execute(query).scalar_one_or_none()

    def block(self, name: str, *, why: str) -> None:
        """Let nothing take a snapshot of this database until `unblock`."""
        change = update(DATABASE).where(DATABASE.c.name == name)
        self._db.execute(change.values(blocked_at=func.now(), blocked_why=why))

    def unblock(self, name: str) -> bool:
        """False where it was not blocked."""
        change = update(DATABASE).where(DATABASE.c.name == name, DATABASE.c.blocked_at.is_not(None))
        return self._db.execute(change.values(blocked_at=None, blocked_why=None)).rowcount == 1

    def blocked(self, name: str) -> str | None:
        """Why it is blocked; None where it is not."""
        query = select(DATABASE.c.blocked_why).where(DATABASE.c.name == name)
        return self._db.execute(query).scalar_one_or_none()

    def make_slot(self, name: str, *, due_at: datetime, job_id: str) -> bool:
        """Give a slot its job; False when it was decided before."""
        row = upsert(SLOT).values(database=name, due_at=due_at, job_id=job_id)
        return self._db.execute(row.on_conflict_do_nothing()).rowcount == 1

    def miss_slots(self, name: str, slots: Iterable[datetime]) -> None:
        rows = [{"database": name, "due_at": due_at, "job_id": None} for due_at in slots]
        if rows:
            self._db.execute(upsert(SLOT).on_conflict_do_nothing(), rows)

    def decided_until(self, name: str, moment: datetime) -> None:
        change = update(DATABASE).where(DATABASE.c.name == name)
        self._db.execute(change.values(slots_until=func.greatest(DATABASE.c.slots_until, moment)))

    def missed(self, name: str) -> int:
        query = select(func.count()).where(SLOT.c.database == name, SLOT.c.job_id.is_(None))
        return int(self._db.execute(query).scalar_one())
