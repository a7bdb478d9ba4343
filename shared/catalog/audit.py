"""The audit's entries, chained under one lock that is the last one its transaction takes.

    acts of a transaction ─► (its other statements) ─► lock ─► head ─► insert ─► commit

Each act is kept until just before the commit. So the lock, which all writers share, is held for one insert
and one commit, and nobody who holds it ever waits for another lock.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping, select, text

from shared.catalog.ledgers import AuditRow
from shared.catalog.mapping import table
from shared.catalog.statements import statement
from shared.domain import audit
from shared.domain.audit import Act, Entry, Head

AUDIT = table(AuditRow)

# Any constant will do, as long as every release uses the same one.
AUDIT_LOCK = 5_262_733_604

PATIENCE = timedelta(seconds=5)
"""A process that is paused while it holds the lock loses its transaction after so long: all wait for it."""


class Audit:
    def __init__(self, connection: Connection, *, patience: timedelta = PATIENCE) -> None:
        self._db = connection
        self._patience = patience
        self._acts: list[Act] = []

    def add(self, act: Act) -> None:
        """Have an act recorded if this transaction commits, in the order in which they are added."""
        self._acts.append(act)

    @property
    def is_kept(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._acts)

    def write(self) -> None:
        """Put them in their places in the chain. Called by the catalog, as the last thing before the commit."""
        if not self._acts:
            return
        head, at = self._lock()
        entries = list[Entry]()
        for act in self._acts:
            entries.append(audit.chained(act, after=head, at=at))
            head = entries[-1].head
        values = {name: [getattr(entry, name) for entry in entries] for name in COLUMNS}
        values["details"] = [json.dumps(details) for details in values["details"]]
        self._db.execute(statement("add_acts"), values)
        self._acts.clear()

    def _lock(self) -> tuple[Head, datetime]:
        """The chain's end, which stays that until the commit, and the moment."""
        values = {"key": AUDIT_LOCK, "patience": str(int(self._patience / timedelta(milliseconds=1)))}
        query = """select pg_advisory_xact_lock(:key),
                          set_config('idle_in_transaction_session_timeout', :patience, true)"""
        self._db.execute(text(query), values)
        # A statement of its own: this one sees what the former holder of the lock has committed.
        row = self._db.execute(statement("audit_head")).one()
        return Head(seq=row.seq, hash=row.hash), row.at

    def head(self) -> Head:
        row = self._db.execute(statement("audit_head")).one()
        return Head(seq=row.seq, hash=row.hash)

    def after(self, seq: int, *, limit: int) -> Sequence[Entry]:
        """The entries that follow, in their order."""
        query = select(AUDIT).where(AUDIT.c.seq > seq).order_by(AUDIT.c.seq).limit(limit)
        return [to_entry(row) for row in self._db.execute(query).mappings()]

    def listing(
        self,
        *,
        databases: Collection[str] | None = None,
        actor: str | None = None,
        action: str | None = None,
        job_id: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[Entry]:
        """The newest first. With `databases` only what was done to one of these; an action may be its beginning."""
        query = select(AUDIT).order_by(AUDIT.c.seq.desc()).limit(limit)
        if databases is not None:
            query = query.where(AUDIT.c.database.in_(list(databases)))
        if actor is not None:
            query = query.where(AUDIT.c.actor == actor)
        if action is not None:
            query = query.where(
                (AUDIT.c.action == action) | AUDIT.c.action.startswith(f"{action}.", autoescape=True)
            )
        if job_id is not None:
            query = query.where(AUDIT.c.job_id == job_id)
        if before is not None:
            query = query.where(AUDIT.c.seq < before)
        return [to_entry(row) for row in self._db.execute(query).mappings()]

    def unrecorded(self, *, limit: int) -> Sequence[tuple[str, str]]:
        """Jobs of which the audit lacks what it must have, with what: `requested` or `ended`."""
        found = self._db.execute(statement("unrecorded_jobs"), {"limit": limit})
        return [(str(row.id), row.lacks) for row in found]


COLUMNS = tuple(column.name for column in AUDIT.columns)


def to_entry(row: RowMapping) -> Entry:
    values = {name: row[name] for name in COLUMNS}
    return Entry(**values | {"job_id": None if row["job_id"] is None else str(row["job_id"])})
