"""Whether the manifests are those that were sealed, who vouches for them, and which keys open them.

No key that is secret is needed for any of it: hashes, public keys, and what stands on the covers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from shared.domain import chain as chains
from shared.domain import cover
from shared.domain.cover import Outline
from shared.domain.findings import Finding, found
from shared.domain.snapshot import Snapshot, SnapshotState
from shared.domain.wording import counted
from shared.errors import Damaged, NotFound, Refused
from shared.operations.fleet import Fleet
from shared.storage import covers
from shared.storage.repository import manifest_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A manifest as it lies in the repository; `outline` only where it was read, and has a cover."""

    sha256: str
    outline: Outline | None
    trouble: Finding | None


def look(
    fleet: Fleet,
    database: str,
    snapshots: Sequence[Snapshot],
    stored: Collection[str],
    *,
    check: Callable[[], None],
) -> Iterator[Finding]:
    """`stored` are the ids of snapshots with a manifest. One that is missing the inventory tells of."""
    sealed = [s for s in snapshots if s.state is SnapshotState.SEALED and s.id in stored]
    sealed.sort(key=lambda s: s.sequence)
    seen: dict[str, Seen] = {}
    for snapshot in sealed:
        check()
        what = look_at(fleet, snapshot)
        if what is not None:
            seen[snapshot.id] = what
    # One that was deleted while it was looked at has no findings.
    told = [each.trouble for each in seen.values() if each.trouble is not None]
    replaced = [s.id for s in sealed if s.id in seen and seen[s.id].sha256 != s.manifest_sha256]
    yield from told
    for id_ in replaced:
        yield found(
            "manifest_replaced", id_, f"the manifest of snapshot {id_} is not the one that was sealed"
        )
    yield from of_order(snapshots, seen)
    yield from of_chain(fleet, database, snapshots, seen, stored)
    yield from of_keys(fleet, {id_: each.outline for id_, each in seen.items() if each.outline is not None})


def look_at(fleet: Fleet, snapshot: Snapshot) -> Seen | None:
    repository = fleet.repository
    key = manifest_key(snapshot.database, snapshot.id)
    try:
        told = repository.storage.head(key).sha256  # of both places of a mirror, where it is one
        if not (repository.signing.judges or repository.encryption.is_on or repository.encryption.held):
            return Seen(sha256=str(told), outline=None, trouble=None)
        body = repository.storage.get(key)
    except NotFound:
        return None
    except Damaged:
        return Seen(sha256="", outline=None, trouble=None)
    digest = sha256(body).hexdigest()
    trouble: Finding | None = None
    outline: Outline | None = None
    try:
        text = covers.unpacked(body)
    except Damaged:  # then its hash differs too
        return Seen(sha256=digest, outline=None, trouble=None)
    try:
        repository.refuse_untrusted(text, body, snapshot.database, snapshot.id)
    except (Damaged, Refused) as exc:
        if exc.code not in {"signature_wrong", "signature_missing"}:
            raise
        trouble = found(exc.code, snapshot.id, exc.message)
    with suppress(Damaged):  # then its hash differs too
        outline = cover.outline(text)
    return Seen(sha256=digest, outline=outline, trouble=trouble)


def of_order(snapshots: Sequence[Snapshot], seen: Mapping[str, Seen]) -> Iterator[Finding]:
    """What each manifest says came before it, beside what the catalog says."""
    known = {s.id: s for s in snapshots}
    for id_, each in seen.items():
        link = None if each.outline is None else each.outline.previous
        before = None if link is None else known.get(link.id)
        if link is None or before is None:
            continue
        if before.sequence >= known[id_].sequence:
            what = f"snapshot {id_} was taken after {link.id}, and the catalog has it before that"
            yield found("manifest_reordered", id_, what)
        elif before.manifest_sha256 is not None and before.manifest_sha256 != link.sha256:
            what = (
                f"snapshot {id_} came after another manifest of {link.id} than the one that the catalog knows"
            )
            yield found("manifest_replaced", link.id, what)


def of_chain(
    fleet: Fleet,
    database: str,
    snapshots: Sequence[Snapshot],
    seen: Mapping[str, Seen],
    stored: Collection[str],
) -> Iterator[Finding]:
    """The signed list beside what there is."""
    if not fleet.repository.signing.judges:
        return
    try:
        chain = fleet.repository.get_chain(database)
    except Damaged as exc:
        yield found("chain_damaged", database, exc.message)
        return
    if chain is None:
        if any(each.outline is not None for each in seen.values()):
            yield found("chain_missing", database, f"there is no signed list of {database}'s snapshots")
        return
    known = {s.id for s in snapshots}
    for link in chain.snapshots:
        # One that was sealed since is in the list, and not yet in what was listed before.
        gone = link.id not in known and link.id not in stored
        if gone and not fleet.repository.has_manifest(database, link.id):
            what = f"snapshot {link.id} is in the signed list of snapshots, and there is nothing of it"
            yield found("manifest_missing", link.id, what)
        elif link.id in seen and seen[link.id].sha256 != link.sha256:
            what = f"the manifest of snapshot {link.id} is not the one in the signed list of snapshots"
            yield found("manifest_replaced", f"{link.id}, listed", what)
    ordered = [s.id for s in sorted(snapshots, key=lambda s: s.sequence) if s.id in seen]
    if not chains.is_in_order(ordered, chain):
        what = "the catalog has snapshots in another order than the signed list of them"
        yield found("manifest_reordered", chain.database, what)


def of_keys(fleet: Fleet, outlines: Mapping[str, Outline]) -> Iterator[Finding]:
    """Which keys the encrypted ones need; whether any of them is still written for, and whether we hold one."""
    encryption = fleet.repository.encryption
    needing: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for id_, outline in outlines.items():
        if outline.keys:
            needing[outline.keys].append(id_)
    for keys, ids in sorted(needing.items()):
        one_of = f"key {keys[0]}" if len(keys) == 1 else f"one of the keys {' and '.join(keys)}"
        span = ids[0] if len(ids) == 1 else f"{ids[0]} to {ids[-1]}"
        named = f"{counted(len(ids), 'snapshot')} ({span})"
        subject = ",".join(keys)
        yield found("keys_needed", subject, f"{named} can be opened only with {one_of}", amount=len(ids))
        if encryption.keys and not set(keys) & set(encryption.keys):
            what = f"{named} can be opened only with {one_of}, for which nothing is encrypted any more"
            yield found("keys_retired", subject, what, amount=len(ids))
        if encryption.held and not encryption.opens(keys):
            what = f"{named} cannot be opened here: no identity of {one_of} is held"
            yield found("identity_missing", subject, what, amount=len(ids))
