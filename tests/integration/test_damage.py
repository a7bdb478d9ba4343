"""Objects that are cut, changed, swapped or gone, and servers that die: found before the live name is touched."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from embedded.postgres import Postgres
from shared.domain.job import Job, JobState
from shared.domain.manifest import Manifest
from shared.domain.snapshot import SnapshotState
from shared.operations.snapshots.sealing import MENDED_AT_MOST
from shared.postgres.dsn import Dsn
from shared.storage.base import Capabilities, Stat, Storage
from shared.storage.folder import FolderStorage
from shared.storage.mirror import MirrorStorage
from shared.storage.repository import chunk_key, manifest_key
from shared.storage.s3 import S3Storage
from tests.integration.comparison import assert_same, connect, fingerprint, names, nothing_changes
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet, refused
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]
Damage = Callable[[Path], None]
SOME = """
    create table small as select n, gen_random_uuid() as u from generate_series(1, 4000) n;
    create table large as select n, repeat(md5(n::text), 12) as v from generate_series(1, 22000) n;
    alter table large add primary key (n);
"""


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def missing(path: Path) -> None:
    path.unlink()


DAMAGES: list[Damage] = [cut, emptied, flipped, lengthened, missing]


@pytest.fixture
def url(database: Maker) -> str:
    made = database()
    fill(made, SOME)
    return made


def objects(manifest: Manifest) -> dict[str, str]:
    """The key of one object of each kind."""
    return {
        "archive": chunk_key(NAME, manifest.archive[-1].sha256),
        "part": chunk_key(NAME, manifest.parts[len(manifest.parts) // 2].chunks[0].sha256),
        "manifest": manifest_key(NAME, manifest.id),
    }


@pytest.mark.parametrize(
    ("kind", "code"),
    [("archive", "chunk_damaged"), ("part", "chunk_damaged"), ("manifest", "manifest_damaged")],
)
def test_a_damaged_object_ends_a_restore_and_the_live_database_never_knows(  # noqa: PLR0917 - the case and its fixtures
    kind: str, code: str, url: str, inline: Inline, folder: Path, postgres: Postgres
) -> None:
    fleet = inline(url)
    manifest = fleet.manifest(succeeded(fleet.snapshot()))
    harmed = folder / objects(manifest)[kind]
    whole = harmed.read_bytes()
    with nothing_changes(postgres, Dsn.parse(url).dbname), psycopg.connect(url) as application:
        for damage in DAMAGES:
            damage(harmed)
            job = fleet.restore()
            refused(job, code)
            assert job.step == "plan"
            application.execute("select 1")
            harmed.write_bytes(whole)
    succeeded(fleet.restore())


@pytest.mark.parametrize(("kind", "step"), [("archive", "create"), ("part", "load")])
def test_an_object_damaged_after_the_plan_ends_the_restore_too(  # noqa: PLR0917 - the case and its fixtures
    kind: str, step: str, url: str, inline: Inline, folder: Path, postgres: Postgres
) -> None:
    fleet = inline(url)
    manifest = fleet.manifest(succeeded(fleet.snapshot()))
    harmed = folder / objects(manifest)[kind]
    whole = harmed.read_bytes()
    with nothing_changes(postgres, Dsn.parse(url).dbname):
        for damage in DAMAGES:

            def harm(_job: Job, at: str, damage: Damage = damage) -> None:
                if at == "create":
                    damage(harmed)

            fleet.before = harm
            job = fleet.restore(snapshot_id=manifest.id)
            refused(job, "chunk_damaged")
            assert job.step == step
            harmed.write_bytes(whole)


def test_a_manifest_in_the_place_of_another_is_found(
    url: str, inline: Inline, folder: Path, postgres: Postgres
) -> None:
    fleet = inline(url)
    first = fleet.manifest(succeeded(fleet.snapshot()))
    fill(url, "insert into small (n) values (0)")
    second = fleet.manifest(succeeded(fleet.snapshot()))
    one, other = (folder / manifest_key(NAME, m.id) for m in (first, second))
    shutil.copy(one, other)
    with nothing_changes(postgres, Dsn.parse(url).dbname):
        refused(fleet.restore(snapshot_id=second.id), "manifest_damaged")
    succeeded(fleet.restore(snapshot_id=first.id))


def test_a_mirror_gives_back_what_its_folder_lost(
    url: str, inline: Inline, folder: Path, in_s3: S3Storage, postgres: Postgres
) -> None:
    fleet = inline(url, storage=MirrorStorage(first=FolderStorage(folder), second=in_s3))
    before = fingerprint(postgres, Dsn.parse(url).dbname)
    manifest = fleet.manifest(succeeded(fleet.snapshot()))
    for damage, key in zip((flipped, missing, cut), objects(manifest).values(), strict=True):
        damage(folder / key)
    fill(url, "drop table large")
    succeeded(fleet.restore())
    assert_same(fingerprint(postgres, Dsn.parse(url).dbname), before)
    # The next copy finds it at its seal, and mends it.
    succeeded(fleet.snapshot())
    for key in (objects(manifest)["archive"], objects(manifest)["part"]):
        assert (folder / key).read_bytes() == in_s3.get(key)


@pytest.mark.parametrize("damage", [flipped, missing])
def test_an_object_damaged_before_the_seal_is_stored_again_by_the_same_snapshot(
    damage: Damage, url: str, inline: Inline, folder: Path, postgres: Postgres
) -> None:
    fleet = inline(url)
    harmed: list[Path] = []

    def harm(_job: Job, step: str) -> None:
        if step == "seal" and not harmed:
            harmed.append(largest_chunk(folder))
            damage(harmed[0])

    fleet.before = harm
    with nothing_changes(postgres, Dsn.parse(url).dbname):
        succeeded(fleet.snapshot())
    assert [s.state for s in fleet.snapshots()] == [SnapshotState.SEALED]
    before = fingerprint(postgres, Dsn.parse(url).dbname)
    fill(url, "drop table large, small")
    succeeded(fleet.restore())
    assert_same(fingerprint(postgres, Dsn.parse(url).dbname), before)


def largest_chunk(folder: Path) -> Path:
    return max((folder / NAME / "chunks").rglob("*/*"), key=lambda path: path.stat().st_size)


def test_a_storage_that_goes_on_losing_fails_the_snapshot_in_the_end_and_leaves_nothing(
    url: str, inline: Inline, folder: Path
) -> None:
    fleet = inline(url)
    seals: list[Path] = []

    def lose(_job: Job, step: str) -> None:
        if step == "seal":
            seals.append(largest_chunk(folder))
            seals[-1].unlink()

    fleet.before = lose
    job = fleet.snapshot()
    refused(job, "chunk_damaged", seals[0].name)
    assert len(seals) == MENDED_AT_MOST + 1
    assert [s.state for s in fleet.snapshots()] == [SnapshotState.FAILED]
    assert not (folder / NAME / "snapshots").exists()
    fleet.before = lambda _job, _step: None
    succeeded(fleet.snapshot())


def test_a_manifest_of_a_seal_that_was_killed_makes_way_for_that_of_the_second_copy(
    url: str, inline: Inline, folder: Path
) -> None:
    fleet = inline(url)
    times: list[str] = []

    def harm(job: Job, step: str) -> None:
        if step == "seal" and not times:
            times.append(step)
            path = folder / manifest_key(NAME, str(job.request["snapshot_id"]))
            path.parent.mkdir(parents=True)
            path.write_bytes(b"of a first run, killed before it was told of")
            largest_chunk(folder).unlink()

    fleet.before = harm
    manifest = fleet.manifest(succeeded(fleet.snapshot()))
    assert all(fleet.fleet.repository.check_chunk(NAME, c) is None for c in manifest.distinct_chunks.values())


class Tripwire:
    """A storage that does something else first, before its n-th get or put."""

    def __init__(self, storage: Storage, *, nth: int, then: Callable[[], None]) -> None:
        self._storage = storage
        self._left = nth
        self._then = then
        self.armed = False

    @property
    def was_touched(self) -> bool:
        return self._left <= 0

    def _step(self) -> None:
        if self.armed:
            self._left -= 1
            if self._left == 0:
                self._then()

    @property
    def location(self) -> str:
        return self._storage.location

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        self._step()
        self._storage.put(key, body, create_only=create_only)

    def get(self, key: str, *, start: int = 0, length: int | None = None, sha256: str | None = None) -> bytes:
        self._step()
        return self._storage.get(key, start=start, length=length, sha256=sha256)

    def head(self, key: str) -> Stat:
        return self._storage.head(key)

    def list(self, prefix: str) -> Iterator[Stat]:
        return self._storage.list(prefix)

    def folders(self, prefix: str) -> Iterator[str]:
        return self._storage.folders(prefix)

    def delete(self, key: str) -> None:
        self._storage.delete(key)

    def sides(self) -> tuple[Storage, ...]:
        return self._storage.sides()

    def check(self, *, probe_id: str | None = None) -> Capabilities:
        return self._storage.check(probe_id=probe_id)


def killed_in_the_middle(
    server: Postgres, url: str, inline: Inline, folder: Path, *, nth: int, restart: bool
) -> tuple[InlineFleet, Tripwire]:
    """A fleet whose source is killed at the n-th access to storage, once armed."""
    wire = Tripwire(FolderStorage(folder), nth=nth, then=server.kill)
    fleet = inline(url, storage=wire)

    def start(*_: object) -> None:
        # Here, for a server ends with the thread that has started it.
        if restart and not server.alive:
            server.start()

    fleet.before = start
    return fleet, wire


@pytest.mark.parametrize("nth", [4, 9])
def test_a_server_killed_in_mid_copy_delays_the_snapshot(
    nth: int, own_postgres: Postgres, database: Maker, inline: Inline, folder: Path
) -> None:
    url = database(own_postgres)
    fill(url, SOME)
    fleet, wire = killed_in_the_middle(own_postgres, url, inline, folder, nth=nth, restart=True)
    wire.armed = True
    job = succeeded(fleet.snapshot())
    assert job.attempts > 0
    before = fingerprint(own_postgres, Dsn.parse(url).dbname)
    fill(url, "drop table large")
    succeeded(fleet.restore())
    assert_same(fingerprint(own_postgres, Dsn.parse(url).dbname), before)


@pytest.mark.parametrize("nth", [3, 5, 12])
def test_a_server_killed_in_mid_restore_delays_the_restore(
    nth: int, own_postgres: Postgres, database: Maker, inline: Inline, folder: Path
) -> None:
    url = database(own_postgres)
    fill(url, SOME)
    name = Dsn.parse(url).dbname
    fleet, wire = killed_in_the_middle(own_postgres, url, inline, folder, nth=nth, restart=True)
    succeeded(fleet.snapshot())
    before = fingerprint(own_postgres, name)
    fill(url, "drop table large")
    wire.armed = True
    job = succeeded(fleet.restore())
    assert wire.was_touched
    assert_same(fingerprint(own_postgres, name), before)
    assert names(own_postgres).keys() >= {name, job.result["parked"]}
    assert not [n for n in names(own_postgres) if n.startswith("snapfleet_side_")]


def test_a_server_that_stays_down_in_mid_load_is_tidied_when_it_is_back(
    own_postgres: Postgres, database: Maker, inline: Inline, folder: Path
) -> None:
    url = database(own_postgres)
    fill(url, SOME)
    name = Dsn.parse(url).dbname
    fleet, wire = killed_in_the_middle(own_postgres, url, inline, folder, nth=6, restart=False)
    succeeded(fleet.snapshot())
    before, there = fingerprint(own_postgres, name), names(own_postgres)
    wire.armed = True
    with pytest.raises(AssertionError, match="rolling_back"):
        fleet.restore()
    own_postgres.start()
    [job] = fleet.unfinished()
    refused(fleet.to_its_end(job.id), "source_unreachable")
    assert names(own_postgres) == there
    assert_same(fingerprint(own_postgres, name), before)


def with_twins(server: Postgres, name: str) -> None:
    """Two equal rows under a unique index."""
    with connect(server, name) as admin:
        admin.execute("create unique index twins on public.small (u)")
        admin.execute("update pg_index set indisready = false where indexrelid = 'public.twins'::regclass")
        admin.execute("insert into public.small select n, u from public.small limit 1")
        admin.execute("update pg_index set indisready = true where indexrelid = 'public.twins'::regclass")


def test_an_index_that_cannot_be_built_ends_the_restore(url: str, inline: Inline, postgres: Postgres) -> None:
    """What the source's own indexes hide, a restore meets: here rows that break a constraint."""
    dsn = Dsn.parse(url)
    with_twins(postgres, dsn.dbname)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    with nothing_changes(postgres, dsn.dbname):
        job = fleet.restore()
    assert (job.state, job.step) == (JobState.ROLLED_BACK, "build")
    refused(job, "constraint_violated", "twins")


