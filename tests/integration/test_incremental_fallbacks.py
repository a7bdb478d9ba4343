"""Where it cannot be sure that nothing changed, a snapshot reads: each case on its own, compared with one that read all."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from embedded.postgres import Postgres
from shared.domain.increments import Origin
from shared.domain.job import JobState
from shared.domain.manifest import Manifest, Part
from shared.domain.proof import Digests
from shared.storage.memory import MemoryStorage
from tests.conftest import FAST
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_incremental import PAGES, run, sealed
from tests.waiting import until

ROWS = 1160
"""Of a page each: more than what the archive still holds."""
FILL = f"insert into {{name}} (n, v) select n, repeat('x', 7900) || n from generate_series(1, {ROWS}) n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A table, and what happens to it between two snapshots. `before` and `change` say {name} for it."""

    name: str
    change: str
    columns: str = ""
    before: str = ""
    reads: int | None = None
    """How many of its parts are read; None: all."""


CASES = (
    Case(name="left_alone", change="select 1", reads=0),
    Case(name="analyzed", change="analyze {name}; create index on {name} (n)", reads=0),
    Case(name="truncated", change="truncate {name}; " + FILL),
    Case(name="vacuumed_full", change="vacuum full {name}"),
    Case(name="clustered", before="create index by_n on {name} (n)", change="cluster {name} using by_n"),
    Case(name="rewritten", change="alter table {name} alter n type bigint"),
    Case(
        name="moved",
        change="alter table {name} rename to moved_away; alter table moved_away rename to {name}",
        reads=0,
    ),
    Case(
        name="retyped",
        columns=", e rating default 'good', at timestamp default '2026-01-02 03:04'",
        change="set timezone = 'UTC'; alter table {name} alter at type timestamptz",
    ),
    Case(name="grown", change="alter table {name} add w int default 5"),
    Case(
        name="exchanged",
        before="alter table {name} add w int default 5",
        change="alter table {name} drop w; alter table {name} add w int default 6",
    ),
    Case(
        name="relabelled",
        columns=", e mood default 'happy'",
        change="alter type mood rename value 'happy' to 'glad'",
    ),
    Case(
        name="relabelled_within",
        columns=", e tempers default array[row(1, 'calm')]::temper[]",
        change="alter type heat rename value 'calm' to 'cool'",
    ),
    Case(
        name="widened", columns=", p point3 default row(1, 2)", change="alter type point3 add attribute z int"
    ),
    Case(
        name="named", columns=", r regclass default 'thing'", change="alter table thing rename to other_thing"
    ),
    Case(
        name="toasted",
        columns=", big text",
        before="alter table {name} alter big set storage external; update {name} set big = repeat('a', 9000) where n = 7; vacuum full {name}",
        change="update {name} set big = repeat('b', 9000) where n = 7",
        reads=1,
    ),
    Case(name="unlogged", before="alter table {name} set unlogged", change="select 1"),
    Case(name="logged_anew", change="alter table {name} set unlogged; alter table {name} set logged"),
    Case(name="emptied", change="delete from {name} where n > 1060; vacuum {name}", reads=1),
)
TYPES = """
    create type rating as enum ('good', 'bad');
    create type mood as enum ('happy', 'sad');
    create type heat as enum ('calm', 'hot');
    create type temper as (n int, how heat);
    create domain tempers as temper[];
    create type point3 as (x int, y int);
    create table thing (n int);
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Postgres]:
    """One of the file's own: it is started again, and loses summaries. Nobody but the tests looks at its pages."""
    settings = FAST | {"max_prepared_transactions": "5", "autovacuum": "off"}
    ours = Postgres(tmp_path_factory.mktemp("incremental"), settings=settings)
    ours.start()
    yield ours
    ours.stop()


@contextmanager
def fleet_on(server: Postgres, **settings: Any) -> Iterator[tuple[str, InlineFleet]]:
    """An empty database, and a fleet that looks after it as a superuser."""
    names = [f"{kind}_{uuid.uuid4().hex[:8]}" for kind in ("source", "catalog")]
    run(server.dsn(), *(f"create database {name}" for name in names))
    source, catalog = (server.dsn(name) for name in names)
    fleet = InlineFleet(
        source, catalog_url=catalog, storage=MemoryStorage(), **({"part_bytes": 4 * PAGES * 8192} | settings)
    )
    try:
        yield source, fleet
    finally:
        fleet.close()


