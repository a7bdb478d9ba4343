"""Whether a snapshot looks like that of a broken database: judged by what the one before it held.

Never by what somebody expects: a database that was empty from its first snapshot on is no suspect.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.domain.wording import counted

MANY_ROWS = 10
"""From so many rows on it says something that a table lost all of them, or a database half: what is
smaller than that comes and goes."""

MANY_BYTES = 64 * 1024
"""The same for bytes: below it they are those of the schema, more or less."""

SERIES_DIGITS = 4
"""With so many digits in its name a table may be one of a series, as partitions by date are."""

NAMED = 5
"""How many tables a sentence names; of the others it tells the number."""


STALE = "it took parts over unread while the server's record of what had changed was wrong"
"""Said of a snapshot later on, whatever it holds beside the one before: no such comparison takes it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a snapshot recorded of itself: rows of each table, by `schema.name`, and raw bytes."""

    table_rows: Mapping[str, int]
    raw_bytes: int

    @property
    def row_count(self) -> int:
        return sum(self.table_rows.values())


def judge(before: Contents | None, now: Contents) -> tuple[str, ...]:
    """Every suspicion as a sentence; none without an earlier snapshot to compare with."""
    if before is None:
        return ()
    if before.table_rows and not now.table_rows:
        return (f"there is no user table; before there were {len(before.table_rows):,}",)
    return (*_tables(before.table_rows, now.table_rows), *_totals(before, now))


def is_news(suspicions: Collection[str], *, so_far: Collection[str]) -> bool:
    """Whether to alert: at the first of a run of suspect snapshots, and again when it gets worse."""
    return len(suspicions) > len(so_far)


def _tables(before: Mapping[str, int], now: Mapping[str, int]) -> Iterable[str]:
    were, are = Counter(map(_series, before)), Counter(map(_series, now))

    def rotated(name: str) -> bool:
        """One of a numbered series that is still there: the oldest partition goes every day."""
        series = _series(name)
        return len(re.findall(r"\d", name)) >= SERIES_DIGITS and are[series] * 2 >= were[series]

    vanished = sorted(name for name in before.keys() - now.keys() if not rotated(name))
    emptied = sorted(name for name, rows in before.items() if rows >= MANY_ROWS and now.get(name) == 0)
    if vanished:
        yield f"{_named(vanished, before)} {'is' if len(vanished) == 1 else 'are'} gone"
    if emptied:
        yield f"{_named(emptied, before)} {'is' if len(emptied) == 1 else 'are'} empty"


def _totals(before: Contents, now: Contents) -> Iterable[str]:
    if before.row_count >= MANY_ROWS and now.row_count * 2 <= before.row_count:
        yield f"{counted(now.row_count, 'row')} in all; before there were {before.row_count:,}"
    if before.raw_bytes >= MANY_BYTES and now.raw_bytes * 2 <= before.raw_bytes:
        yield f"{counted(now.raw_bytes, 'byte')} in all; before there were {before.raw_bytes:,}"


def _series(name: str) -> str:
    return re.sub(r"\d+", "0", name)


def _named(names: Sequence[str], before: Mapping[str, int]) -> str:
    """`public.a (1,000 rows before), public.b (7 rows before) and 3 more tables`"""
    first = [f"{name} ({counted(before[name], 'row')} before)" for name in names[:NAMED]]
    more = len(names) - len(first)
    if more:
        return f"{', '.join(first)} and {counted(more, 'more table')}"
    return " and ".join([", ".join(first[:-1]), first[-1]] if len(first) > 1 else first)
