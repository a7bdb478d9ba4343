"""Named moments of the work at which a test may strike. In production nothing can: nobody arms them.

    reach("swap.renamed")            in the code; costs one look at an empty list
    <folder>/swap.renamed            what a test puts there to strike: `<act>`, `<act> <nth time>` or `<act> always`
    <folder>/swap.renamed.struck     what it becomes when it strikes: of any number of processes in one only;
                                     or what comes to lie beside it, where it strikes always
    <folder>/passed                  what was reached, a line each

`kill`, `term` and `stop` are signals to the process that came by, `kill-group` is SIGKILL to it and to all
that its worker runs, `fail` is an error, and `hold` keeps it there until the file is gone. Only an entry
point whose command line says so arms them; the settings refuse to be read while they name such a folder
and it does not.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

STRUCK = ".struck"
PASSED = "passed"
_LOOK_SECONDS = 0.005

_armed: list[Path] = []
_passed: Counter[str] = Counter()


def reach(point: str) -> None:
    """Say that the work has come to this moment."""
    for folder in _armed:
        _look(folder, point)


def arm(folder: Path) -> None:
    """From now on strike in this process, and in those forked from it, as the files in `folder` say."""
    _armed[:] = [folder]
    _passed.clear()


def disarm() -> None:
    """Strike no more in this process."""
    _armed.clear()


def _look(folder: Path, point: str) -> None:
    with (folder / PASSED).open("a", encoding="ascii") as passed:
        passed.write(f"{point}\n")
    planned = folder / point
    try:
        act, _, nth = planned.read_text("ascii").partition(" ")
        if nth == "always":
            struck = folder / f"{point}{STRUCK}"
            struck.touch()
            _ACTS[act](struck)
            return
        _passed[point] += 1
        if _passed[point] < int(nth or "1"):
            return
        struck = planned.rename(folder / f"{point}{STRUCK}")
    except FileNotFoundError:  # nothing is planned here, or another process was quicker
        return
    _ACTS[act](struck)


def _signal(number: signal.Signals) -> Callable[[Path], None]:
    def act(_struck: Path) -> None:
        os.kill(os.getpid(), number)

    return act


def _kill_group(_struck: Path) -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _fail(struck: Path) -> None:
    raise OSError(f"as planned at {struck.name.removesuffix(STRUCK)}")


def _hold(struck: Path) -> None:
    while struck.exists():
        time.sleep(_LOOK_SECONDS)


_ACTS: dict[str, Callable[[Path], None]] = {
    "kill": _signal(signal.SIGKILL),
    "term": _signal(signal.SIGTERM),
    "stop": _signal(signal.SIGSTOP),
    "kill-group": _kill_group,
    "fail": _fail,
    "hold": _hold,
}