def make(url: str, name: str, *, columns: str = "", before: str = "") -> None:
    """A table whose every row has a page of its own, read once by a vacuum."""
    run(
        url,
        "set synchronous_commit = on",
        f"create table {name} (n int, v text{columns})",
        f"alter table {name} alter v set storage plain",
        FILL.format(name=name),
        *statements(before, name),
        f"vacuum {name}",
    )


def statements(text: str, name: str) -> list[str]:
    return [each.format(name=name) for each in text.split("; ") if each]


def of(manifest: Manifest, name: str) -> list[Part]:
    return [part for part in manifest.parts if part.spec.table == name]


def why(manifest: Manifest) -> str | None:
    assert manifest.increment is not None
    return manifest.increment.reason


@pytest.fixture(scope="module")
def taken(server: Postgres) -> Generator[tuple[Manifest, Manifest]]:
    """After all cases at once: a snapshot that was built on one before them, and one that has read everything."""
    with fleet_on(server, verify_incremental=0) as (url, fleet):
        run(url, TYPES)
        for case in CASES:
            make(url, case.name, columns=case.columns, before=case.before)
        sealed(fleet)
        for case in CASES:
            run(url, *statements(case.change, case.name))
        built = sealed(fleet)
        set_up(fleet, incremental=False)
        yield built, sealed(fleet)


def set_up(fleet: InlineFleet, **changes: Any) -> None:
    """The same database with other settings."""
    fleet.configure(databases={NAME: replace(fleet.fleet.database(NAME), **changes)})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_pages_do_not_tell_is_read(case: Case, taken: tuple[Manifest, Manifest]) -> None:
    built, whole = taken
    ours, theirs = of(built, case.name), of(whole, case.name)
    assert ours == theirs
    read = [part for part in ours if part.origin is not Origin.UNREAD]
    assert len(ours) > 2
    assert len(read) == (len(ours) if case.reads is None else case.reads)


@pytest.fixture
def made(server: Postgres) -> Generator[tuple[str, InlineFleet]]:
    """One table `t` in a database, and its fleet, which waits for a moment only."""
    with fleet_on(server, base_wait=timedelta(seconds=1), digests=Digests.NONE) as (url, fleet):
        make(url, "t")
        yield url, fleet


def unread(manifest: Manifest) -> int:
    return sum(part.origin is Origin.UNREAD for part in manifest.parts)


def is_base(manifest: Manifest) -> bool:
    assert manifest.increment is not None
    return manifest.increment.base is not None


def rows(manifest: Manifest) -> int:
    return sum(part.row_count for part in manifest.parts)


def test_who_has_written_and_goes_on_makes_the_snapshot_no_base(made: tuple[str, InlineFleet]) -> None:
    """What it wrote stands on pages that nobody touches again when it commits."""
    url, fleet = made
    base = sealed(fleet)
    with psycopg.connect(url) as writer:
        writer.execute("savepoint s")
        writer.execute("delete from t where n = 5")
        during = sealed(fleet)
        assert (is_base(during), rows(during)) == (False, ROWS)
        assert during.increment is not None
        assert "base_wait" in str(during.increment.not_base)
        writer.commit()
    after = sealed(fleet)
    assert rows(after) == ROWS - 1
    assert after.increment is not None
    assert after.increment.built_on == base.id
    assert 0 < unread(after) < len(after.parts)


def test_who_was_prepared_makes_the_snapshot_no_base(made: tuple[str, InlineFleet]) -> None:
    url, fleet = made
    with psycopg.connect(url) as writer:
        writer.tpc_begin(writer.xid(1, "later", "t"))
        writer.execute("delete from t where n = 5")
        writer.tpc_prepare()
        try:
            during = sealed(fleet)
        finally:
            writer.tpc_commit()
    assert (is_base(during), rows(during)) == (False, ROWS)
    assert rows(sealed(fleet)) == ROWS - 1


def test_who_only_reads_and_who_works_elsewhere_is_not_waited_for(
    made: tuple[str, InlineFleet], server: Postgres
) -> None:
    url, fleet = made
    with psycopg.connect(url) as reader, psycopg.connect(server.dsn()) as elsewhere:
        reader.execute("select n from t limit 1")
        elsewhere.execute("create table written_elsewhere (n int)")
        assert is_base(sealed(fleet))
        elsewhere.rollback()


def test_a_writer_that_ends_in_time_is_waited_for(made: tuple[str, InlineFleet]) -> None:
    url, fleet = made
    set_up(fleet, base_wait=timedelta(seconds=30))
    with psycopg.connect(url) as writer:
        writer.execute("delete from t where n = 5")
        ending = threading.Timer(0.5, writer.commit)
        ending.start()
        base = sealed(fleet)
        ending.join()
    assert (is_base(base), rows(base)) == (True, ROWS - 1)


