"""Requests that came over the event bus: each is answered once, however often it comes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.catalog.ledgers import CauseRow, InboxRow
from shared.catalog.mapping import table
from shared.domain.events import Cause

INBOX = table(InboxRow)
CAUSE = table(CauseRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request that was answered before."""

    cause: Cause
    digest: str
    entry: str
    error: Mapping[str, str | None] | None
    """Why it was not granted; None where it was."""


class Inbox:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def receive(self, cause: Cause, *, digest: str, entry: str) -> bool:
        """Note a request that is about to be answered; False where it was received before.

        Waits for whoever answers the same one at this moment.
        """
        row = upsert(INBOX).values(source=cause.source, event_id=cause.id, digest=digest, entry=entry)
        new = self._db.execute(row.on_conflict_do_nothing().returning(INBOX.c.source))
        return new.one_or_none() is not None

    def grant(self, cause: Cause, *, job_id: str | None) -> None:
        self._change(cause, job_id=job_id)

    def refuse(self, cause: Cause, error: Mapping[str, str | None]) -> None:
        self._change(cause, error=dict(error))

    def known(self, causes: Collection[Cause]) -> dict[Cause, Received]:
        """Those of these that were answered before."""
        if not causes:
            return {}
        keys = [(cause.source, cause.id) for cause in causes]
        query = select(INBOX).where(tuple_(INBOX.c.source, INBOX.c.event_id).in_(keys))
        found = (received(row) for row in self._db.execute(query))
        return {each.cause: each for each in found}

    def forget_refused(self, cause: Cause) -> bool:
        """Let a request that was not granted be asked again; False where there is none."""
        key = (INBOX.c.source == cause.source, INBOX.c.event_id == cause.id)
        return self._db.execute(delete(INBOX).where(*key, INBOX.c.error.is_not(None))).rowcount == 1

    def because_of(self, cause: Cause, job_ids: Iterable[str]) -> None:
        """Note what these jobs, which may not exist yet, are for."""
        rows = [{"job_id": each, "source": cause.source, "event_id": cause.id} for each in job_ids]
        self._db.execute(upsert(CAUSE).on_conflict_do_nothing(), rows)

    def trim(self, *, older_than: timedelta) -> int:
        """Forget old requests; how many. One that comes again by then is too old to be granted."""
        result = self._db.execute(delete(INBOX).where(INBOX.c.received_at < func.now() - older_than))
        return result.rowcount

    def _change(self, cause: Cause, **values: Any) -> None:
        key = (INBOX.c.source == cause.source, INBOX.c.event_id == cause.id)
        self._db.execute(update(INBOX).where(*key).values(**values))


def received(row: Row[Any]) -> Received:
    return Received(
        cause=Cause(source=row.source, id=row.event_id),
        digest=row.digest,
        entry=row.entry,
        error=row.error,
    )
