"""Manifests of the first builds, which did not compress them: as good as any, beside new ones, for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.domain.cover import Link
from shared.domain.manifest import Manifest
from shared.domain.snapshot import SnapshotState
from shared.operations.upkeep import adopting
from shared.operations.upkeep.rebuilding import What
from shared.storage import covers
from shared.storage.frames import is_frame
from shared.storage.memory import MemoryStorage
from shared.storage.repository import Repository, manifest_key
from shared.storage.signing import UNSIGNED, Signing
from tests.actors import TESTER
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME
from tests.integration.keyed_fleet import SAMPLE, checked, content, rebuilt, snapshot, taken
from tests.integration.test_round_trip import fill, succeeded
from tests.integration.test_signed_fleet import pruned
from tests.unit.given_keys import signs

Maker = Callable[..., str]


class Former(Repository):
    """Stores a manifest as its JSON."""

    def encoded(self, sealed: Manifest, *, previous: Link | None, plain: bool = False) -> bytes:
        return covers.unpacked(super().encoded(sealed, previous=previous, plain=plain))


@pytest.mark.parametrize("signing", [UNSIGNED, signs(required=True)], ids=["unsigned", "signed"])
def test_one_is_listed_checked_proven_restored_adopted_and_deleted_like_a_new_one(
    signing: Signing, database: Maker, inline: Inline
) -> None:
    url, storage = database(), MemoryStorage()
    fill(url, SAMPLE)
    before = content(url)
    fleet = inline(url, storage=storage)
    fleet.configure(repository=Former(storage, signing=signing))
    gone, kept = taken(fleet), taken(fleet)
    fleet.configure(repository=Repository(storage, signing=signing))
    new = taken(fleet)
    frames = {id_: is_frame(storage.get(manifest_key(NAME, id_))) for id_ in (gone, kept, new)}
    assert frames == {gone: False, kept: False, new: True}

    assert not checked(fleet)
    succeeded(fleet.verify(kept))
    assert snapshot(fleet, kept).is_verified
    fill(url, "drop table peculiar_name")
    succeeded(fleet.restore(snapshot_id=kept))
    assert content(url) == before

    pruned(fleet, gone)
    assert {s.id for s in fleet.snapshots() if s.state is SnapshotState.DELETED} == {gone}
    assert fleet.fleet.repository.manifests(NAME) == sorted((kept, new))
    assert not checked(fleet)

    later = inline(url, storage=storage)
    later.configure(repository=Repository(storage, signing=signing))
    assert {id_: entry.what for id_, entry in rebuilt(later).items()} == {kept: What.ADDED, new: What.ADDED}

    other = inline(url)
    theirs = Repository(storage, signing=signing)
    other.configure(repository=theirs.elsewhere(other.fleet.repository.storage))
    adopted = adopting.adopt(other.fleet, theirs, databases=(), name=None, by=TESTER)
    assert [entry.what for entry in adopted] == [What.ADDED, What.ADDED]
    for id_ in (kept, new):
        key = manifest_key(NAME, id_)
        assert other.fleet.repository.storage.get(key) == storage.get(key)
    assert snapshot(other, kept).is_verified
