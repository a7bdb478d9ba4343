"""How the command line writes values for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import formats

NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_960, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_234_567_890, "1.2 GB"),
        (10**19, "10000 PB"),
    ],
)
def test_a_size_has_two_or_three_digits_and_a_unit(count: int | None, text: str) -> None:
    assert formats.size(count) == text


@given(st.integers(min_value=0, max_value=10**17))
def test_a_size_is_never_far_from_the_truth(count: int) -> None:
    value, unit = formats.size(count).split()
    told = float(value) * 1000 ** formats.UNITS.index(unit)
    assert abs(told - count) <= max(0.06 * count, 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5_399, "90 min"), (5_400, "2 h"), (36 * 3600, "2 d")],
)
def test_a_span_is_told_in_one_unit(seconds: float, text: str) -> None:
    assert formats.span(seconds) == text


def test_an_age_by_a_clock_that_is_behind_is_not_negative() -> None:
    assert formats.ago(NOW + timedelta(seconds=3), NOW) == "0 s ago"
    assert formats.ago(NOW - timedelta(hours=3), NOW) == "3 h ago"


def test_a_slot_that_has_passed_is_due() -> None:
    assert formats.ahead(NOW - timedelta(seconds=1), NOW) == "due"
    assert formats.ahead(NOW + timedelta(hours=3), NOW) == "in 3 h"


def test_a_moment_is_told_in_utc_wherever_it_was_taken() -> None:
    there = datetime.fromisoformat("2026-11-22T20:55:00+01:00")
    assert formats.moment(there) == "2026-11-22 19:55:00 UTC"


@pytest.mark.parametrize(("count", "text"), [(1, "1 row"), (0, "0 rows"), (2_000, "2,000 rows")])
def test_a_count_agrees_with_what_it_counts(count: int, text: str) -> None:
    assert formats.counted(count, "row") == text


@given(st.text())
def test_a_line_is_one_line_that_no_terminal_obeys(text: str) -> None:
    assert formats.line(text).isprintable()


def test_a_line_keeps_letters_of_every_script() -> None:
    assert formats.line("Käse 食\n  \x1b[31mrot") == "Käse 食 \N{REPLACEMENT CHARACTER}[31mrot"
