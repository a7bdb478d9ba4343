"""Retention: what it never gives up, whatever the list looks like."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import retention
from shared.domain.retention import Plan, Policy
from shared.domain.snapshot import Reason, Snapshot, SnapshotState
from shared.errors import Misconfigured

NOW = datetime(2025, 6, 1, tzinfo=UTC)
SEALED, FAILED, COPYING = SnapshotState.SEALED, SnapshotState.FAILED, SnapshotState.COPYING
DELETING, DELETED = SnapshotState.DELETING, SnapshotState.DELETED


def made(sequence: int, state: SnapshotState = SEALED, *, pinned: bool = False, hours: int = 0) -> Snapshot:
    return Snapshot(
        id=f"s{sequence}",
        database="orders",
        sequence=sequence,
        state=state,
        reason=Reason.SCHEDULE,
        labels={},
        pinned=pinned,
        created_at=NOW + timedelta(hours=hours),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Snapshot]:
    """Any mixture of states, with clocks that say nothing about the order."""
    count = draw(st.integers(0, 40))
    return [
        made(
            sequence,
            draw(st.sampled_from([SEALED, SEALED, SEALED, FAILED, FAILED, *SnapshotState])),
            pinned=draw(st.integers(0, 5)) == 0,
            hours=draw(st.integers(-100, 100)),
        )
        for sequence in range(1, count + 1)
    ]


policies = st.builds(Policy, last=st.integers(1, 15))
holds = st.sets(st.builds("s{}".format, st.integers(1, 40)), max_size=5)


def ids(snapshots: list[Snapshot], *states: SnapshotState) -> set[str]:
    return {snapshot.id for snapshot in snapshots if snapshot.state in states}


def whys(plan: Plan) -> dict[str, str]:
    return {verdict.snapshot_id: verdict.why for verdict in plan.verdicts}


@given(histories(), policies, holds)
def test_every_snapshot_that_exists_is_told_why_it_stays_or_goes(
    history: list[Snapshot], policy: Policy, held: set[str]
) -> None:
    plan = retention.plan(history, policy, held=held)
    assert sorted(verdict.snapshot_id for verdict in plan.verdicts) == sorted(
        ids(history, SEALED, FAILED, COPYING, DELETING)
    )
    assert all(verdict.why for verdict in plan.verdicts)
    assert {*plan.keep, *plan.remove} == {verdict.snapshot_id for verdict in plan.verdicts}
    assert not set(plan.keep) & set(plan.remove)


@given(histories(), policies, holds)
def test_no_fewer_sealed_ones_stay_than_the_policy_says(
    history: list[Snapshot], policy: Policy, held: set[str]
) -> None:
    sealed = [snapshot for snapshot in history if snapshot.state is SEALED]
    kept = set(retention.plan(history, policy, held=held).keep)
    newest = {snapshot.id for snapshot in sealed[-policy.last :]}
    assert newest <= kept
    assert len(kept & ids(history, SEALED)) >= min(policy.last, len(sealed))


@given(histories(), policies, holds)
def test_sealed_ones_beyond_the_policy_go_unless_pinned_or_held(
    history: list[Snapshot], policy: Policy, held: set[str]
) -> None:
    sealed = [snapshot for snapshot in history if snapshot.state is SEALED]
    free = [s.id for s in sealed[: -policy.last] if not s.pinned and s.id not in held]
    removed = retention.plan(history, policy, held=held).remove
    assert [id_ for id_ in removed if id_ in ids(history, SEALED)] == free


@given(histories(), policies, holds)
def test_the_newest_sealed_the_pinned_the_held_and_the_running_stay(
    history: list[Snapshot], policy: Policy, held: set[str]
) -> None:
    removed = set(retention.plan(history, policy, held=held).remove)
    assert not removed & {s.id for s in history if s.pinned and s.state is not DELETING}
    assert not removed & (held - ids(history, DELETING))
    assert not removed & ids(history, COPYING)
    sealed = [snapshot.id for snapshot in history if snapshot.state is SEALED]
    assert not removed & set(sealed[-1:])


@given(histories(), policies, holds)
def test_a_plan_carried_out_leaves_nothing_to_do(
    history: list[Snapshot], policy: Policy, held: set[str]
) -> None:
    removed = set(retention.plan(history, policy, held=held).remove)
    after = [replace(s, state=DELETED) if s.id in removed else s for s in history]
    assert retention.plan(after, policy, held=held).remove == ()


@given(histories(), policies, holds, st.integers(0, 40), st.integers(0, 40))
def test_failures_remove_nothing_that_is_sealed(
    history: list[Snapshot], policy: Policy, held: set[str], failures: int, position: int
) -> None:
    moved = [replace(s, sequence=s.sequence + (failures if s.sequence > position else 0)) for s in history]
    failed = [replace(made(position + n, FAILED), id=f"f{n}") for n in range(1, failures + 1)]
    before = retention.plan(history, policy, held=held)
    after = retention.plan([*moved, *failed], policy, held=held)
    sealed = ids(history, SEALED)
    assert set(after.remove) & sealed == set(before.remove) & sealed


@given(histories(), policies, holds, st.randoms(use_true_random=False))
def test_the_order_of_the_list_and_the_clocks_do_not_matter(
    history: list[Snapshot], policy: Policy, held: set[str], random: Random
) -> None:
    shuffled = [replace(snapshot, created_at=NOW) for snapshot in history]
    random.shuffle(shuffled)
    assert retention.plan(shuffled, policy, held=held) == retention.plan(history, policy, held=held)


def test_a_deletion_that_was_cut_short_is_taken_up_again() -> None:
    plan = retention.plan([made(1, DELETING, pinned=True), made(2)], Policy(), held={"s1"})
    assert plan.remove == ("s1",)


def test_failed_ones_go_when_something_was_sealed_since_and_ten_failed_later() -> None:
    history = [*(made(n, FAILED) for n in range(1, 13)), made(13)]
    assert retention.plan(history, Policy(), held=()).remove == ("s1", "s2")
    assert retention.plan(history[:-1], Policy(), held=()).remove == ()
    pinned = [replace(history[0], pinned=True), *history[1:]]
    assert retention.plan(pinned, Policy(), held={"s2"}).remove == ()


def test_the_oldest_go_first() -> None:
    history = [made(n) for n in range(1, 6)]
    plan = retention.plan(history, Policy(last=2), held=())
    assert plan.keep == ("s5", "s4")
    assert plan.remove == ("s1", "s2", "s3")


def test_the_reasons_are_what_a_person_asks_for() -> None:
    history = [made(1), made(2, pinned=True), made(3), made(4), made(5), made(6, FAILED), made(7, COPYING)]
    assert whys(retention.plan(history, Policy(last=2), held={"s3"})) == {
        "s7": "still being copied",
        "s6": "failed, and nothing was sealed since",
        "s5": "the newest sealed one",
        "s4": "number 2 of the last 2",
        "s3": "held by a job",
        "s2": "pinned",
        "s1": "number 5, beyond the last 2",
    }


def test_snapshots_of_two_databases_are_not_planned_together() -> None:
    with pytest.raises(ValueError, match="one database"):
        retention.plan([made(1), replace(made(2), database="ledger")], Policy(), held=())


@pytest.mark.parametrize("last", [0, -1])
def test_a_policy_that_keeps_nothing_is_refused(last: int) -> None:
    with pytest.raises(Misconfigured):
        Policy(last=last)
