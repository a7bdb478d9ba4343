"""Jobs that are cancelled: at every step, while they wait, and too late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from shared.domain.job import SAGAS, JobKind
from shared.errors import Busy
from shared.operations.jobs import requests
from tests.actors import TESTER
from tests.faults.case import Case
from tests.faults.scenes import SCENES
from tests.faults.world import World

INSIDE = {
    JobKind.SNAPSHOT: ("copy.exported", "chunk.intended", "part.worked", "seal.manifest_put"),
    JobKind.VERIFY: ("side.created", "load.part_loading"),
    JobKind.RESTORE: (
        "side.data_restored",
        "load.part_loading",
        "build.unmarked",
        "swap.closed",
        "swap.committed",
    ),
    JobKind.UNDO: ("swap.closed", "swap.committed"),
    JobKind.TABLES: ("move.carried",),
    JobKind.RESET: ("reset.created", "swap.renamed"),
    JobKind.PRUNE: ("prune.hidden", "prune.chunk_deleted"),
}


def cases() -> Iterator[Case]:
    for kind, saga in SAGAS.items():
        for step in saga.steps:
            yield cancelled(f"cancel at every step of {kind}", kind, f"{kind}.{step}:claimed")
        for point in INSIDE.get(kind, ()):
            yield cancelled(f"cancel inside {kind}", kind, point)


def cancelled(title: str, kind: JobKind, point: str) -> Case:
    """It ends as if it had never been, or, where the cancel came too late, as if nobody had cancelled."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        asked: list[str] = []
        with world.held_at(point, lambda: asked.append(scene.ask())), suppress(Busy):
            requests.cancel(world.fleet, asked[0], by=TESTER)
        scene.assert_either(world.ended(asked[0]))

    return Case(kind=title, name=point, run=run)