def test_a_server_that_was_started_again_is_read(made: tuple[str, InlineFleet], server: Postgres) -> None:
    _, fleet = made
    base = sealed(fleet)
    server.stop()
    server.start()
    fleet.fleet.catalog.engine.dispose()
    again = sealed(fleet)
    assert (unread(again), why(again)) == (0, f"the server has been started again since snapshot {base.id}")
    assert unread(sealed(fleet)) == len(base.parts)


def test_where_a_summary_is_missing_all_is_read(made: tuple[str, InlineFleet], server: Postgres) -> None:
    url, fleet = made
    base = sealed(fleet)
    run(url, "delete from t where n = 5", "checkpoint")
    reach_the_last_checkpoint(url)
    for summary in (server.data / "pg_wal" / "summaries").iterdir():
        summary.unlink()
    again = sealed(fleet)
    assert (unread(again), why(again)) == (
        0,
        f"the summaries of the log since snapshot {base.id} are not complete",
    )
    assert rows(again) == ROWS - 1


def test_while_summaries_are_switched_off_all_is_read(made: tuple[str, InlineFleet]) -> None:
    url, fleet = made
    sealed(fleet)
    run(url, "alter system set summarize_wal = off", "select pg_reload_conf()")
    try:
        until(lambda: asked(url, "show summarize_wal") == "off")
        run(url, "delete from t where n = 5")
        off = sealed(fleet)
        assert (unread(off), why(off), is_base(off)) == (0, "summarize_wal is off", False)
    finally:
        run(url, "alter system reset summarize_wal", "select pg_reload_conf()")
    until(lambda: asked(url, "show summarize_wal") == "on")
    set_up(fleet, base_wait=timedelta(seconds=60))
    again = sealed(fleet)
    assert rows(again) == ROWS - 1
    assert is_base(again)


def test_a_database_that_was_restored_is_read(made: tuple[str, InlineFleet]) -> None:
    _, fleet = made
    fleet.configure(restore_as_superuser=True)
    base = sealed(fleet)
    assert fleet.restore(as_superuser=True).state is JobState.SUCCEEDED
    again = sealed(fleet)
    assert (unread(again), why(again)) == (0, f"snapshot {base.id} is of another server or database")


def test_a_part_whose_chunk_is_lost_is_read_and_stored_again(made: tuple[str, InlineFleet]) -> None:
    _, fleet = made
    base = sealed(fleet)
    lost = base.parts[0].chunks[0]
    with fleet.fleet.catalog.transaction() as tx:
        tx.chunks.distrust(NAME, [lost.sha256])
    again = sealed(fleet)
    assert [part.origin for part in again.parts] == [Origin.NEW] + [Origin.UNREAD] * (len(base.parts) - 1)
    assert again.parts == base.parts


def test_a_part_whose_object_is_gone_is_read_and_stored_again(made: tuple[str, InlineFleet]) -> None:
    _, fleet = made
    base = sealed(fleet)
    fleet.fleet.repository.delete_chunk(NAME, base.parts[1].chunks[0].sha256)
    again = sealed(fleet)
    assert [part.origin for part in again.parts][1] is Origin.NEW
    assert again.parts == base.parts


def test_what_cannot_be_opened_is_built_on_by_nothing(made: tuple[str, InlineFleet]) -> None:
    _, fleet = made
    base = sealed(fleet)
    fleet.fleet.repository.delete_manifest(NAME, base.id)
    again = sealed(fleet)
    assert unread(again) == 0
    assert "cannot be read here" in str(why(again))


def test_other_limits_of_parts_are_read(made: tuple[str, InlineFleet]) -> None:
    _, fleet = made
    sealed(fleet)
    set_up(fleet, part_bytes=3 * PAGES * 8192)
    again = sealed(fleet)
    assert {
        (part.spec.first_page, part.origin) for part in again.parts if part.origin is Origin.UNREAD
    } == set()


def asked(url: str, query: str) -> Any:
    with psycopg.connect(url, autocommit=True) as session:
        row = session.execute(query.encode()).fetchone()
    return row[0] if row else None


def reach_the_last_checkpoint(url: str) -> None:
    until(
        lambda: asked(
            url,
            "select max(end_lsn) >= (select redo_lsn from pg_control_checkpoint()) from pg_available_wal_summaries()",
        )
    )
