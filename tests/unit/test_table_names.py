"""Names of single tables, letter for letter, and never longer than PostgreSQL keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import table_names
from shared.domain.table_names import MAX_BYTES, TableName
from shared.errors import Refused

NOON = datetime(2026, 11, 22, 19, 55, tzinfo=UTC)
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=70)


@given(st.none() | names, names)
def test_a_name_that_is_spelt_is_read_back_the_same(schema: str | None, name: str) -> None:
    table = TableName(schema=schema, name=name)
    assert table_names.parse(str(table)) == table


@pytest.mark.parametrize(
    ("text", "schema", "name"),
    [
        ("orders", None, "orders"),
        ("shop.Orders", "shop", "Orders"),
        ('"we""ird"."tab.le"', 'we"ird', "tab.le"),
        ("public.a b*", "public", "a b*"),
    ],
)
def test_a_name_is_taken_letter_for_letter(text: str, schema: str | None, name: str) -> None:
    assert table_names.parse(text) == TableName(schema=schema, name=name)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a.b.c", 'a"b', '"a', '""'])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        table_names.parse(text)


@given(names)
def test_a_copys_name_fits_and_ends_with_the_moment(name: str) -> None:
    made = table_names.wanted(str(TableName(schema="s", name=name)), None).new_name(NOON)
    assert len(made.encode()) <= MAX_BYTES
    assert made.endswith("__at_20261122t195500z")
    assert name.startswith(made.removesuffix("__at_20261122t195500z"))


def test_the_moment_is_utc() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=9)))
    assert table_names.suffix(there) == "__at_20261122t195500z"


@given(names, st.integers(0, 12))
def test_a_free_name_is_free(name: str, count: int) -> None:
    taken: set[str] = set()
    for _ in range(count + 1):
        made = table_names.free_name(name, "__x", taken)
        assert made not in taken
        assert len(made.encode()) <= MAX_BYTES
        taken.add(made)


@pytest.mark.parametrize("to", ["other.b", "x" * 64, "a.b.c"])
def test_a_new_name_elsewhere_or_too_long_is_refused(to: str) -> None:
    with pytest.raises(Refused):
        table_names.wanted("public.a", to)
    assert table_names.wanted("public.a", "public.b").to == "b"
