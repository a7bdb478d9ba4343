"""A thousand random steps with incremental snapshots among them: each is, name for name, what reading gives.

Ten thousand and more, with other dice: `make incremental-fuzz ARGS="--steps 10000 --seed 2"`. Which changes to what is
tested make it fail stands in docs/decisions/0014-incremental-soundness.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.incremental.__main__ import fuzz
from tests.incremental.running import world_on

STEPS, BETWEEN = 1000, (60, 180)


@pytest.mark.timeout(900)  # a machine that others use as well may take ten times as long
def test_what_is_taken_over_unread_is_what_reading_gives(tmp_path: Path) -> None:
    # Without checksums on its pages a server logs least: a mistake that they would hide shows.
    with world_on("17", tmp_path, between=BETWEEN, wholly=False) as world:
        fuzz(world, steps=STEPS, seed=2)
        assert world.faults == []
        assert world.figures.reused > 5 * world.figures.snapshots
        assert world.figures.bases > world.figures.snapshots // 2
