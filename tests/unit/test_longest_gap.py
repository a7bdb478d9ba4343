"""How long a database may rightly go without a snapshot, by its schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.schedule import Cron, Every, longest_gap

A_TUESDAY = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "gap"),
    [
        ("30 2 * * *", timedelta(days=1)),
        ("0 */6 * * *", timedelta(hours=6)),
        ("*/15 9-16 * * *", timedelta(hours=16, minutes=15)),
        ("30 2 * * 1-5", timedelta(days=3)),
        ("* 9-17 * * 1-5", timedelta(days=2, hours=15, minutes=1)),
        ("0 3 * * 0", timedelta(days=7)),
        ("0 3 1 * *", timedelta(days=31)),
    ],
)
def test_nights_and_weekends_are_part_of_a_schedule(expression: str, gap: timedelta) -> None:
    for day in range(7):
        now = A_TUESDAY + timedelta(days=day)
        assert longest_gap(Cron(expression=expression, zone="UTC"), now) >= gap * 0.9
    assert longest_gap(Cron(expression=expression, zone="UTC"), A_TUESDAY) == gap


def test_an_interval_is_its_own_longest_gap() -> None:
    every = timedelta(hours=6)
    assert longest_gap(Every(every=every, phase=timedelta(hours=1)), A_TUESDAY) == every
