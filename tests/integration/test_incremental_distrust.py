"""A part that is found wrong is taken over by nobody any more, whichever of the snapshots that hold it was looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from embedded.postgres import Postgres
from shared import failpoints
from shared.domain.increments import Origin
from shared.domain.job import JobState
from shared.operations.snapshots.increments import NO_BASE
from shared.storage.repository import chunk_key
from tests.integration.conftest import Inline
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
    with held_at("seal.checked", tmp_path) as reached, ThreadPoolExecutor() as threads:
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


@contextmanager
def held_at(point: str, folder: Path) -> Iterator[Path]:
    """Hold the next one that comes by there, for as long as the file is there that tells of it."""
    (folder / point).write_text("hold")
    reached = folder / f"{point}{failpoints.STRUCK}"
    failpoints.arm(folder)
    try:
        yield reached
    finally:
        failpoints.disarm()
        reached.unlink(missing_ok=True)
