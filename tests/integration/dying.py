"""A worker that is killed, as by SIGKILL at a moment of the test's choice, in the middle of one step.

`python -m tests.integration.dying JOB EPOCH SEQ NTH DELETES KEEP` claims the step and dies at its NTH look at its
lease: that is before each irreversible act, and once more before the step is written down as done. Or it
dies right after it has deleted so many objects. SEQ 0 is the rollback. Retention keeps the last KEEP. Where
everything is comes in the environment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TypeVar

from shared.domain.job import Job
from shared.domain.retention import Policy
from shared.operations import steps
from shared.operations.jobs import saga
from shared.operations.jobs.saga import StepActions, StepRun
from shared.storage.folder import FolderStorage
from tests.integration.inline_fleet import InlineFleet

T = TypeVar("T")
NEVER = 1_000_000


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly(FolderStorage):
    """Kills whoever has deleted so many objects."""

    def __init__(self, folder: Path, *, deletes: int) -> None:
        super().__init__(folder)
        self._left = deletes

    def delete(self, key: str) -> None:
        super().delete(key)
        self._left -= 1
        if self._left == 0:
            die()


def main(job_id: str, epoch: int, seq: int, nth: int, deletes: int, keep: int) -> None:  # noqa: PLR0917 - argv
    inlined = InlineFleet(
        os.environ["SOURCE_URL"],  # noqa: TID251 - secrets do not belong into argv
        catalog_url=os.environ["CATALOG_URL"],  # noqa: TID251 - likewise
        storage=Deadly(Path(os.environ["REPOSITORY"]), deletes=deletes),  # noqa: TID251 - likewise
        policy=Policy(last=keep),
    )
    looks = count(1)

    def dying(act: Callable[[StepRun], T]) -> Callable[[StepRun], T]:
        def run(step: StepRun) -> T:
            alive = step.check

            def check() -> None:
                if next(looks) == nth:
                    die()
                alive()

            step.check = check  # type: ignore[method-assign]  # the moment to die is what this is about
            return act(step)

        return run

    doomed = {
        key: StepActions(do=dying(actions.do), undo=actions.undo and dying(actions.undo))
        for key, actions in steps.STEPS.items()
    }
    if seq:
        saga.run_step(doomed, job_id, epoch=epoch, seq=seq, fleet=inlined.fleet)
    else:
        saga.roll_back(doomed, job_id, epoch=epoch, fleet=inlined.fleet)


def start(
    job: Job,
    *,
    source_url: str,
    catalog_url: str,
    repository: Path,
    rollback: bool = False,
    nth: int = NEVER,
    deletes: int = NEVER,
    keep: int = 10,
) -> subprocess.Popen[bytes]:
    """Let a process of its own go on with a job, to die there."""
    numbers = (job.epoch, 0 if rollback else job.next_seq, nth, deletes, keep)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.dying", job.id, *map(str, numbers)],
        cwd=Path(__file__).parents[2],
        env={
            "PATH": os.environ["PATH"],  # noqa: TID251 - programs are found as they are by a user
            "SOURCE_URL": source_url,
            "CATALOG_URL": catalog_url,
            "REPOSITORY": str(repository),
        },
    )


if __name__ == "__main__":
    main(sys.argv[1], *(int(number) for number in sys.argv[2:]))
