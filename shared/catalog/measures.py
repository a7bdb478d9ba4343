"""The state of the fleet in numbers, as rows tell it at this moment: what is exported as metrics.

One transaction of a few short statements, each in its own file, under a time limit of its own: whoever
watches must never be what the fleet waits for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, text

from shared.catalog.statements import statement

LIMIT = timedelta(seconds=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMeasures:
    """`slots_until`: every slot at or before it is decided. `parked` databases can be brought back by an undo."""

    known_seconds: float
    slots_until: datetime
    blocked: bool
    missed_slots: int
    parked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMeasures:
    """Of the newest sealed snapshot; ages, by what they are the age of, of those that there are."""

    ages_seconds: Mapping[str, float]
    raw_bytes: int | None
    stored_bytes: int | None
    new_bytes: int | None
    unread_bytes: int | None
    row_count: int | None
    duration_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingMeasures:
    """`stored_bytes` counts a chunk once for each sealed snapshot that uses it."""

    numbers: Mapping[str, int]
    pinned: int
    stored_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofMeasures:
    """`restore_seconds` is None where no restore has matched yet; the pace is (bytes, seconds) of the last five."""

    age_seconds: float
    matched: bool
    restore_seconds: float | None
    pace: tuple[int, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMeasures:
    """Jobs of one kind in one state that are not over."""

    kind: str
    state: str
    number: int
    oldest_waiting_seconds: float | None
    expired_leases: int
    unanswered_rings: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedMeasures:
    """Jobs of one database, kind and final state that ended within a day."""

    database: str
    kind: str
    state: str
    number: int
    freed_bytes: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMeasures:
    chunks: int
    raw_bytes: int
    stored_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxMeasures:
    waiting: int
    oldest_seconds: float | None


class Measures:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def limit(self, duration: timedelta = LIMIT) -> None:
        """Let no statement of this transaction take longer, nor change anything."""
        milliseconds = str(int(duration / timedelta(milliseconds=1)))
        self._db.execute(text("set transaction read only"))
        self._db.execute(select(func.set_config("statement_timeout", milliseconds, True)))

    def databases(self, names: Collection[str]) -> Mapping[str, KnownMeasures]:
        return {
            row.name: KnownMeasures(
                known_seconds=float(row.known_seconds),
                slots_until=row.slots_until,
                blocked=row.blocked,
                missed_slots=row.missed_slots,
                parked=row.parked,
            )
            for row in self._rows("measure_databases", names=list(names))
        }

    def snapshots(self, names: Collection[str]) -> Mapping[str, SnapshotMeasures]:
        """Of each database, also of one that has none yet."""
        found = {}
        for row in self._rows("measure_snapshots", names=list(names)):
            ages = {
                "sealed": row.sealed_age_seconds,
                "good": row.good_age_seconds,
                "proven": row.proven_age_seconds,
            }
            found[row.database] = SnapshotMeasures(
                ages_seconds={name: float(age) for name, age in ages.items() if age is not None},
                raw_bytes=row.raw_bytes,
                stored_bytes=row.stored_bytes,
                new_bytes=row.new_bytes,
                unread_bytes=row.unread_bytes,
                row_count=row.row_count,
                duration_seconds=row.duration_seconds,
            )
        return found

    def standings(self, names: Collection[str]) -> Mapping[str, StandingMeasures]:
        """Of databases that have any snapshot."""
        found: dict[str, list[Row[Any]]] = {}
        for row in self._rows("measure_standings", names=list(names)):
            found.setdefault(row.database, []).append(row)
        return {
            name: StandingMeasures(
                numbers={row.standing: row.number for row in rows},
                pinned=sum(row.pinned for row in rows),
                stored_bytes=sum(int(row.stored_bytes) for row in rows),
            )
            for name, rows in found.items()
        }

    def proofs(self, names: Collection[str]) -> Mapping[str, ProofMeasures]:
        """Of databases that were ever restored, or tried to be."""
        return {
            row.database: ProofMeasures(
                age_seconds=float(row.age_seconds),
                matched=row.matched,
                restore_seconds=None if row.restore_seconds is None else float(row.restore_seconds),
                pace=None if row.pace_bytes is None else (int(row.pace_bytes), float(row.pace_seconds)),
            )
            for row in self._rows("measure_proofs", names=list(names))
        }

    def failures(self, names: Collection[str], kinds: Collection[str]) -> Mapping[tuple[str, str], int]:
        """How many of a database and kind failed in a row; of those of which any has ended."""
        rows = self._rows("measure_failures", names=list(names), kinds=list(kinds))
        return {(row.database, row.kind): row.failed for row in rows}

    def jobs(self) -> tuple[JobMeasures, ...]:
        """Those of kinds and states of which there are any."""
        return tuple(
            JobMeasures(
                kind=row.kind,
                state=row.state,
                number=row.number,
                oldest_waiting_seconds=(
                    None if row.oldest_waiting_seconds is None else float(row.oldest_waiting_seconds)
                ),
                expired_leases=row.expired_leases,
                unanswered_rings=row.unanswered_rings,
                attempts=row.attempts,
            )
            for row in self._rows("measure_jobs")
        )

    def ended(self) -> tuple[EndedMeasures, ...]:
        return tuple(
            EndedMeasures(
                database=row.database,
                kind=row.kind,
                state=row.state,
                number=row.number,
                freed_bytes=int(row.freed_bytes or 0),
                removed=int(row.removed or 0),
            )
            for row in self._rows("measure_ended")
        )

    def stored(self, names: Collection[str]) -> Mapping[str, StoredMeasures]:
        return {
            row.database: StoredMeasures(
                chunks=row.chunks, raw_bytes=int(row.raw_bytes), stored_bytes=int(row.stored_bytes)
            )
            for row in self._rows("measure_repository", names=list(names))
        }

    def outbox(self) -> OutboxMeasures:
        (row,) = self._rows("measure_outbox")
        oldest = row.oldest_seconds
        return OutboxMeasures(waiting=row.waiting, oldest_seconds=None if oldest is None else float(oldest))

    def canaries(self) -> Mapping[str, float]:
        """Seconds since a worker last took beat's own message, by queue."""
        return {row.queue: float(row.age_seconds) for row in self._rows("measure_canaries")}

    def _rows(self, name: str, **values: Any) -> list[Row[Any]]:
        return list(self._db.execute(statement(name), values))
