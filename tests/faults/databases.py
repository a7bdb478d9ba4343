"""PostgreSQL at its worst: restarts, cut sessions, limits, locks, a full disk, timeouts, DDL, eager clients."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle

import psycopg
from psycopg import sql

from embedded.postgres import Postgres
from shared.domain.job import JobKind, JobState
from tests.faults import disk
from tests.faults.actors import Actor
from tests.faults.case import Case
from tests.faults.scenes import SCENES, Scene, ask_verify
from tests.faults.sleepers import SHORT
from tests.faults.world import World

Blow = Callable[[World], None]
TIMEOUTS = (
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
    "idle_session_timeout",
)
SOURCE_POINTS = {
    JobKind.SNAPSHOT: (
        "copy.exported",
        "copy.archive_read",
        "copy.part_reading",
        "part.worked",
        "seal.checked",
    ),
    JobKind.VERIFY: ("side.created", "load.part_loaded", "build.built"),
    JobKind.RESTORE: (
        *("side.created", "side.data_restored", "load.part_loaded", "build.built"),
        *("swap.closed", "swap.renamed", "swap.committed", "restore.settle:claimed"),
    ),
    JobKind.UNDO: ("swap.closed", "swap.renamed", "undo.exchanged"),
    JobKind.TABLES: ("move.intended", "move.prepared", "move.carried"),
    JobKind.RESET: ("reset.created", "swap.renamed"),
}
CATALOG_POINTS = {
    JobKind.SNAPSHOT: (
        "copy.exported",
        "chunk.intended",
        "part.worked",
        "seal.manifest_put",
        "snapshot.seal:done",
    ),
    JobKind.VERIFY: ("load.part_loaded", "verify.drop:done"),
    JobKind.RESTORE: (
        "side.intended",
        "load.part_loaded",
        "swap.renamed",
        "swap.committed",
        "restore.settle:done",
    ),
    JobKind.UNDO: ("swap.renamed", "undo.swap:done"),
    JobKind.TABLES: ("move.carried", "tables.compare:done"),
    JobKind.RESET: ("reset.intended", "swap.committed"),
    JobKind.PRUNE: ("prune.hidden", "prune.manifest_deleted", "prune.chunk_deleted"),
}
CUT = {
    "the holder of the exported snapshot": (
        JobKind.SNAPSHOT,
        "copy.shared_out",
        "state = 'idle in transaction'",
    ),
    "the reader of a part": (JobKind.SNAPSHOT, "copy.part_reading", "query ilike 'copy%'"),
    "everybody in a copy": (JobKind.SNAPSHOT, "copy.part_reading", "true"),
    "the loader of a part": (JobKind.RESTORE, "load.part_loading", "true"),
    "the session that swaps, before it": (JobKind.RESTORE, "swap.closed", "true"),
    "the session that swaps, in its transaction": (JobKind.RESTORE, "swap.renamed", "true"),
    "the session that swaps, after it": (JobKind.RESTORE, "swap.committed", "true"),
    "the session that swaps back": (JobKind.UNDO, "swap.renamed", "true"),
    "the loader of a part, in a proof": (JobKind.VERIFY, "load.part_loading", "true"),
}


def cases() -> Iterator[Case]:
    yield from crashes()
    yield from troubles()
    yield from disks()
    for kind in (JobKind.RESTORE, JobKind.UNDO):
        yield within("applications reconnect every 10 ms during the swap", kind, str(kind), eager_clients)
    for kind, point in ((JobKind.SNAPSHOT, "part.worked"), (JobKind.RESTORE, "load.part_loading")):
        yield unreachable_catalog(kind, point)


def crashes() -> Iterator[Case]:
    for kind, moments in SOURCE_POINTS.items():
        for point in moments:
            yield blown(f"the database's server crashes under {kind}", kind, point, crash_source)
    alternately = cycle([True, False])
    for kind, moments in CATALOG_POINTS.items():
        for point in moments:
            if next(alternately):
                yield blown(f"the catalog's server crashes under {kind}", kind, point, crash_catalog)
            else:
                yield blown(f"every catalog session is cut under {kind}", kind, point, cut_catalog)
    for whom, (kind, point, which) in CUT.items():
        yield blown("a session at the database is cut", kind, point, cut_sessions(which), name=whom)


def troubles() -> Iterator[Case]:
    for kind in (JobKind.SNAPSHOT, JobKind.RESTORE, JobKind.VERIFY):
        yield relieved("no connection is free", kind, no_connection)
        yield relieved("the server is down for several attempts", kind, server_down)
    yield relieved("ACCESS EXCLUSIVE is held on a table", JobKind.SNAPSHOT, table_locked)
    for kind in (JobKind.SNAPSHOT, JobKind.VERIFY, JobKind.RESTORE, JobKind.UNDO):
        yield within("role timeouts of 20 ms", kind, f"{kind}, all four", short_timeouts)
    yield Case(kind="DDL while a copy runs", name="tables come, go and change", run=ddl)


def disks() -> Iterator[Case]:
    if disk.may_mount():
        for point in ("side.created", "load.part_loading", "build.unmarked"):
            yield disk_full(JobKind.RESTORE, point)
        yield disk_full(JobKind.VERIFY, "load.part_loading")


def blown(title: str, kind: JobKind, point: str, blow: Blow, *, name: str | None = None) -> Case:
    """It happens while the work stands at this moment; then the work goes on, and the job succeeds."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        asked: list[str] = []
        with world.held_at(point, lambda: asked.append(scene.ask())):
            blow(world)
        scene.assert_over(world.ended(asked[0]))

    return Case(kind=title, name=name or point, run=run)


