"""What each kind of job passes on its way, and on its way back when it fails at its last moment.

Done by the runner itself before the first case: what its libraries learn by it, every process forked from
it knows. Several runners share the kinds among them.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from shared.domain.job import SAGAS, JobKind
from tests.faults import points
from tests.faults.points import Passed
from tests.faults.scenes import SCENES, put_back
from tests.faults.world import World

PATIENCE_SECONDS = 300.0


def trace(world: World, board: Path, *, runner: int, runners: int) -> tuple[Passed, Passed]:
    """There, and back, by kind."""
    for number, kind in enumerate(SAGAS):
        if number % runners == runner:
            seen = follow(world, kind)
            fresh = board / f"trace.{kind}.new"
            fresh.write_text(json.dumps(seen))
            fresh.rename(board / f"trace.{kind}")
    found = {kind: read(board / f"trace.{kind}") for kind in SAGAS}
    return {kind: way for kind, (way, _) in found.items()}, {kind: way for kind, (_, way) in found.items()}


def follow(world: World, kind: JobKind) -> tuple[list[str], list[str]]:
    world.cast.here, world.safeguarded = True, True
    scene = SCENES[kind](world)
    world.forget()
    scene.assert_over(world.ended(scene.ask()))
    # Retention follows a snapshot, and finds something to take or not: it is struck at as itself.
    forth = [point for point in world.passed() if kind is JobKind.PRUNE or not point.startswith("prune.")]
    put_back(world)
    scene = SCENES[kind](world)
    world.forget()
    world.plan(points.last(kind), "fail")
    scene.assert_over(world.ended(scene.ask()), expected=SAGAS[kind].ends_undone)
    passed = world.passed()
    world.begin()
    return forth, passed[passed.index(f"{kind}:rollback_claimed") :]


def read(file: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What this or another runner has seen."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not file.exists():
        assert time.monotonic() < deadline, f"nobody has written {file.name}"
        time.sleep(0.05)
    forth, back = json.loads(file.read_text())
    return tuple(forth), tuple(back)
