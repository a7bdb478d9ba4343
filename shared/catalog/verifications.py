"""What comparing snapshots with real restores of them has shown: kept for whoever asks later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.catalog.mapping import table
from shared.catalog.models import VerificationRow

VERIFICATION = table(VerificationRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """One comparison. `restore_seconds` are those of building the side database up.

    `compared` counts what was looked at, by kind.
    """

    job_id: str
    snapshot_id: str
    database: str
    verified_at: datetime
    matched: bool
    restore_seconds: float
    prove_seconds: float
    raw_bytes: int
    compared: Mapping[str, Any]
    differences: tuple[str, ...]


class Verifications:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def record(
        self,
        *,
        job_id: str,
        snapshot_id: str,
        database: str,
        matched: bool,
        restore_seconds: float,
        prove_seconds: float,
        raw_bytes: int,
        compared: Mapping[str, Any],
        differences: Sequence[str],
    ) -> None:
        """Keep what a job found; a second run of it overwrites what the first one did."""
        values: dict[str, Any] = {
            "snapshot_id": snapshot_id,
            "database": database,
            "matched": matched,
            "restore_seconds": restore_seconds,
            "prove_seconds": prove_seconds,
            "raw_bytes": raw_bytes,
            "compared": dict(compared),
            "differences": list(differences),
        }
        row = upsert(VERIFICATION).values(job_id=job_id, **values)
        self._db.execute(row.on_conflict_do_update(index_elements=["job_id"], set_=values))

    def of_snapshot(self, snapshot_id: str) -> Sequence[Verification]:
        """The newest first."""
        query = select(VERIFICATION).where(VERIFICATION.c.snapshot_id == snapshot_id)
        newest_first = query.order_by(VERIFICATION.c.verified_at.desc())
        return [to_verification(row) for row in self._db.execute(newest_first).mappings()]

    def of_job(self, job_id: str) -> Verification | None:
        query = select(VERIFICATION).where(VERIFICATION.c.job_id == job_id)
        row = self._db.execute(query).mappings().one_or_none()
        return to_verification(row) if row else None

    def newest(self, database: str) -> Verification | None:
        query = select(VERIFICATION).where(VERIFICATION.c.database == database)
        newest = query.order_by(VERIFICATION.c.verified_at.desc()).limit(1)
        row = self._db.execute(newest).mappings().one_or_none()
        return to_verification(row) if row else None


def to_verification(row: RowMapping) -> Verification:
    return Verification(
        **dict(row) | {"job_id": str(row["job_id"]), "differences": tuple(row["differences"])}
    )
