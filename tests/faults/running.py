"""One runner: a world of its own, and cases taken from a list that all runners share, one after another."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from shared import logs
from tests.faults import (
    boundaries,
    cancelled,
    crowds,
    damage,
    databases,
    disk,
    fleets,
    hosts,
    recovery,
    scenes,
    sleepers,
    storage,
    tools,
    tracing,
    warm,
)
from tests.faults.case import Case, Result
from tests.faults.points import Passed
from tests.faults.world import World

CASE_SECONDS = 120
LOOSE_MOST = 6


def run(board: Path, *, runner: int, runners: int, seeds: int, wanted: str, part: bool) -> None:
    """Take cases until none is left; what became of each goes to the board, a line each."""
    gc.freeze()  # every actor is forked from here: what we have read none of them has to walk, and so to copy
    logs.configure(level="info", style="json")
    signal.signal(signal.SIGALRM, too_long)
    disk.keep_mounts_private()
    with tempfile.TemporaryDirectory(prefix="snapfleet-faults-") as folder:
        made = 0
        world = raised(Path(folder) / "0")
        try:
            forth, back = tracing.trace(world, board, runner=runner, runners=runners)
            cases = listed(forth, back, seeds=seeds)
            for case in shared_out(board, representative(cases) if part else cases, wanted):
                result = tried(world, case)
                line = json.dumps(asdict(result)) + "\n"
                with (board / "results").open("ab", buffering=0) as results:
                    results.write(line.encode())  # one write, so that no two runners' lines mix
                if result.trouble is not None:
                    made += 1
                    with suppress(Exception):  # it may be broken in any way
                        world.close()
                    world = raised(Path(folder) / str(made))
        finally:
            world.close()


def raised(folder: Path) -> World:
    """A world with its golden snapshot; what its servers and processes say goes to its logs."""
    folder.mkdir()
    world = World(folder)
    world.begin()
    scenes.golden(world)
    return world


def listed(forth: Passed, back: Passed, *, seeds: int) -> list[Case]:
    """Every case, in an order that any runner makes the same."""
    made = [
        *boundaries.cases(forth, back, seeds=seeds),
        *cancelled.cases(),
        *crowds.cases(),
        *damage.cases(seeds=seeds),
        *databases.cases(),
        *fleets.cases(),
        *hosts.cases(),
        *recovery.cases(),
        *sleepers.cases(forth),
        *storage.cases(),
        *tools.cases(),
        *warm.cases(),
    ]
    assert len({case.label for case in made}) == len(made)
    random.Random(4711).shuffle(made)  # noqa: S311 - long ones and short ones mixed, the same every time
    return made


def representative(cases: Sequence[Case]) -> Iterator[Case]:
    """A part with every kind and every moment in it: all that kills at a moment, of the other kinds the first."""
    seen: set[str] = set()
    for case in cases:
        if case.kind not in seen or case.kind.startswith(
            ("SIGKILL at ", "SIGKILL inside ", "SIGKILL while ")
        ):
            seen.add(case.kind)
            yield case


def shared_out(board: Path, cases: Iterable[Case], wanted: str) -> Iterator[Case]:
    """Those that no other runner has taken."""
    for case in cases:
        if wanted not in case.label:
            continue
        name = hashlib.sha256(case.label.encode()).hexdigest()
        with suppress(FileExistsError):
            os.close(os.open(board / "taken" / name, os.O_CREAT | os.O_EXCL))
            yield case


def tried(world: World, case: Case) -> Result:
    """One case from a world at rest to a world at rest, or what went wrong."""
    began = time.monotonic()
    trouble = None
    signal.alarm(CASE_SECONDS)
    try:
        world.begin()
        case.run(world)
        world.cast.leave()
        world.cast.reset()
        scenes.put_back(world)
        if len(world.loose()) > LOOSE_MOST:
            scenes.tidy(world)
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is a promise that was not kept
        trouble = "".join(traceback.format_exception(exc, limit=-4))
        trouble += last_words(world)
    finally:
        signal.alarm(0)
    struck = tuple(world.forget())
    return Result(
        kind=case.kind, name=case.name, seconds=time.monotonic() - began, struck=struck, trouble=trouble
    )


def last_words(world: World) -> str:
    """What its processes said last."""
    words = ""
    for log in (world.folder / "logs").glob("*.log"):
        lines = log.read_text(errors="replace").splitlines()[-25:]
        words += f"\n{log.name}:\n" + "\n".join(line[:600] + line[600:][-1200:] for line in lines)
    return words


def too_long(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"the case took longer than {CASE_SECONDS} s")


if __name__ == "__main__":
    place, number, of, many, those, some = sys.argv[1:]
    run(Path(place), runner=int(number), runners=int(of), seeds=int(many), wanted=those, part=some == "part")
