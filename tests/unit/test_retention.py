"""Retention: what it never gives up, whatever the list looks like."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import retention
from shared.domain.retention import FLOOR, Plan, Policy
from shared.domain.snapshot import Reason, Snapshot, SnapshotState
from shared.errors import Misconfigured

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
SEALED, FAILED, COPYING = SnapshotState.SEALED, SnapshotState.FAILED, SnapshotState.COPYING
DELETING, DELETED = SnapshotState.DELETING, SnapshotState.DELETED
EMPTIED = ("there is no user table; before there were 3",)


def made(sequence: int, state: SnapshotState = SEALED, *, ago: timedelta, **more: Any) -> Snapshot:
    moment = NOW - ago
    sealed = {"taken_at": moment, "sealed_at": moment} if state is SEALED else {}
    values: dict[str, Any] = {
        "reason": Reason.SCHEDULE,
        "pinned": False,
        "created_at": moment,
        **sealed,
        **more,
    }
    return Snapshot(id=f"s{sequence}", database="orders", sequence=sequence, state=state, labels={}, **values)


def old(sequence: int, state: SnapshotState = SEALED, **more: Any) -> Snapshot:
    """Older than the floor, each a minute younger than the one before it."""
    return made(sequence, state, ago=timedelta(days=3) - timedelta(minutes=sequence), **more)


def suspect(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, suspicions=EMPTIED)


def plan(history: list[Snapshot], policy: Policy | None = None, **more: Any) -> Plan:
    values: dict[str, Any] = {"held": (), "now": NOW, "proven_only": False, **more}
    return retention.plan(history, policy or Policy(), **values)


@st.composite
def snapshots(draw: st.DrawFn, sequence: int) -> Snapshot:
    """Anything that a database may have, with clocks that say nothing about the order."""
    state = draw(st.sampled_from([SEALED, SEALED, SEALED, SEALED, FAILED, *SnapshotState]))
    proof = draw(st.sampled_from([{}, {"verified_at": NOW}, {"verified_at": NOW}, {"refuted_at": NOW}]))
    return made(
        sequence,
        state,
        ago=timedelta(hours=draw(st.integers(-30, 24 * 60))),
        pinned=draw(st.integers(0, 6)) == 0,
        reason=draw(st.sampled_from([Reason.SCHEDULE, Reason.SCHEDULE, Reason.MANUAL, Reason.SAFEGUARD])),
        suspicions=EMPTIED if draw(st.integers(0, 4)) == 0 else (),
        accepted_at=draw(st.sampled_from([None, NOW])),
        kept_until=draw(st.sampled_from([None, None, NOW + timedelta(hours=1), NOW - timedelta(hours=1)])),
        **proof,
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Snapshot]:
    return [draw(snapshots(sequence)) for sequence in range(1, draw(st.integers(0, 30)) + 1)]


policies = st.builds(
    Policy,
    last=st.integers(1, 12),
    daily=st.integers(0, 5),
    weekly=st.integers(0, 3),
    monthly=st.integers(0, 3),
    within=st.sampled_from([None, timedelta(days=2)]),
)
holds = st.sets(st.builds("s{}".format, st.integers(1, 30)), max_size=4)


def counting(history: list[Snapshot], *, proven_only: bool) -> list[Snapshot]:
    """The oldest first."""
    return [
        each
        for each in history
        if each.state is SEALED
        and not each.is_suspect
        and each.refuted_at is None
        and each.reason is not Reason.SAFEGUARD
        and (each.is_verified or not proven_only)
    ]


def ids(history: list[Snapshot], *states: SnapshotState) -> set[str]:
    return {snapshot.id for snapshot in history if snapshot.state in states}


def whys(decided: Plan) -> dict[str, str]:
    return {verdict.snapshot_id: verdict.why for verdict in decided.verdicts}


@given(histories(), policies, holds, st.booleans())
def test_every_snapshot_that_exists_is_told_why_it_stays_or_goes(
    history: list[Snapshot], policy: Policy, held: set[str], proven_only: bool
) -> None:
    decided = plan(history, policy, held=held, proven_only=proven_only)
    existing = ids(history, SEALED, FAILED, COPYING, DELETING)
    assert {verdict.snapshot_id for verdict in decided.verdicts} == existing
    assert len(decided.verdicts) == len(existing)
    assert all(verdict.why for verdict in decided.verdicts)
    assert {*decided.keep, *decided.remove} == existing
    assert not set(decided.keep) & set(decided.remove)


@given(histories(), policies, holds, st.booleans())
def test_the_pinned_the_held_the_young_the_running_and_those_whose_time_runs_stay(
    history: list[Snapshot], policy: Policy, held: set[str], proven_only: bool
) -> None:
    removed = set(plan(history, policy, held=held, proven_only=proven_only).remove) - ids(history, DELETING)
    for each in history:
        is_young = NOW - (each.sealed_at or each.created_at) < FLOOR
        its_time_runs = each.kept_until is not None and each.kept_until > NOW
        if each.pinned or each.id in held or is_young or its_time_runs or each.state is COPYING:
            assert each.id not in removed


@given(histories(), policies, holds, st.booleans())
def test_the_newest_verified_one_stays_whatever_it_is(
    history: list[Snapshot], policy: Policy, held: set[str], proven_only: bool
) -> None:
    verified = [each.id for each in history if each.is_verified and not each.is_suspect]
    assert not set(plan(history, policy, held=held, proven_only=proven_only).remove) & set(verified[-1:])


@given(histories(), policies, holds, st.booleans())
def test_no_fewer_that_count_stay_than_the_policy_says(
    history: list[Snapshot], policy: Policy, held: set[str], proven_only: bool
) -> None:
    count = counting(history, proven_only=proven_only)
    kept = set(plan(history, policy, held=held, proven_only=proven_only).keep)
    assert {each.id for each in count[-policy.last :]} <= kept
    by_day = {f"{each.taken_at:%Y-%m-%d}": each.id for each in count}
    newest_first = sorted(by_day, key=lambda day: -int(by_day[day][1:]))
    assert {by_day[day] for day in newest_first[: policy.daily]} <= kept


@given(histories(), policies, st.booleans())
def test_what_is_settled_and_no_rule_keeps_goes(
    history: list[Snapshot], policy: Policy, proven_only: bool
) -> None:
    only_last = replace(policy, daily=0, weekly=0, monthly=0, within=None)
    decided = plan(history, only_last, proven_only=proven_only)
    if decided.stopped is not None:
        assert decided.remove == ()
        return
    verified = [each.id for each in history if each.is_verified and not each.is_suspect][-1:]
    settled = [e for e in counting(history, proven_only=proven_only) if NOW - e.sealed_at >= FLOOR]  # type: ignore[operator] # a sealed one has it
    proven = [e.id for e in settled[: -policy.last] if not e.pinned and e.id not in verified]
    due = [
        id_ for id_ in proven if not any(e.id == id_ and e.kept_until and e.kept_until > NOW for e in history)
    ]
    rest = counting(history, proven_only=proven_only)
    assert set(due) - {each.id for each in rest[-policy.last :]} <= set(decided.remove)


@given(histories(), policies, holds, st.booleans())
def test_a_plan_carried_out_leaves_nothing_to_do(
    history: list[Snapshot], policy: Policy, held: set[str], proven_only: bool
) -> None:
    removed = set(plan(history, policy, held=held, proven_only=proven_only).remove)
    after = [replace(s, state=DELETED) if s.id in removed else s for s in history]
    assert plan(after, policy, held=held, proven_only=proven_only).remove == ()


BAD: dict[str, dict[str, Any]] = {
    "failed": {"state": FAILED, "sealed_at": None, "taken_at": None},
    "suspect": {"suspicions": EMPTIED},
    "refuted": {"refuted_at": NOW},
    "safeguard": {"reason": Reason.SAFEGUARD},
}
bad_ones = st.tuples(st.integers(1, 20), st.sampled_from(sorted(BAD)))


@given(histories(), policies, holds, st.integers(0, 30), bad_ones)
def test_bad_ones_remove_nothing_that_is_good(
    history: list[Snapshot], policy: Policy, held: set[str], position: int, bad_one: tuple[int, str]
) -> None:
    count, kind = bad_one
    moved = [replace(s, sequence=s.sequence + (count if s.sequence > position else 0)) for s in history]
    bad = [replace(old(position + n), id=f"b{n}", **BAD[kind]) for n in range(1, count + 1)]
    before, after = plan(history, policy, held=held), plan([*moved, *bad], policy, held=held)
    good = {each.id for each in counting(history, proven_only=False)}
    if after.stopped is None and before.stopped is None:
        assert set(after.remove) & good == set(before.remove) & good
    elif after.stopped is not None:
        assert after.remove == ()


@given(histories(), policies, holds, st.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_matter(
    history: list[Snapshot], policy: Policy, held: set[str], random: Random
) -> None:
    shuffled = list(history)
    random.shuffle(shuffled)
    assert plan(shuffled, policy, held=held) == plan(history, policy, held=held)


def test_twenty_failures_push_out_none_of_ten_good_ones() -> None:
    history = [
        *(old(n) for n in range(1, 10)),
        *(old(n, FAILED) for n in range(10, 30)),
        old(30),
    ]
    decided = plan(history)
    assert set(decided.keep) >= {each.id for each in history if each.state is SEALED}
    assert decided.remove == tuple(f"s{n}" for n in range(10, 20))


def test_thirty_days_of_failures_delete_nothing_that_is_good() -> None:
    """However old the good ones become meanwhile."""
    good = [made(n, ago=timedelta(days=60 - n), verified_at=NOW) for n in range(1, 15)]
    failed = [made(15 + n, FAILED, ago=timedelta(days=30 - n)) for n in range(30)]
    policy = Policy(last=1, daily=3, within=timedelta(days=14))
    assert plan([*good, *failed], policy, proven_only=True).remove == ()


def test_fifty_new_ones_in_a_minute_push_out_no_old_one_before_a_day_is_over() -> None:
    olds = [old(n) for n in range(1, 11)]
    flood = [made(10 + n, ago=timedelta(minutes=5)) for n in range(1, 51)]
    assert plan([*olds, *flood]).remove == ()
    tomorrow = NOW + FLOOR
    left = plan([*olds, *flood], now=tomorrow).keep
    assert left == tuple(f"s{n}" for n in range(60, 50, -1))


def test_a_clock_that_goes_back_a_day_does_not_make_the_newest_old() -> None:
    history = [old(n) for n in range(1, 6)]
    late = [
        replace(old(n), taken_at=NOW - timedelta(days=9), sealed_at=NOW - timedelta(days=9)) for n in (6, 7)
    ]
    assert plan([*history, *late], Policy(last=2)).keep == ("s7", "s6")


def test_nothing_goes_while_the_newest_is_suspect() -> None:
    history = [*(old(n) for n in range(1, 5)), suspect(old(5)), old(6, DELETING)]
    decided = plan(history, Policy(last=1))
    assert decided.stopped == f"the newest sealed snapshot, s5, is suspect: {EMPTIED[0]}"
    assert decided.remove == ()
    assert whys(decided)["s1"] == "would go (number 4, beyond the last 1), but nothing goes now"
    accepted = replace(history[4], accepted_at=NOW)
    assert plan([*history[:4], accepted], Policy(last=1)).keep == ("s5",)


def test_a_safeguard_neither_counts_nor_starts_pruning_again() -> None:
    guard = old(3, reason=Reason.SAFEGUARD, kept_until=NOW + timedelta(hours=1))
    assert whys(plan([old(1), old(2), guard], Policy(last=2)))["s3"] == "kept until 2025-06-01 13:00 UTC"
    over = replace(guard, kept_until=NOW)
    assert plan([old(1), old(2), over], Policy(last=2)).remove == ("s3",)
    assert plan([old(1), suspect(old(2)), over], Policy(last=1)).stopped is not None


def test_a_suspect_one_goes_when_the_policy_is_full_of_good_ones_since() -> None:
    history = [suspect(old(1)), old(2), old(3)]
    assert plan(history, Policy(last=3)).remove == ()
    assert plan(history, Policy(last=2)).remove == ("s1",)


def test_ten_refuted_ones_stay_and_count_for_nothing() -> None:
    history = [old(1), *(old(n, refuted_at=NOW) for n in range(2, 14))]
    assert plan(history, Policy(last=1)).remove == ("s2", "s3")


def test_one_that_is_not_verified_stays_while_it_would_stay_if_it_were() -> None:
    history = [old(n, verified_at=NOW if n % 3 == 0 else None) for n in range(1, 13)]
    decided = plan(history, Policy(last=3), proven_only=True)
    assert decided.keep == ("s12", "s11", "s10", "s9", "s6")
    assert whys(decided)["s11"] == "not verified; number 2 of the last 3"
    unproven = [replace(each, verified_at=None) for each in history]
    assert plan(unproven, Policy(last=3), proven_only=True).keep == ("s12", "s11", "s10")


def test_the_newest_of_each_day_week_and_month_stays() -> None:
    history = [made(n, ago=timedelta(hours=12 * (400 - n))) for n in range(1, 396)]
    policy = Policy(last=1, daily=3, weekly=3, monthly=4)
    kept = plan(history, policy).keep
    assert sorted(f"{each.taken_at:%Y-%m-%d %H}" for each in history if each.id in kept) == [
        "2025-02-28 12", "2025-03-31 12", "2025-04-30 12",
        "2025-05-18 12", "2025-05-25 12", "2025-05-28 12", "2025-05-29 12", "2025-05-30 00",
    ]  # fmt: skip


def test_all_within_a_span_of_the_newest_stay() -> None:
    history = [made(n, ago=timedelta(days=20 - n)) for n in range(1, 11)]
    decided = plan(history, Policy(last=1, within=timedelta(days=3)))
    assert decided.keep == ("s10", "s9", "s8", "s7")
    assert whys(decided)["s7"] == "within 3 d of the newest"


def test_a_deletion_that_was_cut_short_is_taken_up_again() -> None:
    decided = plan([old(1, DELETING, pinned=True), old(2)], held={"s1"})
    assert decided.remove == ("s1",)


def test_failed_ones_go_when_something_was_sealed_since_and_ten_failed_later() -> None:
    history = [*(old(n, FAILED) for n in range(1, 13)), old(13)]
    assert plan(history).remove == ("s1", "s2")
    assert plan(history[:-1]).remove == ()
    pinned = [replace(history[0], pinned=True), *history[1:]]
    assert plan(pinned, held={"s2"}).remove == ()


def test_the_oldest_go_first() -> None:
    decided = plan([old(n) for n in range(1, 6)], Policy(last=2))
    assert decided.keep == ("s5", "s4")
    assert decided.remove == ("s1", "s2", "s3")


def test_the_reasons_are_what_a_person_asks_for() -> None:
    history = [old(1), old(2, pinned=True), old(3), old(4), old(5), old(6, FAILED), old(7, COPYING)]
    young = made(8, ago=timedelta(hours=1))
    assert whys(plan([*history, young], Policy(last=2, monthly=1), held={"s3"})) == {
        "s8": "the newest sealed one",
        "s7": "still being copied",
        "s6": "failed, one of the last 10 that did",
        "s5": "number 2 of the last 2",
        "s4": "number 2 of the last 2 older than 24 h",
        "s3": "held by a job",
        "s2": "pinned",
        "s1": "number 6, beyond the last 2, and no other rule keeps it",
    }


def test_snapshots_of_two_databases_are_not_planned_together() -> None:
    with pytest.raises(ValueError, match="one database"):
        plan([old(1), replace(old(2), database="ledger")])


@pytest.mark.parametrize("wrong", [{"last": 0}, {"last": -1}, {"daily": -1}, {"monthly": -1}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured):
        Policy(**wrong)
