"""Real workers and real beats: `python -m workers`, told what to do by Celery through Redis.

They reach Redis by the wire, and stand ready from the first case that needs them. Only while a case works
with them are they rung.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from embedded.process import Child
from shared.broker.app import make_app
from shared.broker.doorbell import CeleryDoorbell

if TYPE_CHECKING:
    from tests.faults.world import World

NAMES = ("w1", "w2")
READY = "ready."
TICKED = "Sending due task tick"


class Crew:
    """The real processes of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.members: dict[str, Child] = {}
        self._read: dict[str, int] = {}

    def start(self, name: str, module: str, *argv: str, environment: Mapping[str, str]) -> Child:
        """One process of the fleet, on its own."""
        world = self._world
        return Child(
            name,
            [sys.executable, "-m", module, *argv],
            environment={**world.environment, **environment},
            log=world.folder / "logs" / f"{name}.log",
            folder=world.folder,
        )

    @contextmanager
    def at_work(self, *names: str) -> Iterator[CeleryDoorbell]:
        """Inside it jobs are rung for these workers, and run by nobody else; afterwards by actors again."""
        world = self._world
        bell = CeleryDoorbell(make_app(world.redis_url()))
        self.hire(*(names or NAMES))
        before, world.cast.frozen = world.fleet, True
        world.fleet = replace(before, doorbell=bell)
        try:
            yield bell
        finally:
            world.fleet, world.cast.frozen = before, False

    def hire(self, *names: str) -> None:
        """These are there and ready; others are not."""
        for name in [*self.members]:
            if name not in names or not self.members[name].alive:
                self.kill(name)
        fresh = [name for name in names if name not in self.members]
        for name in fresh:
            environment = {
                "REDIS_URL": self._world.redis_url(wired=True),
                "SNAPFLEET_FAILPOINTS": str(self._world.points),
            }
            argv = ("--concurrency", "1", "--name", name, "--failpoints")
            self.listen(name)
            self.members[name] = self.start(name, "workers", *argv, environment=environment)
        self._world.work_until(lambda: all(self.said(READY, name) for name in fresh), f"{fresh} to be ready")

    @contextmanager
    def beating(self, name: str) -> Iterator[None]:
        """Inside it there is one more beat, and it has ticked; afterwards it is killed."""
        self.listen(name)
        child = self.start(name, "beat", environment={})
        try:
            self._world.work_until(lambda: self.said(TICKED, name), f"a tick of {name}")
            yield
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(timedelta(seconds=10))

    def kill(self, name: str) -> None:
        """SIGKILL to a worker and all of its pool, as if its machine had gone."""
        child = self.members.pop(name)
        if child.alive:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(timedelta(seconds=10))

    def dismiss(self) -> None:
        for name in [*self.members]:
            self.kill(name)

    def listen(self, *names: str) -> None:
        """Forget what these have said so far."""
        for name in names:
            log = self._world.folder / "logs" / f"{name}.log"
            self._read[name] = log.stat().st_size if log.exists() else 0

    def said(self, words: str, *names: str) -> bool:
        """Whether one of these has said this since."""
        for name in names:
            with (self._world.folder / "logs" / f"{name}.log").open("rb") as lines:
                lines.seek(self._read.get(name, 0))
                if words.encode() in lines.read():
                    return True
        return False

    def member_of(self, pid: int) -> str:
        """The worker whose pool's child this is."""
        return next(name for name, child in self.members.items() if os.getpgid(pid) == child.pid)
