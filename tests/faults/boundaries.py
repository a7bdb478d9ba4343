"""Processes that die, or are told to stop, at every boundary of every step and between its side effects.

A job gives up after a few lost workers, so each case strikes three times, one worker after the other.
Rolling back is never given up: there each kind of job is struck at every boundary in one case.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from shared.domain.job import SAGAS, JobKind
from tests.faults import points
from tests.faults.case import Case
from tests.faults.points import Passed
from tests.faults.scenes import SCENES
from tests.faults.world import World

AT_ONCE = 3
ACTS = {"SIGKILL": "kill", "SIGTERM": "term"}
SAFEGUARD = ("restore.safeguard", "copy.", "seal.", "chunk.")
"""Moments that a restore passes while it takes its safety snapshot: most of its cases do without, to be quick."""


def cases(forth: Passed, back: Passed, *, seeds: int) -> Iterator[Case]:
    for kind in SAGAS:
        inside = [point for point in forth[kind] if point in points.named()]
        for seed in range(seeds):
            for name, act in ACTS.items():
                for group in grouped(points.boundaries(kind), seed):
                    yield struck(f"{name} at a boundary of {kind}", kind, group, act, seed)
                for group in grouped(inside, seed):
                    yield struck(f"{name} inside {kind}", kind, group, act, seed)
        yield struck_back(
            f"SIGKILL at every boundary of the rollback of {kind}", kind, points.ways_back(kind)
        )
        further = [point for point in back[kind] if point in points.named() and point not in inside]
        if further:
            yield struck_back(f"SIGKILL inside the rollback of {kind}", kind, further)


def grouped(moments: Sequence[str], seed: int) -> list[Sequence[str]]:
    """Neighbours together, and with another seed others; those of a safety snapshot among themselves."""
    ordered = sorted(moments, key=lambda point: not point.startswith(SAFEGUARD)) if seed == 0 else [*moments]
    if seed:
        random.Random(seed).shuffle(ordered)  # noqa: S311 - it is to be repeatable
    return [ordered[i : i + AT_ONCE] for i in range(0, len(ordered), AT_ONCE)]


def struck(title: str, kind: JobKind, group: Sequence[str], act: str, seed: int) -> Case:
    """The job succeeds all the same: what the dead ones began is gone on with, or begun anew."""

    def run(world: World) -> None:
        world.safeguarded = any(point.startswith(SAFEGUARD) for point in group)
        scene = SCENES[kind](world)
        for point in group:
            world.plan(point, act)
        job = world.ended(scene.ask())
        assert [point for point in group if not world.struck(point)] == [], "nothing was struck there"
        scene.assert_over(job)

    name = ", ".join(group)
    return Case(kind=title, name=name if seed == 0 else f"{name} (seed {seed})", run=run)


def struck_back(title: str, kind: JobKind, group: Sequence[str]) -> Case:
    """The job fails at its last moment, and dies again and again on its way back: it ends as if it had never been."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        world.plan(points.last(kind), "fail")
        for point in group:
            world.plan(point, "kill")
        job = world.ended(scene.ask())
        assert [point for point in group if not world.struck(point)] == [], "nothing was struck there"
        scene.assert_over(job, expected=SAGAS[kind].ends_undone)

    return Case(kind=title, name="one after the other", run=run)
