"""Indexes of large tables, built among the parts of a load: each as soon as its table's last part is in.

    parts of a table ──► its constraints ──► each of its indexes

Both are units of work for lead and hands, as parts are. One that the server refuses is left to `build`, which
restores whatever is not there, and says what stands in the way.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import IO, Any

from shared.domain.manifest import Part
from shared.domain.parts import Key
from shared.operations.jobs.hands import PartRun
from shared.operations.jobs.saga import StepRun
from shared.postgres import early
from shared.postgres.early import Early
from shared.postgres.session import Session
from shared.postgres.tools import Tools

FIRST_NUMBER = 1_000_000_000
"""Beyond the numbers of parts, which are counted from 1."""

Span = tuple[int, int]
Unit = tuple[int, Mapping[str, Any], int]
"""As parts are planned: number, what to do, and bytes to move, which it has none of."""


def plan(session: Session, tools: Tools, parts: Sequence[Part], *, archive: IO[bytes]) -> list[Unit]:
    """Units for the tables of which there are several of these parts, the largest table's first.

    Of smaller ones the indexes are built in less time than it takes to plan them.
    """
    numbers = dict[Key, list[int]]()
    for part in parts:
        numbers.setdefault(part.spec.key, []).append(part.spec.number)
    spans = {table: (min(some), max(some)) for table, some in numbers.items() if len(some) > 1}
    if not spans:
        return []
    found = early.find(tools, session, spans, archive_fd=archive.fileno())
    return list(units(sorted(found, key=lambda each: spans[each.table]), spans))


def units(found: Sequence[Early], spans: Mapping[Key, Span]) -> Iterator[Unit]:
    numbers = count(FIRST_NUMBER)
    bound = dict[Key, Span]()
    for each, number in zip(found, numbers, strict=False):
        # A constraint would wait for the table's other indexes, and its worker with it.
        after = [spans[each.table], *([bound[each.table]] if each.table in bound else [])]
        if each.has_constraints:
            bound[each.table] = (number, number)
        yield number, spec(each, after), 0


def spec(each: Early, after: Sequence[Span]) -> Mapping[str, Any]:
    return {
        "after": after,
        "entries": each.ids,
        "script": base64.b64encode(each.script).decode(),
        "encoding": each.encoding,
    }


def is_one(taken: Mapping[str, Any]) -> bool:
    """Whether what was taken is such a unit, and no part."""
    return "script" in taken


def work(session: Session, part: PartRun) -> Mapping[str, Any]:
    """Build it in a session of its own, once; what nobody can build here is left to who restores the rest."""
    part.check()
    told = part.taken.spec
    is_built = early.build(
        session,
        part.taken.number,
        base64.b64decode(told["script"]),
        encoding=told["encoding"],
        while_running=part.check,
    )
    return {"built": is_built}


def built(run: StepRun) -> frozenset[int]:
    """The entries of the archive that are there already."""
    with run.fleet.catalog.transaction() as tx:
        results = tx.parts.results(run.job.id)
    return frozenset(id_ for told, result in results if result.get("built") for id_ in told["entries"])
