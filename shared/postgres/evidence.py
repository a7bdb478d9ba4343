"""Read what a proof compares beside rows and sequences. The same statements at the source and after a restore."""

from __future__ import annotations

from shared.domain.evidence import METHOD, Evidence, LargeObjects, Rights
from shared.domain.manifest import parse
from shared.domain.proof import SAMPLE_BYTES, SAMPLE_ONE_IN, Digests
from shared.postgres import inspection
from shared.postgres.session import Session, statement

MASKS = {Digests.ALL: 0, Digests.SAMPLE: SAMPLE_ONE_IN - 1, Digests.NONE: None}
"""Of an oid's hash: those where none of these bits is set are digested."""


def read(session: Session, *, large_objects: Digests) -> Evidence:
    """All of it, inside the session's transaction. Of large objects, those that are named are digested."""
    irregular = inspection.row(session, statement("irregular"))
    counts = session.execute(statement("object_counts").encode())
    return Evidence(
        method=METHOD,
        large_objects=read_large_objects(session, large_objects),
        rights=tuple(
            Rights(kind=r["kind"], name=r["name"], owner=r["owner"], changes=tuple(r["changes"]))
            for r in session.execute(statement("object_rights").encode())
        ),
        counts={r["kind"]: r["n"] for r in counts},
        invalid_indexes=tuple(irregular["invalid_indexes"]),
        unvalidated_constraints=tuple(irregular["unvalidated_constraints"]),
        unlogged_tables=tuple(irregular["unlogged_tables"]),
    )


def chosen(session: Session, choice: Digests) -> Digests:
    """Which large objects to digest at the source: a sample of few is all of them, as with tables."""
    if choice is not Digests.SAMPLE:
        return choice
    small = read_large_objects(session, Digests.NONE).total_bytes <= SAMPLE_BYTES
    return Digests.ALL if small else Digests.SAMPLE


def read_large_objects(session: Session, choice: Digests) -> LargeObjects:
    mask = MASKS[choice]
    found = inspection.row(session, statement("large_objects"), mask=mask)
    return parse(
        found | {"digest_of": choice, "digest": None if mask is None else found["digest"]}, LargeObjects
    )
