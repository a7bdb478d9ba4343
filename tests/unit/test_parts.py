"""How tables are cut: every page in exactly one part, and limits that stay where they were."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import parts
from shared.domain.parts import SPLIT_BYTES, Column, CopyFormat, PartSpec, Table

PAGE = 8192
MIB = 1024 * 1024
ID = Column(name="id", type_name="pg_catalog.int8")


def table(
    name: str = "t",
    *,
    pages: int,
    toast_bytes: int = 0,
    splittable: bool = True,
    columns: tuple[Column, ...] = (ID,),
) -> Table:
    return Table(
        schema="s",
        name=name,
        is_tree=False,
        columns=columns,
        heap_pages=pages,
        page_bytes=PAGE,
        heap_bytes=pages * PAGE,
        toast_bytes=toast_bytes,
        splittable=splittable,
    )


def limits(specs: tuple[PartSpec, ...]) -> list[tuple[int, int | None]]:
    return [(spec.first_page, spec.end_page) for spec in specs]


sizes = st.integers(0, 3_000_000)
part_sizes = st.integers(1, 1024 * MIB)


@given(pages=sizes, toast_bytes=st.integers(0, 1 << 42), part_bytes=part_sizes)
def test_every_page_is_in_exactly_one_part_and_later_ones_in_the_last(
    pages: int, toast_bytes: int, part_bytes: int
) -> None:
    step = parts.pages_per_part(table(pages=pages, toast_bytes=toast_bytes), part_bytes)
    found = parts.ranges(pages, max(step, pages // 1000 or 1))
    assert found[0][0] == 0
    assert all(end == first for (_, end), (first, _) in pairwise(found))
    assert found[-1][1] is None
    assert all(end is not None and first < end < max(pages, 1) for first, end in found[:-1])


@given(pages=st.integers(1, 200_000), grown=st.integers(0, 1000), part_bytes=st.integers(64 * PAGE, 64 * MIB))
def test_a_table_that_grows_keeps_all_its_limits_but_the_last(
    pages: int, grown: int, part_bytes: int
) -> None:
    step = parts.pages_per_part(table(pages=pages), part_bytes)
    before = parts.ranges(pages, step)
    after = parts.ranges(pages + grown, parts.pages_per_part(table(pages=pages + grown), part_bytes))
    assert list(after)[: len(before) - 1] == list(before)[:-1]


@given(pages=sizes, toast_bytes=st.integers(0, 1 << 42), part_bytes=part_sizes)
def test_a_part_is_at_most_twice_what_was_asked_for_unless_one_page_is_more(
    pages: int, toast_bytes: int, part_bytes: int
) -> None:
    whole = table(pages=pages, toast_bytes=toast_bytes)
    step = parts.pages_per_part(whole, part_bytes)
    weight = (whole.heap_bytes + toast_bytes) / max(1, whole.heap_bytes)
    assert step == 1 or step * PAGE * weight <= 2 * part_bytes
    assert step <= max(1, part_bytes // PAGE)


@given(toast_bytes=st.lists(st.integers(0, 1 << 40), min_size=2, max_size=2))
def test_limits_of_one_table_are_multiples_of_each_other_whatever_its_toast_grows_to(
    toast_bytes: list[int],
) -> None:
    first, second = (
        parts.pages_per_part(table(pages=10_000, toast_bytes=size), 64 * MIB) for size in toast_bytes
    )
    assert max(first, second) % min(first, second) == 0


@pytest.mark.parametrize(
    ("heap_bytes", "toast_bytes", "splittable", "is_split"),
    [
        (SPLIT_BYTES, 0, True, False),
        (SPLIT_BYTES + PAGE, 0, True, True),
        (PAGE, SPLIT_BYTES, True, True),
        (0, SPLIT_BYTES + PAGE, True, True),
        (1000 * MIB, 1000 * MIB, False, False),
        (0, 0, True, False),
    ],
)
def test_what_is_large_with_its_toast_is_split_if_it_can_be(
    heap_bytes: int, toast_bytes: int, *, splittable: bool, is_split: bool
) -> None:
    one = table(pages=heap_bytes // PAGE, toast_bytes=toast_bytes, splittable=splittable)
    assert parts.is_split(one) is is_split
    assert bool(parts.split([one], part_bytes=MIB)) is is_split


def test_the_largest_table_comes_first_and_numbers_run_through() -> None:
    specs = parts.split(
        [table("b", pages=2048), table("a", pages=2048), table("tiny", pages=1), table("c", pages=3000)],
        part_bytes=8 * MIB,
    )
    assert [(s.number, s.table, s.first_page) for s in specs] == [
        (1, "c", 0),
        (2, "c", 1024),
        (3, "c", 2048),
        (4, "a", 0),
        (5, "a", 1024),
        (6, "b", 0),
        (7, "b", 1024),
    ]


def test_a_table_that_ends_at_a_limit_has_no_empty_part() -> None:
    assert limits(parts.split([table(pages=2048)], part_bytes=8 * MIB)) == [(0, 1024), (1024, None)]
    assert limits(parts.split([table(pages=2049)], part_bytes=8 * MIB))[-1] == (2048, None)


def test_a_table_whose_rows_are_all_elsewhere_has_one_part() -> None:
    assert limits(parts.split([table(pages=0, toast_bytes=100 * MIB)], part_bytes=MIB)) == [(0, None)]


def test_a_part_names_the_columns_in_their_order() -> None:
    odd = Column(name='"; drop', type_name="pg_catalog.text")
    [spec] = parts.split([table(pages=1025, columns=(odd, ID))], part_bytes=64 * MIB)
    assert spec.columns == ('"; drop', "id")


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [
        ("pg_catalog.int8", CopyFormat.BINARY),
        ("pg_catalog.jsonb", CopyFormat.BINARY),
        ("pg_catalog.regclass", CopyFormat.TEXT),
        ("pg_catalog.regtype", CopyFormat.TEXT),
        ("pg_catalog.tsvector", CopyFormat.TEXT),
        ("pg_catalog.int4range", CopyFormat.TEXT),
        ("pg_catalog.xid", CopyFormat.TEXT),
        ("pg_catalog.money", CopyFormat.TEXT),
        ("public.int8", CopyFormat.TEXT),
        ("public.mood", CopyFormat.TEXT),
        ("int8", CopyFormat.TEXT),
    ],
)
def test_one_column_without_a_stable_binary_form_makes_the_whole_table_text(
    type_name: str, expected: CopyFormat
) -> None:
    assert parts.copy_format([ID, Column(name="c", type_name=type_name), ID]) is expected
