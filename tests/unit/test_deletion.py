"""Deleting one snapshot by hand: retention may be overruled, its promises may not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain import deletion
from shared.domain.snapshot import Reason, Snapshot, SnapshotState

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
SEALED = SnapshotState.SEALED


def made(sequence: int, state: SnapshotState = SEALED, **more: Any) -> Snapshot:
    values: dict[str, Any] = {"reason": Reason.SCHEDULE, "pinned": False, "labels": {}, **more}
    moment = NOW + timedelta(hours=sequence)
    return Snapshot(
        id=f"s{sequence}", database="orders", sequence=sequence, state=state, created_at=moment, **values
    )


def obstacle(snapshot: Snapshot, *others: Snapshot, held: bool = False) -> str | None:
    return deletion.plan(snapshot, [snapshot, *others], held=held).obstacle


PROVEN = made(9, verified_at=NOW)


@pytest.mark.parametrize(
    ("snapshot", "why"),
    [
        (made(1, SnapshotState.COPYING), "still being copied"),
        (made(1, SnapshotState.DELETING), "deleted already"),
        (made(1, SnapshotState.DELETED), "deleted already"),
        (made(1, pinned=True), "pinned"),
        (PROVEN, "the newest verified one"),
    ],
)
def test_what_is_needed_stays_and_it_is_said_why(snapshot: Snapshot, why: str) -> None:
    assert why in (obstacle(snapshot, PROVEN, made(10)) or "")


@pytest.mark.parametrize(
    "snapshot",
    [
        made(1),
        made(10),
        made(1, SnapshotState.FAILED),
        made(1, refuted_at=NOW),
        made(1, suspicions=("it is empty",)),
        made(1, verified_at=NOW),
        made(1, reason=Reason.SAFEGUARD),
    ],
)
def test_everything_else_may_go(snapshot: Snapshot) -> None:
    assert obstacle(snapshot, PROVEN) is None


def test_what_a_job_needs_stays() -> None:
    assert obstacle(made(1), PROVEN, held=True) == "a job needs it"


def test_the_newest_sealed_one_stays_where_none_is_verified() -> None:
    assert "none is verified" in (obstacle(made(2), made(1)) or "")
    assert obstacle(made(1), made(2)) is None


def test_a_suspect_proof_protects_nothing_and_the_good_one_before_it_stays() -> None:
    suspect = made(9, verified_at=NOW, suspicions=("it is empty",))
    good = made(8, verified_at=NOW)
    assert obstacle(suspect, good) is None
    assert obstacle(good, suspect) == "it is the newest verified one"


def test_while_the_newest_is_suspect_nothing_good_goes_and_what_is_bad_does() -> None:
    newest = made(10, suspicions=("it is empty",))
    assert "s10, is suspect" in (obstacle(made(1), PROVEN, newest) or "")
    assert obstacle(made(1, refuted_at=NOW), PROVEN, newest) is None
    assert obstacle(newest, PROVEN) is None
    accepted = replace(newest, accepted_at=NOW)
    assert obstacle(made(1), PROVEN, accepted) is None


def test_a_plans_id_changes_with_what_was_seen_and_with_nothing_else() -> None:
    seen = made(1)
    ids = {
        deletion.plan(each, [each, PROVEN], held=False).id
        for each in (
            seen,
            replace(seen, pinned=True),
            replace(seen, verified_at=NOW),
            replace(seen, suspicions=("it is empty",)),
            replace(seen, manifest_sha256="another"),
            made(2),
        )
    }
    assert len(ids) == 6
    assert deletion.plan(seen, [seen], held=False).id == deletion.plan(seen, [seen, made(3)], held=False).id