def crash_source(world: World) -> None:
    crash(world.source)


def crash_catalog(world: World) -> None:
    crash(world.catalog_server)
    # What a pool keeps are ends of connections to a server that is gone.
    world.fleet.catalog.engine.dispose()


def crash(server: Postgres) -> None:
    server.kill()
    server.start()


def cut_catalog(world: World) -> None:
    with psycopg.connect(world.catalog_server.dsn(), autocommit=True) as admin:
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'catalog'")
    world.fleet.catalog.engine.dispose()


def cut_sessions(which: str) -> Blow:
    def blow(world: World) -> None:
        with world.shop.admin() as admin:
            cut = admin.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                f" where application_name like 'snapfleet:%' and {which}".encode()
            )
            assert cut.rowcount > 0

    return blow


def relieved(title: str, kind: JobKind, trouble: Callable[[World], Callable[[], None]]) -> Case:
    """There until an attempt has failed, and gone then: the job is tried again and succeeds."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        relieve = trouble(world)
        job_id = scene.ask()
        try:
            world.work_until(lambda: world.job(job_id).attempts >= 2, f"two attempts of {kind}")
        finally:
            relieve()
        scene.assert_over(world.ended(job_id))

    return Case(kind=title, name=str(kind), run=run)


def no_connection(world: World) -> Callable[[], None]:
    with world.shop.admin() as admin:
        admin.execute("alter role owner connection limit 0")

    def relieve() -> None:
        with world.shop.admin() as admin:
            admin.execute("alter role owner connection limit -1")

    return relieve


def server_down(world: World) -> Callable[[], None]:
    world.source.kill()
    return world.source.start


def table_locked(world: World) -> Callable[[], None]:
    session = psycopg.connect(world.shop.url)
    session.execute("lock table account in access exclusive mode")
    return session.close


def within(title: str, kind: JobKind, name: str, trouble: Callable[[Scene], object]) -> Case:
    """There from before the job until after it, which succeeds all the same."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        with contextmanager(trouble)(scene):  # type: ignore[arg-type]  # each is a generator
            job = world.ended(scene.ask())
        scene.assert_over(job)

    return Case(kind=title, name=name, run=run)


def short_timeouts(scene: Scene) -> Generator[None]:
    world = scene.world
    with world.shop.admin() as admin:
        for name in TIMEOUTS:
            admin.execute(sql.SQL("alter role owner set {} = '20ms'").format(sql.Identifier(name)))
    try:
        yield
    finally:
        with world.shop.admin() as admin:
            admin.execute("alter role owner reset all")


