"""The parts of a running copy or load, shared by its lead and its hands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, case, delete, func, insert, select, update

from shared.catalog.mapping import table
from shared.catalog.models import JobRow, PartRow
from shared.catalog.statements import statement

PART = table(PartRow)
JOB = table(JobRow)
NONE_DONE: Mapping[int, Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenPart:
    number: int
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsProgress:
    total: int
    done: int
    expected_bytes: int
    done_bytes: int
    covered_bytes: int
    """Of the expected ones: those of done parts in full, however many bytes they turned out to have."""

    @property
    def is_complete(self) -> bool:
        return self.done == self.total


class Parts:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def plan(
        self,
        job_id: str,
        *,
        epoch: int,
        parts: Sequence[tuple[int, Mapping[str, Any], int]],
        done: Mapping[int, Mapping[str, Any]] = NONE_DONE,
    ) -> None:
        """Replace a job's parts by these (number, spec, expected bytes): nobody has begun them.

        But for those in `done`, whose results are known.
        """
        self._db.execute(delete(PART).where(PART.c.job_id == job_id))
        rows = {
            number: {
                "job_id": job_id,
                "epoch": epoch,
                "number": number,
                "spec": dict(spec),
                "expected_bytes": expected,
            }
            for number, spec, expected in parts
        }
        new = [row for number, row in rows.items() if number not in done]
        known = [rows[number] | {"state": "done", "result": dict(result)} for number, result in done.items()]
        for those in (new, known):
            if those:
                self._db.execute(insert(PART), those)

    def adopt(self, job_id: str, *, epoch: int) -> int:
        """Go on under a new epoch with parts planned under an older one; how many there are."""
        change = update(PART).where(PART.c.job_id == job_id, PART.c.epoch < epoch)
        self._db.execute(change.values(epoch=epoch))
        count = select(func.count()).select_from(PART).where(PART.c.job_id == job_id)
        return int(self._db.execute(count).scalar_one())

    def take(self, job_id: str, *, epoch: int, owner: str, ttl: timedelta) -> TakenPart | None:
        values = {"job_id": job_id, "epoch": epoch, "owner": owner, "ttl": ttl}
        row = self._db.execute(statement("take_part"), values).mappings().one_or_none()
        return TakenPart(**row) if row else None

    def has_waiting(self, job_id: str, *, epoch: int) -> bool:
        """Whether there are some that nobody has begun, of a job that still runs under this epoch."""
        query = (
            select(PART.c.number)
            .join(JOB, JOB.c.id == PART.c.job_id)
            .where(PART.c.job_id == job_id, PART.c.epoch == epoch, PART.c.state == "new")
            .where(JOB.c.epoch == epoch, JOB.c.state == "active")
            .limit(1)
        )
        return self._db.execute(query).one_or_none() is not None

    def renew(
        self, job_id: str, *, epoch: int, number: int, owner: str, ttl: timedelta, done_bytes: int
    ) -> bool:
        """Keep a part and say how far it is; False when it is somebody else's now."""
        change = (
            update(PART)
            .where(PART.c.job_id == job_id, PART.c.number == number, PART.c.epoch == epoch)
            .where(PART.c.state == "taken", PART.c.lease_owner == owner)
            .values(lease_until=func.now() + ttl, done_bytes=done_bytes)
        )
        return self._db.execute(change).rowcount == 1

    def finish(
        self,
        job_id: str,
        *,
        epoch: int,
        number: int,
        owner: str,
        done_bytes: int,
        result: Mapping[str, Any],
    ) -> bool:
        """Record a part's result; False when superseded, and then nothing is recorded."""
        values = {
            "job_id": job_id,
            "epoch": epoch,
            "number": number,
            "owner": owner,
            "done_bytes": done_bytes,
            "result": json.dumps(dict(result)),
        }
        return self._db.execute(statement("finish_part"), values).one_or_none() is not None

    def give_back(self, job_id: str, *, epoch: int, number: int, owner: str) -> None:
        """Free a part that this owner could not do; nothing happens if it is not theirs any more."""
        change = (
            update(PART)
            .where(PART.c.job_id == job_id, PART.c.number == number, PART.c.epoch == epoch)
            .where(PART.c.state == "taken", PART.c.lease_owner == owner)
            .values(state="new", lease_until=None, lease_owner=None, done_bytes=0)
        )
        self._db.execute(change)

    def progress(self, job_id: str) -> PartsProgress:
        done = func.count().filter(PART.c.state == "done")
        covered = case(
            (PART.c.state == "done", PART.c.expected_bytes),
            else_=func.least(PART.c.done_bytes, PART.c.expected_bytes),
        )
        query = select(
            func.count().label("total"),
            done.label("done"),
            func.coalesce(func.sum(PART.c.expected_bytes), 0).label("expected_bytes"),
            func.coalesce(func.sum(PART.c.done_bytes), 0).label("done_bytes"),
            func.coalesce(func.sum(covered), 0).label("covered_bytes"),
        ).where(PART.c.job_id == job_id)
        row = self._db.execute(query).mappings().one()
        return PartsProgress(**{name: int(value) for name, value in row.items()})

    def results(self, job_id: str) -> Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """(spec, result) of every part, by number."""
        query = (
            select(PART.c.spec, PART.c.result)
            .where(PART.c.job_id == job_id, PART.c.state == "done")
            .order_by(PART.c.number)
        )
        return [(row.spec, row.result) for row in self._db.execute(query)]

    def clear(self, job_id: str) -> None:
        self._db.execute(delete(PART).where(PART.c.job_id == job_id))
