"""Warm copies: which database is one, of which snapshot, and who may have it.

    keep ─► seal ─► take ─► dropped       (it became the live one)
                └─► let go ─► dropped

Each move is one conditional update: of a restore that wants it and whoever drops it one is the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.catalog.mapping import table
from shared.catalog.models import JobRow, WarmRow
from shared.domain.job import FINAL, JobState
from shared.domain.manifest import parse, plain
from shared.domain.warm import Seal

WARM = table(WarmRow)
JOB = table(JobRow)
THERE = WARM.c.dropped_at.is_(None)
ENDED = select(JOB.c.id).where(JOB.c.state.in_(list(FINAL)))
PROVEN = select(JOB.c.id).where(JOB.c.state == JobState.SUCCEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmCopy:
    """`job_id` is the proof that made it, `taken_by` the restore that relies on it."""

    job_id: str
    database: str
    snapshot_id: str
    name: str
    oid: int
    system_identifier: str
    made_at: datetime
    assertions: str
    first_seal: Seal
    seal: Seal | None
    size_bytes: int | None
    taken_by: str | None
    let_go_at: datetime | None
    dropped_at: datetime | None


class WarmCopies:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def keep(
        self, *, job_id: str, database: str, snapshot_id: str, name: str, assertions: str, seal: Seal
    ) -> None:
        """It is ours from now on; said twice, the first one counts."""
        row = upsert(WARM).values(
            job_id=job_id,
            database=database,
            snapshot_id=snapshot_id,
            name=name,
            oid=seal.oid,
            system_identifier=seal.system_identifier,
            assertions=assertions,
            first_seal=plain(seal, Seal),
        )
        self._db.execute(row.on_conflict_do_nothing())

    def seal(self, job_id: str, seal: Seal, *, size_bytes: int) -> None:
        """From now on it may be taken, once its job has succeeded."""
        values = {"seal": plain(seal, Seal), "size_bytes": size_bytes}
        self._db.execute(update(WARM).where(WARM.c.job_id == job_id).values(values))

    def get(self, job_id: str) -> WarmCopy | None:
        """That of this proof, while it is there."""
        return self._one(select(WARM).where(THERE, WARM.c.job_id == job_id))

    def taken(self, by: str) -> WarmCopy | None:
        """That which this restore relies on, until it has become part of that. Of several the first one."""
        query = select(WARM).where(THERE, WARM.c.taken_by == by).order_by(WARM.c.made_at).limit(1)
        return self._one(query)

    def there(self, database: str | None = None) -> Sequence[WarmCopy]:
        """Every one that is not dropped, the newest first."""
        query = select(WARM).where(THERE).order_by(WARM.c.made_at.desc(), WARM.c.job_id)
        if database is not None:
            query = query.where(WARM.c.database == database)
        return [to_copy(row) for row in self._db.execute(query).mappings()]

    def usable(self, database: str, snapshot_id: str, *, by: str | None = None) -> WarmCopy | None:
        """One of this snapshot that nobody but `by` has taken: what it has taken before, or else the newest."""
        query = select(WARM).where(
            THERE,
            WARM.c.database == database,
            WARM.c.snapshot_id == snapshot_id,
            WARM.c.seal.is_not(None),
            WARM.c.let_go_at.is_(None),
            or_(WARM.c.taken_by.is_(None), WARM.c.taken_by == by),
            WARM.c.job_id.in_(PROVEN),
        )
        return self._one(query.order_by(WARM.c.taken_by.is_(None), WARM.c.made_at.desc()).limit(1))

    def take(self, job_id: str, *, by: str) -> bool:
        """Whether it is this restore's now, and nobody drops it."""
        query = update(WARM).where(
            THERE,
            WARM.c.job_id == job_id,
            WARM.c.let_go_at.is_(None),
            or_(WARM.c.taken_by.is_(None), WARM.c.taken_by == by),
        )
        return self._db.execute(query.values(taken_by=by)).rowcount == 1

    def give_back(self, by: str) -> None:
        """Untouched by this restore, it is anybody's again."""
        self._db.execute(update(WARM).where(THERE, WARM.c.taken_by == by).values(taken_by=None))

    def let_go(self, job_id: str, *, by: str | None = None) -> bool:
        """Whether it may be dropped now: no restore relies on it, or none but `by`. Said twice: still."""
        nobody = or_(WARM.c.taken_by.is_(None), WARM.c.taken_by.in_(ENDED), WARM.c.taken_by == by)
        query = update(WARM).where(THERE, WARM.c.job_id == job_id, nobody)
        moment = func.coalesce(WARM.c.let_go_at, func.now())
        return self._db.execute(query.values(let_go_at=moment)).rowcount == 1

    def dropped(self, job_id: str) -> None:
        """It is gone, or another's."""
        self._db.execute(update(WARM).where(THERE, WARM.c.job_id == job_id).values(dropped_at=func.now()))

    def _one(self, query: Select[Any]) -> WarmCopy | None:
        row = self._db.execute(query).mappings().one_or_none()
        return to_copy(row) if row else None


def to_copy(row: Mapping[Any, Any]) -> WarmCopy:
    sealed = row["seal"]
    seals = {"first_seal": parse(row["first_seal"], Seal), "seal": sealed and parse(sealed, Seal)}
    return WarmCopy(**{**row, **seals})
