"""Notices that hooks are to be given: one row for each event and hook, until it is delivered.

outbox ──share out──► notice(hook, event) ──given──► gone
                          ▲       │ not taken: later, and later each time
                          └───────┘
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.catalog.ledgers import NoticeRow, OutboxRow
from shared.catalog.mapping import table
from shared.catalog.outbox import told
from shared.domain.events import Told

OUTBOX = table(OutboxRow)
NOTICE = table(NoticeRow)

FRESH_FOR = timedelta(days=1)
"""Older events are no news: to a hook that is new, and to one that could not be reached for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    told: Told
    attempts: int


class Notices:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def is_idle(self) -> bool:
        """Whether there is nothing to look at, and nothing to give."""
        unseen = select(OUTBOX.c.id).where(OUTBOX.c.noticed_at.is_(None)).exists()
        due = select(NOTICE.c.outbox_id).exists()
        return not self._db.execute(select(or_(unseen, due))).scalar_one()

    def share_out(self, hooks: Mapping[str, AbstractSet[str]], *, limit: int) -> int:
        """Note for each hook the events that it wants, of those that nobody looked at yet; how many were looked at.

        By rows, not by the newest number: a transaction that took a lower one may commit later.
        """
        query = select(OUTBOX.c.id, OUTBOX.c.type, OUTBOX.c.created_at > func.now() - FRESH_FOR)
        query = query.where(OUTBOX.c.noticed_at.is_(None)).order_by(OUTBOX.c.id).limit(limit)
        found = self._db.execute(query.with_for_update(skip_locked=True)).all()
        wanted = [
            {"hook": hook, "outbox_id": number}
            for number, type_, is_fresh in found
            for hook, types in hooks.items()
            if is_fresh and type_ in types
        ]
        if wanted:
            self._db.execute(upsert(NOTICE).on_conflict_do_nothing(), wanted)
        if found:
            seen = update(OUTBOX).where(OUTBOX.c.id.in_([row.id for row in found]))
            self._db.execute(seen.values(noticed_at=func.now()))
        return len(found)

    def lead(self, hook: str) -> bool:
        """Whether this transaction is the only one that gives this hook anything, until it ends."""
        lock = text("select pg_try_advisory_xact_lock(hashtextextended('snapfleet hook ' || :hook, 0))")
        return bool(self._db.execute(lock, {"hook": hook}).scalar_one())

    def oldest(self, hook: str) -> Due | None:
        """What the hook is to be given next; None where there is nothing, or its time has not come."""
        query = select(OUTBOX, NOTICE.c.attempts, (NOTICE.c.not_before <= func.now()).label("is_due"))
        query = query.join(NOTICE, NOTICE.c.outbox_id == OUTBOX.c.id).where(NOTICE.c.hook == hook)
        row = self._db.execute(query.order_by(OUTBOX.c.id).limit(1)).mappings().one_or_none()
        if row is None or not row["is_due"]:
            return None
        return Due(told=told(row), attempts=row["attempts"])

    def delivered(self, hook: str, number: int) -> None:
        self._db.execute(delete(NOTICE).where(NOTICE.c.hook == hook, NOTICE.c.outbox_id == number))

    def put_off(self, hook: str, number: int, *, by: timedelta) -> None:
        change = update(NOTICE).where(NOTICE.c.hook == hook, NOTICE.c.outbox_id == number)
        self._db.execute(change.values(attempts=NOTICE.c.attempts + 1, not_before=func.now() + by))

    def drop_stale(self) -> int:
        """Give up what could not be delivered for a day, and what is for hooks that are no more; how many."""
        stale = select(OUTBOX.c.id).where(OUTBOX.c.created_at < func.now() - FRESH_FOR)
        return self._db.execute(delete(NOTICE).where(NOTICE.c.outbox_id.in_(stale))).rowcount
