"""The rows of a restored database beside those that were recorded: their numbers, and what they hold.

The rows of one part are known in a restored table by the transaction that loaded them, as long as nobody
has changed them. So every table is read once, whatever is compared of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.domain import parts as partition
from shared.domain.evidence import KNOWN_METHODS, Evidence
from shared.domain.manifest import Manifest, Part, TableCount
from shared.domain.parts import Key, Table
from shared.domain.proof import Digests
from shared.operations.proofs.refreshing import BroughtBy
from shared.postgres import digests, inspection
from shared.postgres.digests import Expressions
from shared.postgres.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """`digested` counts the digests that were compared, `notes` say which could not be."""

    row_counts: Mapping[str, int]
    differences: tuple[str, ...]
    notes: tuple[str, ...]
    digested: int


def compare(session: Session, manifest: Manifest, *, brought_by: BroughtBy, choice: Digests) -> Contents:
    """Of every table the number of its rows; of those that `choice` names what they hold."""
    tables = {(t.schema, t.name): t for t in inspection.tables(session)}
    recorded = {(t.schema, t.name): t for t in manifest.tables}
    recorded_by = known_evidence(manifest)
    expressions = digests.expressions(session, method=recorded_by.method) if recorded_by else {}
    whole = frozenset(
        key
        for key in partition.digested(tables.values(), choice) & recorded.keys() & expressions.keys()
        if recorded[key].digest is not None
    )
    parts = chosen_parts(manifest, tables.values(), choice, brought_by=brought_by, known=expressions)
    counted = digests.count(
        session,
        [table for key, table in tables.items() if key not in parts],
        {key: expressions[key] for key in whole},
    )
    found = {named(c.schema, c.name): c.row_count for c in counted}
    wrong, notes = compare_whole(counted, recorded, whole)
    for key, some in sorted(parts.items()):
        xids = [brought_by[part.spec.number] for part in some]
        total, brought = digests.by_transaction(session, *key, expressions[key], xids)
        found[named(*key)] = total
        if brought is None:
            notes.append(f"the content of {named(*key)} is too large to be digested here")
        elif total == recorded[key].row_count:
            wrong += compare_parts(some, brought, brought_by)
    return Contents(
        row_counts=found,
        differences=tuple(wrong),
        notes=tuple(notes),
        digested=len(whole) + sum(len(some) for some in parts.values()) - len(notes),
    )


def known_evidence(manifest: Manifest) -> Evidence | None:
    """Its evidence, where digests can still be computed in the way in which these were."""
    evidence = manifest.evidence
    return evidence if evidence is not None and evidence.method in KNOWN_METHODS else None


def chosen_parts(
    manifest: Manifest, tables: Iterable[Table], choice: Digests, *, brought_by: BroughtBy, known: Expressions
) -> Mapping[Key, Sequence[Part]]:
    """The parts to compare, by table: those that were digested then, and that can be told apart now."""
    there = list(tables)
    keys = {(t.schema, t.name) for t in there}
    sample = partition.sample([part.spec for part in manifest.parts], there, choice, seed=manifest.id)
    chosen = defaultdict[Key, list[Part]](list)
    for part in manifest.parts:
        key = part.spec.key
        if (
            part.digest is not None
            and part.spec.number in sample & brought_by.keys()
            and key in keys & known.keys()
        ):
            chosen[key].append(part)
    return chosen


def compare_whole(
    counted: Iterable[TableCount], recorded: Mapping[Key, TableCount], whole: Iterable[Key]
) -> tuple[list[str], list[str]]:
    """Differences and notes of tables that were digested whole. Where rows are missing that says it all."""
    found = {(c.schema, c.name): c for c in counted}
    wrong, notes = list[str](), list[str]()
    for key in sorted(whole):
        if found[key].digest is None:
            notes.append(f"the content of {named(*key)} is too large to be digested here")
        elif found[key].row_count == recorded[key].row_count and found[key].digest != recorded[key].digest:
            wrong.append(f"{named(*key)} holds other rows than those that were recorded")
    return wrong, notes


def compare_parts(
    parts: Iterable[Part], brought: Mapping[str, digests.Rows], brought_by: BroughtBy
) -> Iterator[str]:
    for part in parts:
        found = brought.get(brought_by[part.spec.number], digests.NO_ROWS)
        if (found.count, found.digest) != (part.row_count, part.digest):
            spec = part.spec
            end = "the last" if spec.end_page is None else spec.end_page - 1
            yield (
                f"{named(spec.schema, spec.table)} holds other rows than those that were recorded"
                f" of its pages {spec.first_page} to {end}"
            )


def named(schema: str, name: str) -> str:
    return f"{schema}.{name}"
