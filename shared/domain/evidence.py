"""What a snapshot's own transaction saw beside rows and sequences: what its proofs compare with.

Read by the same statements at the source and in what was restored, and written into the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.domain.proof import Digests

METHOD = 3
"""How digests are computed. It grows when they would come out differently for the same content."""

KNOWN_METHODS = frozenset({2, METHOD})
"""Those by which digests can still be computed, to compare with what was recorded by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeObjects:
    """All of them. The digest is the sum of hashes of those that `digest_of` names, whatever their order."""

    count: int
    total_bytes: int
    digest_of: Digests
    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """One object whose owner is not the database's, or whose privileges are not PostgreSQL's default ones.

    `changes` are the differences from that default: `+reader SELECT`, `-public EXECUTE`.
    """

    kind: str
    name: str
    owner: str
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    method: int
    large_objects: LargeObjects
    rights: tuple[Rights, ...]
    counts: Mapping[str, int]
    """How many there are of each kind of object, those of extensions left out; kinds without one too."""
    invalid_indexes: tuple[str, ...]
    unvalidated_constraints: tuple[str, ...]
    unlogged_tables: tuple[str, ...]
