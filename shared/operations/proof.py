"""Compare a restored database with what was recorded inside the snapshot's own transaction."""

from __future__ import annotations

from collections.abc import Mapping

from shared.domain.manifest import Manifest, SequencePosition
from shared.postgres import inspection
from shared.postgres.session import Session

Counts = Mapping[tuple[str, str], int]


def compare(session: Session, manifest: Manifest) -> tuple[Counts, list[str]]:
    """Rows of every table, exactly, and every difference in rows, sequences and indexes, in words."""
    counted = inspection.row_counts(session, inspection.tables(session))
    found = {(count.schema, count.name): count.row_count for count in counted}
    differences = compare_counts(manifest, found)
    differences += compare_sequences(manifest, inspection.sequences(session))
    differences += [f"index {name} is invalid" for name in inspection.invalid_indexes(session)]
    return found, differences


def compare_counts(manifest: Manifest, found: Counts) -> list[str]:
    recorded = {(t.schema, t.name): t.row_count for t in manifest.tables}
    return [
        f"{schema}.{name} has {found.get((schema, name), 'no')} rows instead of {recorded.get((schema, name), 'none')}"
        for schema, name in sorted(recorded.keys() | found.keys())
        if recorded.get((schema, name)) != found.get((schema, name))
    ]


def compare_sequences(manifest: Manifest, found: tuple[inspection.SequenceState, ...]) -> list[str]:
    """A sequence may be further than recorded, for it moves outside of transactions; never behind."""
    states = {(s.position.schema, s.position.name): s for s in found}
    differences = []
    for recorded in manifest.sequences:
        state = states.get((recorded.schema, recorded.name))
        if state is None:
            differences.append(f"sequence {recorded.schema}.{recorded.name} is missing")
        elif not state.cycles and is_behind(state, recorded):
            differences.append(f"sequence {recorded.schema}.{recorded.name} is behind")
    return differences


def is_behind(state: inspection.SequenceState, recorded: SequencePosition) -> bool:
    sign = 1 if state.ascending else -1
    now = (sign * state.position.last_value, state.position.is_called)
    return now < (sign * recorded.last_value, recorded.is_called)
