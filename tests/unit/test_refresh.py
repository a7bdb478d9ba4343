"""What two snapshots have in common: only tables of which every part is the same bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.domain import refresh
from shared.domain.manifest import Manifest, Part
from tests.unit.test_manifest import EXAMPLE, chunk

[FIRST] = EXAMPLE.parts


def part(number: int, table: str, content: bytes = b"same", **changes: Any) -> Part:
    spec = replace(FIRST.spec, number=number, table=table, first_page=number, **changes)
    return replace(FIRST, spec=spec, chunks=(chunk(content),))


def snapshot(*parts: Part) -> Manifest:
    return replace(EXAMPLE, parts=parts)


def test_parts_are_the_same_whatever_their_numbers() -> None:
    then = snapshot(part(1, "other"), part(2, "still"), part(3, "still"))
    now = snapshot(*(replace(p, spec=replace(p.spec, number=p.spec.number + 5)) for p in then.parts[1:]))
    assert refresh.taken_over(then, now, {1: "a", 2: "b", 3: "c"}) == {7: "b", 8: "c"}


@pytest.mark.parametrize(
    "second",
    [
        pytest.param([part(2, "t", b"other")], id="other bytes"),
        pytest.param([part(2, "t", columns=("a",))], id="other columns"),
        pytest.param([replace(part(2, "t"), row_count=4)], id="another count"),
        pytest.param([], id="one is gone"),
        pytest.param([part(2, "t"), part(3, "t")], id="one has come"),
    ],
)
def test_one_part_that_differs_takes_its_table_along_and_no_other(second: list[Part]) -> None:
    then = snapshot(part(1, "t"), part(2, "t"), part(9, "u"))
    now = snapshot(part(1, "t"), *second, part(9, "u"))
    assert refresh.taken_over(then, now, {1: "a", 2: "b", 3: "c", 9: "d"}) == {9: "d"}


def test_a_table_with_a_part_that_nobody_knows_by_its_rows_is_not_taken_over() -> None:
    then = snapshot(part(1, "t"), part(2, "t"), part(3, "u"))
    assert refresh.taken_over(then, then, {1: "a", 3: "c"}) == {3: "c"}


def test_a_table_of_the_same_name_in_another_schema_is_another_one() -> None:
    assert refresh.taken_over(snapshot(part(1, "t")), snapshot(part(1, "t", schema="s")), {1: "a"}) == {}


@pytest.mark.parametrize(
    "now",
    [
        replace(EXAMPLE, source=replace(EXAMPLE.source, collate="de_DE")),
        replace(EXAMPLE, properties=replace(EXAMPLE.properties, owner="another")),
        replace(EXAMPLE, extensions=("plpgsql 1.1",)),
    ],
    ids=["another order", "another owner", "another extension"],
)
def test_a_database_that_would_be_made_otherwise_is_not_alike(now: Manifest) -> None:
    assert refresh.is_alike(EXAMPLE, replace(EXAMPLE, id="20261122T195501Z-3f9a2c"))
    assert not refresh.is_alike(EXAMPLE, now)
