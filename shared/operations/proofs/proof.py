"""Compare a restored database with what was recorded inside the snapshot's own transaction.

Each fact is read by the statement that recorded it. What comes out is every difference, in words; what may
rightly differ between two servers is only noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from shared.domain import differences
from shared.domain.manifest import Manifest, Properties
from shared.domain.proof import Digests
from shared.operations.proofs import rows
from shared.operations.proofs.refreshing import BroughtBy
from shared.postgres import evidence, inspection
from shared.postgres.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`compared` counts what was looked at, by kind."""

    differences: tuple[str, ...]
    notes: tuple[str, ...]
    compared: Mapping[str, Any]

    def with_assertions(self, asked: int, failed: Iterable[str]) -> Self:
        """This comparison, and what the operator's own questions have shown."""
        compared = {**self.compared, "assertions": asked}
        return replace(self, compared=compared, differences=(*self.differences, *failed))

    def with_refusals(self, left_out: Iterable[str]) -> Self:
        """This comparison, and before all else why some of it could not be there."""
        return replace(self, differences=(*left_out, *self.differences))

    def with_remarks(self, notes: Iterable[str], more: Mapping[str, Any]) -> Self:
        """This comparison, and what is to be known of the database that was compared."""
        return replace(self, notes=(*self.notes, *notes), compared={**self.compared, **more})


def compare(
    session: Session,
    manifest: Manifest,
    *,
    properties: Properties,
    brought_by: BroughtBy,
    choice: Digests,
) -> Comparison:
    """All of it, inside the session's transaction. `properties` are what the database's own would be."""
    found = rows.compare(session, manifest, brought_by=brought_by, choice=choice)
    recorded_rows = {rows.named(t.schema, t.name): t.row_count for t in manifest.tables}
    extensions = inspection.extensions(session)
    compared: dict[str, Any] = {
        "tables": len(found.row_counts),
        "rows": sum(found.row_counts.values()),
        "digests": found.digested,
        "sequences": len(manifest.sequences),
    }
    if manifest.evidence is not None:
        compared["large_objects"] = manifest.evidence.large_objects.count
        compared["objects"] = sum(manifest.evidence.counts.values())
    return Comparison(
        differences=(
            *differences.in_rows(recorded_rows, found.row_counts),
            *found.differences,
            *in_sequences(session, manifest),
            *differences.in_extensions(manifest.extensions, extensions),
            *differences.in_properties(manifest.properties, properties),
            *in_evidence(session, manifest, choice),
        ),
        notes=(
            *found.notes,
            *notes_on_method(manifest),
            *differences.notes_on_extensions(manifest.extensions, extensions),
        ),
        compared=compared,
    )


def notes_on_method(manifest: Manifest) -> Iterator[str]:
    if manifest.evidence is not None and rows.known_evidence(manifest) is None:
        yield "content was digested in a way that is not known here, and is not compared; numbers are"


def in_sequences(session: Session, manifest: Manifest) -> Iterator[str]:
    states = {(s.position.schema, s.position.name): s for s in inspection.sequences(session)}
    for recorded in manifest.sequences:
        state = states.get((recorded.schema, recorded.name))
        if state is None:
            yield f"sequence {recorded.schema}.{recorded.name} is missing"
        elif not state.cycles:
            yield from differences.in_position(recorded, state.position, ascending=state.ascending)


def in_evidence(session: Session, manifest: Manifest, choice: Digests) -> Iterator[str]:
    recorded = manifest.evidence
    if recorded is None:
        # A snapshot of a former release does not say what was invalid at its source.
        yield from (f"index {name} is invalid" for name in inspection.invalid_indexes(session))
        return
    compares_content = choice is not Digests.NONE and rows.known_evidence(manifest) is not None
    wanted = recorded.large_objects.digest_of if compares_content else Digests.NONE
    majors = (manifest.source.server_version_num // 10000, inspection.server_version(session) // 10000)
    yield from differences.in_evidence(
        recorded,
        evidence.read(session, large_objects=wanted),
        usual_owner=manifest.properties.owner,
        majors=majors,
    )
