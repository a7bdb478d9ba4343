"""Cut large tables into page ranges: the unit of work of a copy and of a load.

Limits depend on the table alone: never on time, on other tables or on the number of workers. So a
range whose rows did not change gives the same bytes next time, hence the same chunk names, and is not
stored again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count

from shared.domain.proof import SAMPLE_BYTES, Digests, is_sampled

SPLIT_BYTES = 8 * 1024 * 1024
"""A table with its out-of-line data larger than this leaves the archive and is copied in parts."""

Key = tuple[str, str]
"""A table by schema and name."""


class CopyFormat(StrEnum):
    BINARY = "binary"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str
    type_name: str
    """Schema-qualified name of the element type for arrays, else of the type itself, without modifiers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with storage of its own, partitions included. Columns without generated ones.

    Or, as `is_tree`, a partitioned table whose rows may change partition when they are restored: it is
    copied by the archive and counted as a whole.
    """

    schema: str
    name: str
    is_tree: bool
    columns: tuple[Column, ...]
    heap_pages: int
    page_bytes: int
    heap_bytes: int
    toast_bytes: int
    splittable: bool
    """False where a page range cannot be read on its own: not a heap, or without columns to copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSpec:
    """One page range `[first_page, end_page)`; the last of a table is open-ended (`end_page` None)."""

    number: int
    schema: str
    table: str
    columns: tuple[str, ...]
    format: CopyFormat
    first_page: int
    end_page: int | None

    @property
    def key(self) -> Key:
        """Of its table."""
        return self.schema, self.table


# Built-in types whose binary form is the same on every server of 14 and later and on every platform.
# Everything else (domains, enums, composites, reg*, extension types) travels as text.
BINARY_TYPES = frozenset(
    f"pg_catalog.{name}"
    for name in (
        "bool bytea char name int2 int4 int8 float4 float8 numeric text varchar bpchar oid "
        "date time timetz timestamp timestamptz interval uuid json jsonb "
        "inet cidr macaddr macaddr8 bit varbit point line lseg box path polygon circle"
    ).split()
)


def is_split(table: Table) -> bool:
    """Whether the table is copied in parts rather than by the archive."""
    return table.splittable and table.heap_bytes + table.toast_bytes > SPLIT_BYTES


def digested(tables: Iterable[Table], choice: Digests) -> frozenset[tuple[str, str]]:
    """Which of the tables that are not split have their rows digested, by schema and name."""
    return frozenset(
        (t.schema, t.name)
        for t in tables
        if choice is Digests.ALL
        or (choice is Digests.SAMPLE and t.heap_bytes + t.toast_bytes <= SAMPLE_BYTES)
    )


def sample(
    specs: Sequence[PartSpec], tables: Iterable[Table], choice: Digests, *, seed: str
) -> frozenset[int]:
    """The numbers of the parts whose rows are digested.

    Of a table larger than a sample these are the first, the last, and one in sixteen that `seed` chooses.
    """
    whole = digested(tables, choice)
    if choice is Digests.NONE:
        return frozenset()
    return frozenset(
        spec.number
        for spec in specs
        if spec.key in whole or spec.first_page == 0 or spec.end_page is None or is_sampled(seed, spec.number)
    )


def pages_per_part(table: Table, part_bytes: int) -> int:
    """How many heap pages make a part of about `part_bytes`, out-of-line data counted in.

    Shrinks by powers of two only, so that a table that grows slowly keeps its limits.
    """
    pages = max(1, part_bytes // table.page_bytes)
    weight = (table.heap_bytes + table.toast_bytes) / max(1, table.heap_bytes)
    while weight > 2 and pages > 1:  # noqa: PLR2004 - out-of-line data outweighs the heap
        pages //= 2
        weight /= 2
    return pages


def split(tables: Iterable[Table], *, part_bytes: int) -> tuple[PartSpec, ...]:
    """All parts of all tables that are split, numbered from 1, the largest table first."""
    numbers = count(1)
    chosen = sorted(
        (t for t in tables if is_split(t)),
        key=lambda t: (-(t.heap_bytes + t.toast_bytes), t.schema, t.name),
    )
    return tuple(
        PartSpec(
            number=next(numbers),
            schema=table.schema,
            table=table.name,
            columns=tuple(c.name for c in table.columns),
            format=copy_format(table.columns),
            first_page=first,
            end_page=end,
        )
        for table in chosen
        for first, end in ranges(table.heap_pages, pages_per_part(table, part_bytes))
    )


def ranges(pages: int, step: int) -> Sequence[tuple[int, int | None]]:
    """Page ranges of `step`; the last one open, since the table may have grown when it is read."""
    starts = range(0, max(1, pages), step)
    return [(first, first + step if first + step < pages else None) for first in starts]


def copy_format(columns: Iterable[Column]) -> CopyFormat:
    """Binary where every column's type has a stable binary form, else text."""
    binary = all(column.type_name in BINARY_TYPES for column in columns)
    return CopyFormat.BINARY if binary else CopyFormat.TEXT
