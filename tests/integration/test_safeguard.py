"""The safety snapshot: what a restore replaces is kept as it was just before, or nothing is replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from embedded.postgres import Postgres
from shared.domain.job import Job, JobState
from shared.domain.snapshot import Reason, SnapshotState
from shared.operations.jobs import requests
from shared.postgres.dsn import Dsn
from shared.storage.base import Stat
from shared.storage.folder import FolderStorage
from tests.actors import TESTER
from tests.extent import WHOLE
from tests.integration.comparison import assert_same, connect, fingerprint, nothing_changes
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import InlineFleet, files, refused
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]
SPLIT = "create table big as select n, repeat(md5(n::text), 12) as v from generate_series(1, 25000) n;"


@pytest.fixture
def url(database: Maker) -> str:
    """Of a database with one table that is split into parts, and a small one."""
    made = database()
    fill(made, SPLIT + "create table small as select 'as in the snapshot' as what")
    return made


def safeguards(fleet: InlineFleet) -> list[SnapshotState]:
    return [found.state for found in fleet.snapshots() if found.reason is Reason.SAFEGUARD]


def test_what_a_restore_replaced_can_be_restored_itself(url: str, postgres: Postgres, inline: Inline) -> None:
    fleet = inline(url)
    succeeded(fleet.snapshot())
    fill(url, "update small set what = 'written since'; delete from big where n % 2 = 0")
    live = fingerprint(postgres, Dsn.parse(url).dbname)
    restored = succeeded(fleet.restore(safeguard=True))
    [kept] = [found for found in fleet.snapshots() if found.reason is Reason.SAFEGUARD]
    assert kept.id == restored.result["safeguard"]
    assert kept.labels == {"restore": restored.id}
    with fleet.fleet.catalog.transaction() as tx:
        parked = tx.parked.get(restored.id)
    assert parked is not None
    assert kept.kept_until == parked.expires_at
    assert fleet.unfinished() == []
    succeeded(fleet.restore(snapshot_id=kept.id))
    assert_same(fingerprint(postgres, Dsn.parse(url).dbname), live)


def test_the_next_restore_does_not_mean_the_safety_snapshot_unless_it_is_named(
    url: str, inline: Inline
) -> None:
    fleet = inline(url)
    first = succeeded(fleet.snapshot())
    succeeded(fleet.restore(safeguard=True))
    again = succeeded(fleet.restore())
    assert again.result["snapshot_id"] == first.request["snapshot_id"]


@pytest.mark.parametrize(
    "step", [pytest.param("create", marks=WHOLE), "swap", pytest.param("settle", marks=WHOLE)]
)
def test_a_restore_that_is_taken_back_leaves_its_safety_snapshot(
    step: str, url: str, postgres: Postgres, inline: Inline
) -> None:
    fleet = inline(url)
    succeeded(fleet.snapshot())

    def cancel(job: Job, name: str) -> None:
        if name == step:
            with fleet.fleet.catalog.transaction() as tx:
                tx.jobs.request_cancel(job.id)

    fleet.before = cancel
    with nothing_changes(postgres, Dsn.parse(url).dbname):
        job = fleet.restore(safeguard=True)
    assert job.state is JobState.CANCELLED
    assert safeguards(fleet) == [SnapshotState.SEALED]


class Killed(BaseException):
    """The process is gone: nobody catches this, nobody tidies up."""


class Deadly(FolderStorage):
    """Kills whoever has put the nth manifest."""

    def __init__(self, folder: Path, *, nth: int) -> None:
        super().__init__(folder)
        self._left = nth

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        super().put(key, body, create_only=create_only)
        if key.endswith("manifest.json"):
            self._left -= 1
            if not self._left:
                raise Killed


def the_lease_ends(fleet: InlineFleet) -> None:
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.execute(
            text("update job set lease_until = now() - interval '1 s' where lease_until is not null")
        )
    fleet.let_time_pass()


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_worker_killed_before_its_safety_snapshot_counts_leaves_it_to_the_next_or_to_nobody(
    cancelled: bool, url: str, folder: Path, inline: Inline
) -> None:
    fleet = inline(url, storage=Deadly(folder, nth=2))
    succeeded(fleet.snapshot())
    before = {name for name in files(folder) if "manifest" in name}
    with pytest.raises(Killed):
        fleet.restore(safeguard=True)
    [job] = fleet.unfinished()
    assert job.step == "safeguard"
    if cancelled:
        requests.cancel(fleet.fleet, job.id, by=TESTER)
    the_lease_ends(fleet)
    job = fleet.to_its_end(job.id)
    assert job.state is (JobState.CANCELLED if cancelled else JobState.SUCCEEDED)
    assert safeguards(fleet) == [SnapshotState.FAILED if cancelled else SnapshotState.SEALED]
    manifests = {name for name in files(folder) if "manifest" in name} - before
    assert len(manifests) == (0 if cancelled else 1)


def test_a_live_database_that_cannot_be_read_says_how_to_do_without(
    url: str, postgres: Postgres, inline: Inline
) -> None:
    fleet = inline(url)
    name = Dsn.parse(url).dbname
    succeeded(fleet.snapshot())
    with connect(postgres, name) as admin:
        admin.execute("alter table public.small owner to postgres")
        admin.execute("revoke all on public.small from public")
    with nothing_changes(postgres, name):
        refused(fleet.restore(safeguard=True), "no_safeguard", "no safety snapshot", "small")
    assert safeguards(fleet) in ([], [SnapshotState.FAILED])
    job = fleet.restore(safeguard=True)
    assert job.error is not None
    assert "--no-safeguard" in str(job.error["hint"])
    restored = succeeded(fleet.restore())
    assert restored.result["safeguard"] is None
    with psycopg.connect(url) as session:
        assert session.execute("select what from small").fetchone() == ("as in the snapshot",)


def test_where_nothing_is_replaced_nothing_is_taken(url: str, inline: Inline) -> None:
    fleet = inline(url)
    dsn = Dsn.parse(url)
    succeeded(fleet.snapshot())
    beside = f"{dsn.dbname}_beside"
    assert succeeded(fleet.restore(to=beside, safeguard=True)).result["safeguard"] is None
    with psycopg.connect(dsn.for_database("postgres").conninfo("test"), autocommit=True) as owner:
        owner.execute(f"drop database {beside}")
        owner.execute(f"drop database {dsn.dbname}")
    assert succeeded(fleet.restore(safeguard=True)).result["safeguard"] is None
    assert safeguards(fleet) == []


class Losing(FolderStorage):
    """Has lost one chunk when it is asked for it for the first time."""

    armed = False

    def head(self, key: str) -> Stat:
        if self.armed:
            self.armed = False
            self.delete(key)
        return super().head(key)


def test_a_chunk_that_storage_lost_is_stored_again_by_the_same_safety_snapshot(
    url: str, postgres: Postgres, inline: Inline, folder: Path
) -> None:
    storage = Losing(folder)
    fleet = inline(url, storage=storage)
    succeeded(fleet.snapshot())
    live = fingerprint(postgres, Dsn.parse(url).dbname)

    def arm(_job: Job, step: str) -> None:
        storage.armed = step == "safeguard"

    fleet.before = arm
    restored = succeeded(fleet.restore(safeguard=True))
    succeeded(fleet.restore(snapshot_id=restored.result["safeguard"]))
    assert_same(fingerprint(postgres, Dsn.parse(url).dbname), live)
