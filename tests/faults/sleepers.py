"""Workers that are suspended for longer than their lease, and go on when somebody else has done their work."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from datetime import timedelta

from sqlalchemy import text

from shared.domain.job import SAGAS, JobKind
from tests.faults import points
from tests.faults.actors import Actor
from tests.faults.boundaries import SAFEGUARD
from tests.faults.case import Case
from tests.faults.pids import stopped
from tests.faults.points import Passed
from tests.faults.scenes import SCENES
from tests.faults.world import NAME, World

SHORT = timedelta(seconds=2.5)
AT_ONCE = 2
# Under a lock of the catalog that has to outlast storage's slowest answer: who takes over waits for its end.
LOCKED = "prune.chunk_deleted"


def cases(forth: Passed) -> Iterator[Case]:
    """At every moment inside, once: by the first kind of job that passes it; and when a job is all but done."""
    known: set[str] = set()
    for kind in SAGAS:
        inside = [p for p in forth[kind] if p in points.named() - {LOCKED} and p not in known]
        known.update(inside)
        moments = [*inside, points.last(kind)]
        for start in range(0, len(moments), AT_ONCE):
            yield asleep(kind, moments[start : start + AT_ONCE])
    yield Case(kind="SIGSTOP beyond the lease while objects are deleted", name=LOCKED, run=deleting)


def asleep(kind: JobKind, moments: Sequence[str]) -> Case:
    """Others end the job; the sleepers wake up to nothing, and change nothing."""

    def run(world: World) -> None:
        world.safeguarded = any(point.startswith(SAFEGUARD) for point in moments)
        scene = SCENES[kind](world)
        for point in moments:
            world.plan(point, "stop")
        world.cast.changes = {"lease": SHORT}
        job_id = scene.ask()
        sleepers: list[Actor] = []
        try:
            world.work_until(lambda: all(map(world.struck, moments)), f"somebody at each of {moments}")
            world.cast.changes = {}
            sleepers = [actor for actor in world.cast.playing() if stopped(actor.pid)]
            assert len(sleepers) == len(moments)
            world.work_until(lambda: not world.unfinished(), lambda: f"the end of {world.job(job_id)}")
            before, content = lasting(world), world.shop.content()
        finally:
            for sleeper in sleepers:
                sleeper.signal(signal.SIGCONT)
        for sleeper in sleepers:
            sleeper.wait()
        assert_unchanged(world, before)
        assert world.shop.content() == content, "I3: a superseded worker has changed something"
        scene.assert_over(world.ended(job_id))

    return Case(
        kind=f"SIGSTOP beyond the lease in {kind}, SIGCONT after it", name=", ".join(moments), run=run
    )


def deleting(world: World) -> None:
    """Nobody stores what is being deleted: the next one waits, and the sleeper deletes no more."""
    scene = SCENES[JobKind.PRUNE](world)
    world.plan(LOCKED, "stop")
    world.cast.changes = {"lease": SHORT}
    job_id = scene.ask()
    world.work_until(lambda: world.struck(LOCKED), "somebody who deletes")
    world.cast.changes = {}
    (sleeper,) = [actor for actor in world.cast.playing() if stopped(actor.pid)]
    try:
        world.work_until(lambda: world.job(job_id).epoch > 1, "somebody who takes over")
    finally:
        sleeper.signal(signal.SIGCONT)
    sleeper.wait()
    scene.assert_over(world.ended(job_id))


def lasting(world: World) -> set[str]:
    """All that a sleeper could change for the worse, but for objects that it puts and nobody counts."""
    found = {f"database {name} {oid}" for name, oid in world.shop.databases().items()}
    found |= {stat.key for stat in world.fleet.repository.storage.list(f"{NAME}/snapshots/")}
    with world.fleet.catalog.engine.connect() as connection:
        for table in ("job", "job_step", "snapshot", "parked", "outbox"):
            # How a snapshot stands is written beside it when a job has ended, by whoever ended it.
            rows = connection.execute(text(f"select (to_jsonb({table}) - 'standing_of')::text from {table}"))
            found |= {f"{table} {row}" for row in rows.scalars()}
    return found


def assert_unchanged(world: World, before: set[str]) -> None:
    changed = lasting(world) ^ before
    assert changed == set(), f"I3: a superseded worker has changed something: {changed}"
