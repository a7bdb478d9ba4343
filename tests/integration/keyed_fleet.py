"""A fleet whose processes hold keys, and what a test asks of it."""

from __future__ import annotations

from typing import Any

import psycopg

from shared.domain.findings import Finding
from shared.domain.job import JobKind
from shared.domain.snapshot import Snapshot
from shared.operations.upkeep import check, rebuilding
from shared.operations.upkeep.rebuilding import Entry
from shared.storage.encryption import PLAIN, Encryption
from shared.storage.repository import Repository
from shared.storage.signing import UNSIGNED, Signing
from tests.actors import TESTER
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_round_trip import succeeded
from tests.unit.given_keys import ESCROW, FLEETS, encrypting

CANARY = "correct-horse-battery-staple"
SAMPLE = f"""
    create table peculiar_name as select n, '{CANARY}' as v, repeat(md5(n::text), 8) as pad
        from generate_series(1, 6000) n;
    alter table peculiar_name add primary key (n);
"""
CONTENT = "select count(*), sum(hashtextextended(peculiar_name::text, 0)) from peculiar_name"
ON = encrypting(FLEETS, ESCROW)


def holding(fleet: InlineFleet, encryption: Encryption = PLAIN, signing: Signing = UNSIGNED) -> InlineFleet:
    """The same fleet, as a process with other keys sees it."""
    storage = fleet.fleet.repository.storage
    fleet.configure(repository=Repository(storage, encryption=encryption, signing=signing))
    return fleet


def taken(fleet: InlineFleet) -> str:
    """The id of a new snapshot."""
    return str(succeeded(fleet.snapshot()).request["snapshot_id"])


def content(url: str) -> object:
    with psycopg.connect(url) as session:
        return session.execute(CONTENT).fetchone()


def checked(fleet: InlineFleet) -> dict[str, Finding]:
    """What a check finds of snapshots, by its codes."""
    found = check.findings_in(succeeded(fleet.run(JobKind.CHECK, check.request())).result)
    others = {"never_proven", "indexes_not_checked"}
    return {finding.code: finding for finding in found if finding.code not in others}


def rebuilt(fleet: InlineFleet) -> dict[str, Entry]:
    return {entry.snapshot_id: entry for entry in rebuilding.rebuild(fleet.fleet, by=TESTER)}


def chunks(fleet: InlineFleet) -> set[str]:
    return {stat.key for stat in fleet.fleet.repository.storage.list(f"{NAME}/chunks/")}


def snapshot(fleet: InlineFleet, snapshot_id: str) -> Snapshot:
    with fleet.fleet.catalog.transaction() as tx:
        found = tx.snapshots.get(snapshot_id)
    assert found is not None
    return found


def read_through(fleet: InlineFleet, snapshot_id: str, encryption: Encryption) -> None:
    """Every byte of a snapshot with these keys: what a restore reads."""
    reader = Repository(fleet.fleet.repository.storage, encryption=encryption)
    manifest, _ = reader.read_manifest(NAME, snapshot_id)
    for chunk in manifest.distinct_chunks.values():
        assert sum(map(len, reader.read_chunk(NAME, chunk))) == chunk.raw_bytes


def opened(fleet: InlineFleet, snapshot_id: str, pair: Any) -> list[Any]:
    reader = Repository(fleet.fleet.repository.storage, encryption=encrypting(holding=(pair,)))
    manifest, _ = reader.read_manifest(NAME, snapshot_id)
    return list(manifest.distinct_chunks.values())
