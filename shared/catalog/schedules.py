"""Databases as the catalog knows them, and the slots of their schedules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from shared.catalog.mapping import is_among, table
from shared.catalog.models import DatabaseRow, SlotRow
from shared.catalog.statements import statement

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A due moment, and the job that was made for it; None where it is missed."""

    database: str
    due_at: datetime
    job_id: str | None


class Schedules:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def know(self, names: Collection[str]) -> None:
        """Make sure that every configured database has its row; its slots count from now on."""
        self._db.execute(statement("know_databases"), {"names": sorted(names)})

    def lock(self, name: str) -> KnownDatabase:
        """One database's row, locked until this transaction ends: two ticks take turns."""
        (found,) = self.lock_all([name])
        return found

    def lock_all(self, names: Collection[str]) -> Sequence[KnownDatabase]:
        """The rows of those that are known, locked until this transaction ends, in one order for all who do this."""
        query = (
            select(*KNOWN).where(is_among(DATABASE.c.name, names)).order_by(DATABASE.c.name).with_for_update()
        )
        return [KnownDatabase(**row) for row in self._db.execute(query).mappings()]

    def known(self, names: Collection[str]) -> Sequence[KnownDatabase]:
        """The same to look at, by name."""
        query = select(*KNOWN).where(is_among(DATABASE.c.name, names)).order_by(DATABASE.c.name)
        return [KnownDatabase(**row) for row in self._db.execute(query).mappings()]

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

    def decide(self, slots: Collection[Slot]) -> None:
        """Note what became of slots; what was decided before stays. The rows of their databases are locked."""
        if slots:
            columns = ("database", "due_at", "job_id")
            values = {f"{name}s": [getattr(slot, name) for slot in slots] for name in columns}
            self._db.execute(statement("decide_slots"), values)

    def missed(self, name: str) -> int:
        query = select(func.count()).where(SLOT.c.database == name, SLOT.c.job_id.is_(None))
        return int(self._db.execute(query).scalar_one())
