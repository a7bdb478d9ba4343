"""Slots: each exactly once, however the clock is read and whatever the zone's clocks do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain import schedule
from shared.domain.schedule import Cron, Due, Every
from shared.errors import Misconfigured

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = Cron(expression="30 2 * * *", zone="Europe/Berlin")
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 -- hypothesis adds the zone


@st.composite
def everys(draw: st.DrawFn) -> Every:
    every = timedelta(minutes=draw(st.integers(1, 60 * 24 * 40)))
    return Every(every=every, phase=schedule.phase_of(draw(st.text(max_size=20)), every))


crons = st.builds(
    Cron,
    expression=st.sampled_from(
        [
            "30 2 * * *",
            "0,30 2 * * *",
            "*/15 * * * *",
            "15 */3 * * *",
            "0 0 1 * *",
            "59 23 * * 0",
            "30 * * * *",
        ]
    ),
    zone=st.sampled_from(["Europe/Berlin", "UTC", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"]),
)
schedules = st.one_of(everys(), crons)


def all_of(due: Due) -> tuple[datetime, ...]:
    return due.missed if due.latest is None else (*due.missed, due.latest)


@given(schedules, MOMENTS, st.lists(st.integers(0, 3 * 24 * 3600), min_size=1, max_size=8))
def test_each_slot_is_due_exactly_once_however_time_advances(
    plan: schedule.Schedule, start: datetime, steps: list[int]
) -> None:
    end = start + timedelta(seconds=sum(steps))
    seen: list[datetime] = []
    recorded = now = start
    for step in steps:
        now += timedelta(seconds=step)
        due = schedule.due(plan, after=recorded, now=now)
        seen.extend(all_of(due))
        recorded = due.latest or recorded
    at_once = all_of(schedule.due(plan, after=start, now=end))
    assert tuple(seen[-len(at_once) :] if at_once else seen) == at_once
    assert len(seen) == len(set(seen))


@given(schedules, MOMENTS, st.timedeltas(timedelta(), timedelta(days=400)))
def test_slots_ascend_in_utc_within_their_bounds(
    plan: schedule.Schedule, after: datetime, span: timedelta
) -> None:
    due = schedule.due(plan, after=after, now=after + span)
    slots = all_of(due)
    assert all(earlier < later for earlier, later in pairwise(slots))
    assert all(after < slot <= after + span and slot.tzinfo is UTC for slot in slots)
    assert due.latest is None or all(due.latest > missed for missed in due.missed)
    assert due.latest is not None or not due.missed
    assert len(due.missed) <= schedule.MOST_MISSED


@given(schedules, MOMENTS)
def test_the_next_slot_is_what_becomes_due_next(plan: schedule.Schedule, now: datetime) -> None:
    upcoming = schedule.next_slot(plan, now)
    assert upcoming > now
    just_before = upcoming - timedelta(microseconds=1)
    assert schedule.due(plan, after=now, now=just_before) == Due(latest=None, missed=())
    assert schedule.due(plan, after=now, now=upcoming) == Due(latest=upcoming, missed=())


@settings(max_examples=50)
@given(st.dates(date(2020, 1, 1), date(2031, 12, 1)), st.integers(1, 40))
def test_half_past_two_in_berlin_comes_exactly_once_a_day(first: date, days: int) -> None:
    midnight = datetime(first.year, first.month, first.day, tzinfo=BERLIN)
    slots = all_of(schedule.due(NIGHTLY, after=midnight, now=midnight + timedelta(days=days)))
    assert [slot.astimezone(BERLIN).date() for slot in slots] == [
        first + timedelta(days=n) for n in range(days)
    ]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (
            date(2025, 3, 30),
            datetime(2025, 3, 30, 1, 0, tzinfo=UTC),
        ),  # 02:30 does not exist: 03:00 summer time
        (date(2025, 10, 26), datetime(2025, 10, 26, 0, 30, tzinfo=UTC)),  # 02:30 comes twice: the first
        (date(2025, 7, 1), datetime(2025, 7, 1, 0, 30, tzinfo=UTC)),
        (date(2025, 1, 1), datetime(2025, 1, 1, 1, 30, tzinfo=UTC)),
    ],
)
def test_the_hour_that_is_skipped_or_repeated_runs_once(day: date, expected: datetime) -> None:
    midnight = datetime(day.year, day.month, day.day, tzinfo=BERLIN)
    assert schedule.due(NIGHTLY, after=midnight, now=midnight + timedelta(days=1)) == Due(
        latest=expected, missed=()
    )


def test_asked_within_the_repeated_hour_the_slot_is_not_due_again() -> None:
    second_passage = datetime(2025, 10, 26, 1, 15, tzinfo=UTC)
    assert schedule.due(NIGHTLY, after=second_passage, now=second_passage + timedelta(hours=1)) == Due(
        latest=None, missed=()
    )


@pytest.mark.parametrize(
    "plan",
    [
        Every(every=timedelta(minutes=1), phase=timedelta()),
        Cron(expression="* * * * *", zone="Europe/Berlin"),
    ],
)
def test_of_a_long_absence_the_newest_thousand_missed_are_told(plan: schedule.Schedule) -> None:
    now = datetime(2025, 6, 1, 12, 0, 30, tzinfo=UTC)
    due = schedule.due(plan, after=now - timedelta(days=900), now=now)
    assert due.latest == now.replace(second=0)
    assert due.missed == tuple(due.latest - timedelta(minutes=n) for n in range(1000, 0, -1))


def test_a_clock_that_went_back_makes_nothing_due() -> None:
    now = datetime(2025, 6, 1, tzinfo=UTC)
    every = Every(every=timedelta(hours=1), phase=timedelta())
    assert schedule.due(every, after=now + timedelta(days=1), now=now) == Due(latest=None, missed=())
    assert schedule.due(NIGHTLY, after=now + timedelta(days=9), now=now) == Due(latest=None, missed=())


def test_a_slot_is_aligned_to_utc_and_moved_by_the_phase() -> None:
    plan = Every(every=timedelta(hours=6), phase=timedelta(minutes=17))
    noon = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
    assert schedule.next_slot(plan, noon) == noon + timedelta(minutes=17)
    assert schedule.next_slot(plan, noon + timedelta(minutes=17)) == noon + timedelta(hours=6, minutes=17)


def test_phases_are_stable_and_spread() -> None:
    every = timedelta(hours=6)
    assert schedule.phase_of("orders", every) == timedelta(seconds=17188)
    hours = {schedule.phase_of(f"db{n}", every) // timedelta(hours=1) for n in range(100)}
    assert hours == set(range(6))


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("6h", timedelta(hours=6)),
        ("30m", timedelta(minutes=30)),
        ("1d", timedelta(days=1)),
        ("90s", timedelta(seconds=90)),
        (" 60s ", timedelta(minutes=1)),
    ],
)
def test_an_interval_is_a_number_and_a_unit(text: str, interval: timedelta) -> None:
    assert schedule.parse_every(text) == interval


@pytest.mark.parametrize(
    "text", ["", "6", "h", "6 h", "-6h", "0h", "1.5h", "6H", "1w", "59s", "367d", "٣h", "9" * 99]
)
def test_anything_else_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        schedule.parse_every(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    "expression", ["", "30 2 * *", "0 30 2 * * *", "61 * * * *", "@daily", "0 0 31 2 *", "a b c d e"]
)
def test_a_cron_expression_that_is_never_due_is_refused(expression: str) -> None:
    with pytest.raises(Misconfigured, match="cron"):
        Cron(expression=expression, zone="UTC")


@pytest.mark.parametrize("zone", ["", "Berlin", "../etc/passwd", "Europe", "a\x00b", "/etc/localtime"])
def test_a_zone_that_nobody_knows_is_refused(zone: str) -> None:
    with pytest.raises(Misconfigured, match="time zone"):
        Cron(expression="30 2 * * *", zone=zone)


@pytest.mark.parametrize(
    ("every", "phase"),
    [
        (timedelta(seconds=59), timedelta()),
        (timedelta(days=367), timedelta()),
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(hours=1), timedelta(seconds=-1)),
    ],
)
def test_an_interval_out_of_bounds_is_refused(every: timedelta, phase: timedelta) -> None:
    with pytest.raises(Misconfigured):
        Every(every=every, phase=phase)
