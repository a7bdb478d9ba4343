"""The list of a database's snapshots, signed and kept beside them: who has gone without leave is still in it.

Each signed manifest names the one before it, and retention breaks such links every day. So the list says which
snapshots there are now, each with the hash of its manifest, the oldest first. It is written anew after a snapshot
was sealed and before one is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from shared.domain.cover import Link
from shared.domain.snapshot import Snapshot, SnapshotState
from shared.errors import Damaged

FORMAT = 1
HINT = "see who could write there; move it away, and it is made anew of what the catalog knows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    kind: Literal["snapfleet chain"] = "snapfleet chain"
    format: int = FORMAT
    database: str
    snapshots: tuple[Link, ...]

    @property
    def hashes(self) -> Mapping[str, str]:
        """Of the manifests, by the ids of the snapshots, in order."""
        return {link.id: link.sha256 for link in self.snapshots}


CHAIN: TypeAdapter[Chain] = TypeAdapter(Chain)


def encode(chain: Chain) -> bytes:
    """As it is stored but for its signature."""
    return CHAIN.dump_json(chain, indent=1) + b"\n"


def decode(body: bytes, database: str) -> Chain:
    """Read one back. Damaged if it is none, or another database's."""
    try:
        found = CHAIN.validate_json(body)
    except ValidationError as exc:
        raise damaged(database, "cannot be read") from exc
    if found.database != database:
        raise damaged(database, f"is that of {found.database}")
    if found.format > FORMAT:
        raise damaged(database, f"has format {found.format}, and this release reads up to {FORMAT}")
    return found


def damaged(database: str, why: str) -> Damaged:
    return Damaged(f"the signed list of {database}'s snapshots {why}", code="chain_damaged", hint=HINT)


def renewed(former: Chain | None, database: str, snapshots: Sequence[Snapshot]) -> Chain:
    """The list with what was sealed since, and without what was deleted.

    All else stays as it was signed, whatever the catalog says by now: neither one that was lost nor one that was
    meddled with makes the list forget a snapshot, take another hash for it, or change its order.
    """
    known = {s.id: s for s in snapshots if s.state is not SnapshotState.COPYING}
    links = [
        link
        for link in (former.snapshots if former is not None else ())
        if link.id not in known or known[link.id].state is SnapshotState.SEALED
    ]
    listed = {link.id for link in links}
    following: str | None = None
    for each in sorted(snapshots, key=lambda s: s.sequence, reverse=True):
        if each.state is not SnapshotState.SEALED or each.manifest_sha256 is None:
            continue
        if each.id not in listed:
            place = next((at for at, link in enumerate(links) if link.id == following), len(links))
            links.insert(place, Link(id=each.id, sha256=each.manifest_sha256))
        following = each.id
    return Chain(database=database, snapshots=tuple(links))


def is_in_order(ids: Sequence[str], chain: Chain) -> bool:
    """Whether snapshots stand in the order of the list, as far as it knows them."""
    places = {link.id: place for place, link in enumerate(chain.snapshots)}
    found = [places[id_] for id_ in ids if id_ in places]
    return found == sorted(found)


def in_its_order(ids: Sequence[str], chain: Chain) -> list[str]:
    """The same ids, those that the list knows in its order; the others keep their places."""
    known = {link.id for link in chain.snapshots}
    here = set(ids)
    rightly = iter([link.id for link in chain.snapshots if link.id in here])
    return [next(rightly) if id_ in known else id_ for id_ in ids]
