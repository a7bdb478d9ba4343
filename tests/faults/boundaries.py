"""Processes that die, or are told to stop, at every boundary of every step and between its side effects."""

from __future__ import annotations

from collections.abc import Iterator

from shared.domain.job import SAGAS, JobKind, JobState
from tests.faults import points
from tests.faults.case import Case
from tests.faults.points import Passed
from tests.faults.scenes import SCENES
from tests.faults.world import World

SAFEGUARD = ("restore.safeguard", "copy.", "seal.", "chunk.")
"""Moments that a restore passes while it takes its safety snapshot: most of its cases do without, to be quick."""


def cases(forth: Passed, back: Passed) -> Iterator[Case]:
    for kind in SAGAS:
        for point in points.boundaries(kind):
            yield struck(f"SIGKILL at a boundary of {kind}", kind, point, "kill")
            yield struck(f"SIGTERM at a boundary of {kind}", kind, point, "term")
        inside = [point for point in forth[kind] if point in points.named()]
        for point in inside:
            yield struck(f"SIGKILL inside {kind}", kind, point, "kill")
            yield struck(f"SIGTERM inside {kind}", kind, point, "term")
        for point in points.ways_back(kind):
            yield struck_back(f"SIGKILL at a boundary of the rollback of {kind}", kind, point, "kill")
        for point in back[kind]:
            if point in points.named() and point not in inside:
                yield struck_back(f"SIGKILL inside the rollback of {kind}", kind, point, "kill")


def struck(title: str, kind: JobKind, point: str, act: str) -> Case:
    """The job succeeds all the same: what the dead one began is gone on with, or begun anew."""

    def run(world: World) -> None:
        world.safeguarded = point.startswith(SAFEGUARD)
        scene = SCENES[kind](world)
        world.plan(point, act)
        job = world.ended(scene.ask())
        assert world.struck(point)
        scene.assert_over(job)

    return Case(kind=title, name=point, run=run)


def struck_back(title: str, kind: JobKind, point: str, act: str) -> Case:
    """The job fails at its last moment, and dies once more on its way back: it ends as if it had never been."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        world.plan(points.last(kind), "fail")
        world.plan(point, act)
        job = world.ended(scene.ask())
        assert world.struck(point)
        scene.assert_over(job, expected=SAGAS[kind].ends_undone)

    return Case(kind=title, name=point, run=run)


def trace(world: World) -> tuple[Passed, Passed]:
    """Let every kind of job go its way there, and there and back, and note what it passes."""
    forth, back = {}, {}
    for kind in SAGAS:
        world.safeguarded = True
        scene = SCENES[kind](world)
        world.forget()
        job = world.ended(scene.ask())
        scene.assert_over(job)
        forth[kind] = tuple(world.passed())
        world.begin()
        scene = SCENES[kind](world)
        world.forget()
        world.plan(points.last(kind), "fail")
        job = world.ended(scene.ask())
        scene.assert_over(job, expected=SAGAS[kind].ends_undone)
        passed = world.passed()
        back[kind] = tuple(passed[passed.index(f"{kind}:rollback_claimed") :])
        assert job.state is not JobState.SUCCEEDED
        world.begin()
    return forth, back
