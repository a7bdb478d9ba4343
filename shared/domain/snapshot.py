"""A snapshot: one database at one moment, and the life it goes through.

    copying ──► sealed ──► deleting ──► deleted
       └──────► failed ──► deleting

`deleting` hides a snapshot from every list before its first object goes; `deleted` is the tombstone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from shared.domain.increments import HowRead
from shared.errors import Refused


class SnapshotState(StrEnum):
    COPYING = "copying"
    SEALED = "sealed"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"


MOVES: Mapping[SnapshotState, frozenset[SnapshotState]] = {
    SnapshotState.COPYING: frozenset({SnapshotState.SEALED, SnapshotState.FAILED}),
    SnapshotState.SEALED: frozenset({SnapshotState.DELETING}),
    SnapshotState.FAILED: frozenset({SnapshotState.DELETING}),
    SnapshotState.DELETING: frozenset({SnapshotState.DELETED}),
}


class Reason(StrEnum):
    """Why a snapshot was taken."""

    MANUAL = "manual"
    SCHEDULE = "schedule"
    GUARD = "guard"
    SAFEGUARD = "safeguard"
    """The live database as it was just before a restore replaced it; kept for the undo window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the catalog knows of one snapshot. Sizes in bytes, times in UTC.

    `sequence` orders the snapshots of one database and never goes back, whatever clocks do.
    """

    id: str
    database: str
    sequence: int
    state: SnapshotState
    reason: Reason
    labels: Mapping[str, str]
    pinned: bool
    created_at: datetime
    taken_at: datetime | None = None
    sealed_at: datetime | None = None
    failed_at: datetime | None = None
    deleted_at: datetime | None = None
    server_version: str | None = None
    tool_version: str | None = None
    raw_bytes: int | None = None
    stored_bytes: int | None = None
    new_bytes: int | None = None
    row_count: int | None = None
    duration_seconds: float | None = None
    manifest_sha256: str | None = None
    error: Mapping[str, str | None] | None = None
    verified_at: datetime | None = None
    """When a real restore matched the manifest; None again once a later one did not."""
    refuted_at: datetime | None = None
    """When the newest verification found something else than the manifest says."""
    suspicions: tuple[str, ...] = ()
    """Why it looks like the snapshot of a broken database, in words; empty where it does not."""
    accepted_at: datetime | None = None
    """When an operator said that it is right as it is."""
    kept_until: datetime | None = None
    """Retention leaves it alone until then."""
    how_read: HowRead | None = None
    """What of it was read, and what taken over from an earlier one; None of one of an earlier release."""

    @property
    def is_suspect(self) -> bool:
        """It looks wrong, and nobody has said otherwise: kept, and counted by nobody."""
        return bool(self.suspicions) and self.accepted_at is None

    @property
    def is_verified(self) -> bool:
        return self.state is SnapshotState.SEALED and self.verified_at is not None

    @property
    def standing(self) -> str:
        """In one word what it is worth: suspect, refuted, verified, or its state."""
        if self.state is not SnapshotState.SEALED:
            return str(self.state)
        if self.is_suspect:
            return "suspect"
        if self.refuted_at is not None:
            return "refuted"
        return "verified" if self.verified_at is not None else "sealed"

    def to(self, state: SnapshotState) -> Self:
        """This snapshot in another state; Refused if its life does not lead there."""
        if state not in MOVES.get(self.state, frozenset()):
            raise Refused(
                f"snapshot {self.id} is {self.state} and cannot become {state}", code="illegal_move"
            )
        return replace(self, state=state)