def test_beside_the_live_database_all_but_the_index_that_cannot_be_built_can_be_had(
    url: str, inline: Inline, postgres: Postgres
) -> None:
    dsn = Dsn.parse(url)
    with_twins(postgres, dsn.dbname)
    fleet = inline(url)
    taken = str(succeeded(fleet.snapshot()).request["snapshot_id"])
    beside = f"{dsn.dbname}_beside"
    job = succeeded(fleet.restore(snapshot_id=taken, to=beside, despite_differences=True))
    why, number = job.result["differences"]
    assert 'could not create unique index "twins"' in why
    assert number == "the number of indexes is 1 instead of 2"
    with connect(postgres, beside) as session:
        indexes = "select relname from pg_class where relkind = 'i' and relnamespace = 'public'::regnamespace"
        assert session.execute(indexes).fetchall() == [("large_pkey",)]
        assert session.execute("select count(*) > 1 from public.small").fetchone() == (True,)
    assert [snapshot.refuted_at is not None for snapshot in fleet.snapshots()] == [True]


def test_rows_that_a_check_of_theirs_refuses_are_no_snapshot(url: str, inline: Inline) -> None:
    """A function that a check trusts has become another one since: the server never looks back, a restore does."""
    fill(url, "create function fits(n int) returns bool immutable language sql as 'select true'")
    fill(url, "alter table large add constraint fitting check (public.fits(n))")
    fill(url, "create or replace function fits(n int) returns bool immutable language sql as 'select n < 7'")
    fleet = inline(url)
    taken = succeeded(fleet.snapshot())
    proof = fleet.verify(str(taken.request["snapshot_id"]))
    assert (proof.state, proof.step) == (JobState.FAILED, "load")
    refused(proof, "constraint_violated", "fitting")
    assert "21999" not in str(proof.error), "a row's value is told"
    [snapshot] = fleet.snapshots()
    assert snapshot.refuted_at is not None
