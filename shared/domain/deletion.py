"""Whether one snapshot may be deleted by hand: decided here, and shown before anything is deleted.

Retention may be overruled, its promises may not: what is needed to come back stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.domain.ids import plan_id
from shared.domain.snapshot import Reason, Snapshot, SnapshotState


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """One snapshot that somebody wants gone. `obstacle` says in words what stands against it; None: nothing."""

    snapshot: Snapshot
    obstacle: str | None

    @property
    def id(self) -> str:
        """The same for as long as the snapshot is what it was when it was looked at."""
        seen = self.snapshot
        return plan_id(
            "delete",
            [seen.id, seen.manifest_sha256, seen.state, seen.pinned, seen.is_verified, *seen.suspicions],
        )


def plan(snapshot: Snapshot, others: Iterable[Snapshot], *, held: bool) -> Deletion:
    """Decide about one; `others` are those of its database, whether it is among them or not."""
    sealed = sorted(
        (each for each in others if each.state is SnapshotState.SEALED), key=lambda each: -each.sequence
    )
    return Deletion(snapshot=snapshot, obstacle=obstacle(snapshot, sealed, held=held))


def obstacle(  # noqa: PLR0911 - one for each reason
    snapshot: Snapshot, sealed: list[Snapshot], *, held: bool
) -> str | None:
    match snapshot.state:
        case SnapshotState.DELETING | SnapshotState.DELETED:
            return "it is deleted already"
        case SnapshotState.COPYING:
            return "it is still being copied: cancel its job"
        case SnapshotState.FAILED:
            return None
    if snapshot.pinned:
        return "it is pinned"
    if held:
        return "a job needs it"
    verified = next((each for each in sealed if each.is_verified and not each.is_suspect), None)
    if verified is not None and verified.id == snapshot.id:
        return "it is the newest verified one"
    if verified is None and sealed and sealed[0].id == snapshot.id:
        return "it is the newest sealed one, and none is verified"
    newest = next((each for each in sealed if each.reason is not Reason.SAFEGUARD), None)
    if newest is not None and newest.is_suspect and looks_good(snapshot):
        return f"the newest sealed one, {newest.id}, is suspect: until that is decided nothing good goes"
    return None


def looks_good(snapshot: Snapshot) -> bool:
    return not snapshot.is_suspect and snapshot.refuted_at is None
