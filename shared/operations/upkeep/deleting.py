"""Delete one snapshot by hand: looked at, planned, and deleted by a job of retention's kind only as it was planned."""

from __future__ import annotations

from shared.domain import deletion
from shared.domain.deletion import Deletion
from shared.domain.snapshot import SnapshotState
from shared.errors import NotFound, Refused
from shared.operations.fleet import Fleet

AGAIN = "look again, and take the new plan's id"


def plan(fleet: Fleet, snapshot_id: str) -> Deletion:
    """What stands against deleting it, and the id of this look. Changes nothing."""
    with fleet.catalog.transaction() as tx:
        found = tx.snapshots.get(snapshot_id)
        if found is None:
            raise NotFound(f"no snapshot {snapshot_id}", code="snapshot_unknown")
        others = tx.snapshots.listing(database=found.database)
        held = snapshot_id in tx.snapshots.held(found.database)
    return deletion.plan(found, others, held=held)


def refuse(planned: Deletion, *, plan_id: str) -> None:
    """Refused where something stands against it, or where it is not what was looked at."""
    if planned.obstacle is not None:
        raise Refused(f"snapshot {planned.snapshot.id} stays: {planned.obstacle}", code="snapshot_needed")
    refuse_changed(plan_id, planned.id)


def refuse_kept(fleet: Fleet, snapshot_id: str) -> None:
    """Refused where it could not be hidden: it was pinned, or a job came to need it, at the last moment."""
    with fleet.catalog.transaction() as tx:
        found = tx.snapshots.get(snapshot_id)
    if found is not None and found.state is not SnapshotState.DELETED:
        raise Refused(
            f"snapshot {snapshot_id} stays: it was pinned, or a job came to need it", code="snapshot_needed"
        )


def refuse_changed(planned: str, seen: str) -> None:
    if planned.strip().lower() != seen:
        raise Refused("what would be deleted is not what was planned", code="plan_changed", hint=AGAIN)


def request(snapshot_id: str, *, plan_id: str) -> dict[str, object]:
    """What a job carries that deletes one snapshot."""
    return {"after": None, "snapshot_id": snapshot_id, "delete": True, "plan_id": plan_id}
