"""What becomes of a snapshot after its manifest is written: a small JSON beside it, for whoever lost the catalog.

    manifest.json    what the snapshot is: written once, and needed to restore it
    standing.json    what it is worth to us: written anew at each change, and never needed to restore it

`docs/repository-format.md` describes every field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from pydantic import TypeAdapter, ValidationError

from shared.domain import ids
from shared.domain.manifest import Manifest
from shared.domain.snapshot import Reason, Snapshot
from shared.errors import Damaged

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The fields of `Snapshot` that no manifest tells of."""

    format: int
    manifest_sha256: str
    """Of the manifest that it stands beside."""
    sequence: int
    reason: Reason
    labels: Mapping[str, str]
    pinned: bool
    created_at: datetime
    sealed_at: datetime
    new_bytes: int | None
    duration_seconds: float | None
    verified_at: datetime | None
    refuted_at: datetime | None
    suspicions: tuple[str, ...]
    accepted_at: datetime | None
    kept_until: datetime | None

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """Of a sealed snapshot."""
        if snapshot.manifest_sha256 is None or snapshot.sealed_at is None:
            raise ValueError(f"snapshot {snapshot.id} is not sealed")
        return cls(
            format=FORMAT,
            manifest_sha256=snapshot.manifest_sha256,
            sequence=snapshot.sequence,
            reason=snapshot.reason,
            labels=snapshot.labels,
            pinned=snapshot.pinned,
            created_at=snapshot.created_at,
            sealed_at=snapshot.sealed_at,
            new_bytes=snapshot.new_bytes,
            duration_seconds=snapshot.duration_seconds,
            verified_at=snapshot.verified_at,
            refuted_at=snapshot.refuted_at,
            suspicions=snapshot.suspicions,
            accepted_at=snapshot.accepted_at,
            kept_until=snapshot.kept_until,
        )

    @classmethod
    def unknown(cls, manifest: Manifest, *, sha256: str) -> Self:
        """Of a snapshot beside which none was found: neither verified nor pinned, and last in no order."""
        return cls(
            format=FORMAT,
            manifest_sha256=sha256,
            sequence=0,
            reason=Reason.MANUAL,
            labels={},
            pinned=False,
            created_at=made_at(manifest.id, None),
            sealed_at=manifest.taken_at,
            new_bytes=None,
            duration_seconds=None,
            verified_at=None,
            refuted_at=None,
            suspicions=(),
            accepted_at=None,
            kept_until=None,
        )


STANDING: TypeAdapter[Standing] = TypeAdapter(Standing)


def encode(standing: Standing) -> bytes:
    """As it is stored: JSON, UTF-8, one space of indentation."""
    return STANDING.dump_json(standing, indent=1) + b"\n"


def decode(body: bytes) -> Standing:
    """Read one back; Damaged if it cannot be read, or is of a later format."""
    try:
        found = STANDING.validate_json(body)
    except ValidationError as exc:
        raise Damaged("what is known of its standing cannot be read", code="standing_damaged") from exc
    if found.format > FORMAT:
        raise Damaged(f"its standing has format {found.format}", code="standing_damaged")
    return found


Made = Mapping[str, datetime]
"""When each snapshot was asked for, by its id."""


def made_at(snapshot_id: str, standing: Standing | None) -> datetime:
    """When a snapshot was asked for, as well as that is known."""
    if standing is not None:
        return standing.created_at
    return ids.moment_of(snapshot_id) or datetime.min.replace(tzinfo=UTC)


def in_order(standings: Mapping[str, Standing | None], *, made: Made) -> list[str]:
    """Snapshot ids, the oldest first: by sequence, and by the time of those of which nothing is known."""
    known = {id_: standing.sequence for id_, standing in standings.items() if standing is not None}
    numbered = sorted(known, key=lambda id_: (known[id_], id_))
    others = sorted(standings.keys() - known.keys(), key=lambda id_: (made[id_], id_))
    return merged(numbered, others, made=made)


def merged(first: Sequence[str], second: Sequence[str], *, made: Made) -> list[str]:
    """Two histories as one: time tells what comes next, but each keeps its own order, whatever its clocks said."""
    rest, result = list(reversed(first)), list[str]()
    for id_ in second:
        while rest and (made[rest[-1]], rest[-1]) < (made[id_], id_):
            result.append(rest.pop())
        result.append(id_)
    return result + rest[::-1]
