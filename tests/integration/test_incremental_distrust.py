"""A part that is found wrong is taken over by nobody any more, whichever of the snapshots that hold it was looked at."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from embedded.postgres import Postgres
from shared.domain.increments import Origin
from shared.domain.job import JobState
from shared.domain.snapshot import Reason
from shared.operations.proofs.rereading import read_again
from shared.operations.snapshots.increments import NO_BASE
from shared.storage.repository import chunk_key
from tests.integration.conftest import Inline
from tests.integration.holding import held_at
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_incremental import PARTS, origins, ready, sealed
from tests.waiting import until

Maker = Callable[..., str]


def spoil(fleet: InlineFleet, sha256: str) -> None:
    """Other bytes of the same number, as a failing disk gives them."""
    storage, key = fleet.fleet.repository.storage, chunk_key(NAME, sha256)
    storage.put(key, bytes(len(storage.get(key))))


def test_after_a_refuted_proof_all_is_read_and_what_was_damaged_is_stored_again(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    _, fleet = ready(postgres, database, inline)
    base, sibling = sealed(fleet), sealed(fleet)
    assert origins(sibling) == {Origin.UNREAD: PARTS}
    spoil(fleet, base.parts[1].chunks[0].sha256)
    proof = fleet.verify(sibling.id)
    assert (proof.error or {}).get("code") == "chunk_damaged"

    again = sealed(fleet)
    assert again.increment is not None
    assert again.increment.reason == NO_BASE
    assert again.parts[1].origin is Origin.NEW
    assert fleet.verify(again.id).state is JobState.SUCCEEDED
    assert origins(sealed(fleet)) == {Origin.UNREAD: PARTS}


def test_what_was_built_on_one_that_is_found_wrong_before_it_is_sealed_is_built_on_by_nothing(
    database: Maker, postgres: Postgres, inline: Inline, tmp_path: Path
) -> None:
    _, fleet = ready(postgres, database, inline)
    base = sealed(fleet)
    with ThreadPoolExecutor() as threads, held_at("seal.checked", tmp_path) as reached:
        sealing = threads.submit(sealed, fleet)
        until(reached.exists)
        with fleet.fleet.catalog.transaction() as tx:
            tx.snapshots.distrust_bases(NAME)
        reached.unlink()
        during = sealing.result()
    assert during.increment is not None
    assert during.increment.built_on == base.id
    after = sealed(fleet)
    assert after.increment is not None
    assert after.increment.reason == NO_BASE


def test_a_part_that_is_found_damaged_after_it_was_taken_over_is_read_before_the_seal(
    database: Maker, postgres: Postgres, inline: Inline, tmp_path: Path
) -> None:
    """Name and size are as they were."""
    _, fleet = ready(postgres, database, inline)
    base = sealed(fleet)
    with ThreadPoolExecutor() as threads, held_at("copy.shared_out", tmp_path) as reached:
        sealing = threads.submit(sealed, fleet)
        until(reached.exists)
        spoil(fleet, base.parts[1].chunks[0].sha256)
        kept = next(each for each in fleet.snapshots() if each.id == base.id)
        _, troubles = read_again(fleet.fleet, kept, reading_id=str(uuid.uuid4()), each=lambda _number: None)
        reached.unlink()
        again = sealing.result()
    assert [*troubles] == [base.parts[1].chunks[0].sha256]
    assert again.parts == base.parts
    assert fleet.verify(again.id).state is JobState.SUCCEEDED


def test_a_safety_snapshot_compares_nothing(database: Maker, postgres: Postgres, inline: Inline) -> None:
    """It comes before a restore that somebody needs: what the server's record is worth is no matter of that moment."""
    _, fleet = ready(postgres, database, inline, verify_incremental=1)
    sealed(fleet)
    assert origins(sealed(fleet)) == {Origin.KNOWN: PARTS}
    assert fleet.restore(safeguard=True).state is JobState.SUCCEEDED
    how_read = [each.how_read for each in fleet.snapshots() if each.reason is Reason.SAFEGUARD]
    assert [each.unread.parts for each in how_read if each] == [PARTS]
