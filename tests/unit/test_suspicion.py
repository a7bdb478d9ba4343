"""What makes a snapshot suspect, and what does not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import suspicion
from shared.domain.suspicion import Contents

names = st.text(alphabet="abc._0123456789", min_size=1, max_size=12)
contents = st.builds(
    Contents,
    table_rows=st.dictionaries(names, st.integers(0, 10_000), max_size=8),
    raw_bytes=st.integers(0, 10_000_000),
)


def said(
    before: Mapping[str, int], now: Mapping[str, int], *, raw_bytes: tuple[int, int] = (0, 0)
) -> tuple[str, ...]:
    return suspicion.judge(
        Contents(table_rows=before, raw_bytes=raw_bytes[0]), Contents(table_rows=now, raw_bytes=raw_bytes[1])
    )


@given(contents)
def test_the_first_snapshot_of_a_database_is_never_suspect(now: Contents) -> None:
    assert suspicion.judge(None, now) == ()


@given(contents)
def test_a_database_that_did_not_change_is_not_suspect(now: Contents) -> None:
    assert suspicion.judge(now, now) == ()


@given(contents, st.dictionaries(names, st.integers(0, 10_000), max_size=8))
def test_growth_is_not_suspect(before: Contents, more: Mapping[str, int]) -> None:
    grown = {name: before.table_rows.get(name, 0) + more.get(name, 0) for name in {*before.table_rows, *more}}
    assert suspicion.judge(before, Contents(table_rows=grown, raw_bytes=2 * before.raw_bytes)) == ()


@given(contents, contents)
def test_a_sentence_is_one_line_of_bounded_length(before: Contents, now: Contents) -> None:
    for sentence in suspicion.judge(before, now):
        assert "\n" not in sentence
        assert 10 < len(sentence) < 300


def test_a_database_without_tables_where_there_were_some_is_suspect() -> None:
    assert said({"public.a": 0, "public.b": 3}, {}) == ("there is no user table; before there were 2",)


def test_a_database_that_was_empty_from_the_first_is_not() -> None:
    assert said({}, {}, raw_bytes=(1_000_000, 100)) == ("100 bytes in all; before there were 1,000,000",)
    assert said({}, {}, raw_bytes=(1200, 1200)) == ()


def test_a_table_that_is_gone_is_named() -> None:
    assert said({"public.a": 5, "public.b": 1000}, {"public.b": 1000}) == (
        "public.a (5 rows before) is gone",
    )


def test_a_table_that_lost_many_rows_to_none_is_named() -> None:
    assert said({"a": 1200, "b": 9000}, {"a": 0, "b": 9000}) == ("a (1,200 rows before) is empty",)
    assert said({"a": 9, "b": 9000}, {"a": 0, "b": 9000}) == ()


@pytest.mark.parametrize(("left", "is_suspect"), [(501, False), (500, True), (0, True)])
def test_half_the_rows_gone_is_suspect(left: int, is_suspect: bool) -> None:
    found = said({"a": 1, "b": 999}, {"a": 1, "b": left - 1 if left else 0})
    assert bool(found) is is_suspect


@pytest.mark.parametrize(("left", "is_suspect"), [(500_001, False), (500_000, True)])
def test_half_the_bytes_gone_is_suspect(left: int, is_suspect: bool) -> None:
    assert bool(said({"a": 1}, {"a": 1}, raw_bytes=(1_000_000, left))) is is_suspect


def test_what_is_tiny_comes_and_goes() -> None:
    assert said({"a": 8}, {"a": 1}, raw_bytes=(60_000, 2_000)) == ()


def test_of_many_tables_five_are_named() -> None:
    before = {f"t_{name}": 1 for name in "abcdefgh"} | {"big": 10_000}
    [found] = said(before, {"big": 10_000})
    assert found.startswith("t_a (1 row before), t_b (1 row before)")
    assert found.endswith("t_e (1 row before) and 3 more tables are gone")


def test_the_oldest_partition_goes_without_suspicion_and_half_of_them_do_not() -> None:
    before = {f"public.events_2024_{month:02}": 100 for month in range(1, 13)}
    after = {f"public.events_2024_{month:02}": 100 for month in range(2, 13)} | {"public.events_2025_01": 40}
    assert said(before, after) == ()
    assert len(said(before, dict.fromkeys(list(before)[:5], 300))) == 1
    assert said({"t1": 5, "t2": 500}, {"t2": 500}) == ("t1 (5 rows before) is gone",)


def test_it_is_news_at_first_and_when_it_gets_worse() -> None:
    assert suspicion.is_news(["a is gone"], so_far=())
    assert not suspicion.is_news(["a is gone"], so_far=["a is gone"])
    assert suspicion.is_news(["a is gone", "b is empty"], so_far=["a is gone"])
    assert not suspicion.is_news((), so_far=())
