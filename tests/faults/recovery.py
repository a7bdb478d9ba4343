"""What is left when nearly everything is gone, or was emptied by somebody: the repository, and good snapshots."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from shared.catalog.migration import migrate
from shared.domain.job import SAGAS, JobKind, JobState
from shared.operations.upkeep import rebuilding
from tests.actors import TESTER
from tests.faults.case import Case
from tests.faults.promises import assert_world
from tests.faults.scenes import SCENES, ask_restore, ask_snapshot, ask_verify, parked_goes, tidy
from tests.faults.world import World


def cases() -> Iterator[Case]:
    yield Case(
        kind="the catalog is dropped", name="rebuilt from the repository, and restored from", run=dropped
    )
    yield Case(kind="somebody empties every table", name="three snapshots of it", run=emptied)
    yield Case(kind="a proof finds a difference, and its finder is killed", name="rows are gone", run=refuted)


def dropped(world: World) -> None:
    """Every sealed snapshot is known again, with its standing, and can be proven and restored."""
    SCENES[JobKind.SNAPSHOT](world)
    parked_goes(world)
    tidy(world)  # of objects that only failed snapshots had no new catalog knows
    world.shop.write()
    before = {snapshot.id: (snapshot.manifest_sha256, snapshot.pinned) for snapshot in world.sealed()}
    world.fleet.catalog.engine.dispose()
    with psycopg.connect(world.catalog_server.dsn(), autocommit=True) as admin:
        admin.execute("drop database catalog with (force)")
        admin.execute("create database catalog owner keeper")
    migrate(world.fleet.catalog)
    list(rebuilding.rebuild(world.fleet, by=TESTER))
    after = {snapshot.id: (snapshot.manifest_sha256, snapshot.pinned) for snapshot in world.sealed()}
    assert after == before, "I1: the catalog does not know what the repository holds"
    world.restored = None
    for job_id in (ask_verify(world, world.golden_id), ask_restore(world)):
        job = world.ended(job_id)
        assert job.state is JobState.SUCCEEDED, job.error
    world.golden_job = job.id
    assert_world(world, contents=[world.golden])


def emptied(world: World) -> None:
    """They are kept and suspect, push no good one out, and what was there can be restored."""
    scene = SCENES[JobKind.SNAPSHOT](world)
    good = world.ended(scene.ask())
    assert good.state is JobState.SUCCEEDED
    world.keep = 2
    world.note_what_stays()
    with world.shop.session() as session:
        session.execute("truncate big, account, transfer, pad")
    for _ in range(3):
        job = world.ended(ask_snapshot(world))
        assert job.state is JobState.SUCCEEDED, job.error
        world.a_day_passes()
        newest = world.sealed()[0]
        assert newest.is_suspect, "I2: it looks as good as any other"
    assert_world(world, contents=[world.shop.content()])
    restored = world.ended(ask_restore(world, str(good.request["snapshot_id"])))
    assert restored.state is JobState.SUCCEEDED, restored.error
    assert_world(world, contents=[scene.before])
    tidy(world)
    parked_goes(world)
    world.shop.write()


def refuted(world: World) -> None:
    """It is told of once; the snapshot counts for nothing until another proof has found no difference."""
    scene = SCENES[JobKind.VERIFY](world)
    asked: list[str] = []
    world.plan("prove.refuted", "kill")
    with world.held_at("verify.build:done", lambda: asked.append(scene.ask())):
        (side,) = [name for name in world.shop.databases() if "_side_" in name]
        with world.shop.admin(side) as session:
            session.execute("delete from transfer")
    job = world.ended(asked[0])
    assert world.struck("prove.refuted")
    assert job.error is not None
    assert job.error["code"] == "not_proven", job.error
    scene.assert_over(job, expected=SAGAS[JobKind.VERIFY].ends_undone)
    (golden,) = [snapshot for snapshot in world.sealed() if snapshot.id == world.golden_id]
    assert golden.standing == "refuted"
    again = world.ended(ask_verify(world, world.golden_id))
    assert again.state is JobState.SUCCEEDED, again.error
    scene.assert_over(again)
