"""Workers that are suspended for longer than their lease, and go on when somebody else has done their work."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from shared.domain.job import SAGAS, JobKind
from tests.faults import points
from tests.faults.case import Case
from tests.faults.points import Passed
from tests.faults.scenes import SCENES
from tests.faults.world import NAME, World, stopped

SHORT = timedelta(seconds=1.5)
FELT = ("prove.compared", "part.taken", "copy.shared_out", "side.intended", "build.unmarked", "prune.marked")
"""Moments so close to another one that sleeping at both shows nothing more."""


def cases(forth: Passed) -> Iterator[Case]:
    for kind in SAGAS:
        inside = [point for point in forth[kind] if point in points.named() and point not in FELT]
        for point in (*inside, points.last(kind)):
            yield asleep(kind, point)


def asleep(kind: JobKind, point: str) -> Case:
    """Another worker ends the job; the sleeper wakes up to nothing, and changes nothing."""

    def run(world: World) -> None:
        world.safeguarded = point.startswith(("copy.", "seal.", "chunk."))
        scene = SCENES[kind](world)
        world.plan(point, "stop")
        world.cast.changes = {"lease": SHORT}
        job_id = scene.ask()
        world.work_until(lambda: world.struck(point), f"somebody at {point}")
        world.cast.changes = {}
        sleepers = [actor for actor in world.cast.playing() if stopped(actor.pid)]
        assert sleepers
        try:
            world.work_until(lambda: not world.unfinished(), lambda: f"the end of {world.job(job_id)}")
            before = lasting(world)
            content = world.shop.content()
        finally:
            for sleeper in sleepers:
                sleeper.signal(signal.SIGCONT)
        for sleeper in sleepers:
            sleeper.wait()
        assert lasting(world) == before, "I3: a superseded worker has changed something"
        assert world.shop.content() == content
        scene.assert_over(world.ended(job_id))

    return Case(kind=f"SIGSTOP beyond the lease in {kind}, SIGCONT after it", name=point, run=run)


def lasting(world: World) -> Any:
    """All that a sleeper could change for the worse, but for objects that it puts and nobody counts."""
    with world.fleet.catalog.engine.connect() as connection:
        rows = [
            connection.execute(text(f"select to_jsonb({table})::text from {table} order by 1")).all()
            for table in ("job", "job_step", "snapshot", "parked", "outbox")
        ]
    manifests = [stat.key for stat in world.fleet.repository.storage.list(f"{NAME}/snapshots/")]
    return rows, manifests, world.shop.databases()