def disk_full(kind: JobKind, point: str) -> Case:
    """No room for what is to be written next: it fails with a word about it, and leaves nothing behind."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        asked: list[str] = []
        with disk.under_databases(world) as small:
            with world.held_at(point, lambda: asked.append(scene.ask())):
                small.fill()
            world.work_until(lambda: world.job(asked[0]).attempts >= 1, "a failure for want of room")
            error = world.job(asked[0]).error
            small.empty()
        assert error is not None
        assert error["code"] == "disk_full", error
        scene.assert_over(world.ended(asked[0]))

    return Case(kind="the disk of the side database is full", name=f"{kind} at {point}", run=run)


def ddl(world: World) -> None:
    """Every copy ends whole or fails cleanly; what is sealed can be proven."""
    scene, enough = SCENES[JobKind.SNAPSHOT](world), world.folder / "ddl-enough"

    def restless(_fleet: object) -> None:
        with world.shop.session() as session:
            for number in itertools.takewhile(lambda _: not enough.exists(), itertools.count()):
                session.execute("create table passing (id int)")
                session.execute("create index on passing (id)")
                session.execute("alter table passing add column more text")
                session.execute("create sequence fleeting")
                session.execute("drop table passing")
                session.execute("drop sequence fleeting")
                time.sleep(0.001 * (number % 3))

    actor = world.cast.start(restless, stays=True)
    try:
        job_id = scene.ask()
        world.work_until(lambda: world.job(job_id).state.is_final, lambda: f"the end of {world.job(job_id)}")
    finally:
        # Killed, it would leave a server process behind that may still be about to create something.
        enough.touch()
        actor.wait()
        enough.unlink()
    with world.shop.session() as session:
        session.execute("drop table if exists passing")
        session.execute("drop sequence if exists fleeting")
    job = world.ended(job_id)
    assert job.state in {JobState.SUCCEEDED, JobState.FAILED}
    if job.state is JobState.SUCCEEDED:
        proven = world.ended(ask_verify(world, str(job.request["snapshot_id"])))
        assert proven.state is JobState.SUCCEEDED, proven.error
    scene.assert_either(job)


def eager_clients(scene: Scene) -> Generator[None]:
    """Four clients see one content or the other, whenever they get in; never a mix, never another name."""
    world = scene.world
    clients = [world.cast.start(lambda _fleet: look_again(world), stays=True) for _ in range(4)]
    try:
        yield
    finally:
        (world.folder / "seen-enough").touch()
        statuses = [client.wait() for client in clients]
        (world.folder / "seen-enough").unlink()
        assert statuses == [os.EX_OK] * 4, "I4: an application saw a mix"


def look_again(world: World) -> None:
    """Log in every 10 ms, and look whether every number is of one content."""
    seen = 0
    while not (world.folder / "seen-enough").exists():
        with suppress(psycopg.OperationalError), world.shop.session() as session:
            found = session.execute(
                "select min(balance), max(balance), (select min(amount) from transfer), (select max(amount) from transfer)"
                " from account"
            ).fetchone()
            assert found is not None
            assert len(set(found)) == 1, found
            seen += 1
        time.sleep(0.01)
    assert seen > 0


def unreachable_catalog(kind: JobKind, point: str) -> Case:
    """One worker does not hear the catalog for longer than its lease: it stops, and another goes on."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        world.cast.changes = {"wired": True, "lease": SHORT}
        asked: list[str] = []
        with world.held_at(point, lambda: asked.append(scene.ask())):
            cut_off: list[Actor] = world.cast.playing()
            world.cast.changes = {}
            world.wires.say("catalog", "silent")
            epoch = world.job(asked[0]).epoch
            world.work_until(lambda: world.job(asked[0]).epoch > epoch, "another worker")
        world.work_until(lambda: not world.unfinished(), "the end")
        world.wires.say("catalog", "")
        for actor in cut_off:
            actor.wait()
        scene.assert_over(world.ended(asked[0]))

    return Case(kind="the catalog is a black hole for one worker", name=f"{kind} at {point}", run=run)
