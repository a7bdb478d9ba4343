"""Processes that run a job's steps, as a worker's pool does: forked from this one, and signalled for real.

An actor plays one message: the steps that are left, one after another, and the rollback if one fails. It
runs in a process group of its own, with the hands that are called to help it, as a worker and its pool do.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from shared.domain.job import Job, JobState
from shared.operations import steps
from shared.operations.fleet import Fleet
from shared.operations.jobs import saga

if TYPE_CHECKING:
    from tests.faults.world import World

LEAVING_SECONDS = 20.0
Play = Callable[[Fleet], object]
Limits = Mapping[int, int]


class Actor:
    """One process. `status` is None while it is there, negative for the signal that ended it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None

    @property
    def alive(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    def signal(self, number: signal.Signals) -> None:
        if self.alive:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Its end, which must come."""
        deadline = time.monotonic() + LEAVING_SECONDS
        while self.alive:
            if time.monotonic() > deadline:
                raise AssertionError(f"process {self.pid} does not end")
            time.sleep(0.005)
        assert self.status is not None
        return self.status


class Cast:
    """All actors of a world, and how the next ones are to be: `changes` to their fleet, `limits`, `hands`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._playing: dict[tuple[str, int], Actor] = {}
        self._others: list[Actor] = []
        self._staying: list[Actor] = []
        self._missed: set[int] = set()
        self.reset()

    def reset(self) -> None:
        """The next ones are ordinary again."""
        self.changes: dict[str, Any] = {}
        self.limits: Limits = {}
        self.hands = 0
        self.here = False
        """Whether this process comes itself: what it learns by that, those forked from it know."""
        self.frozen = False
        """Whether nobody comes when it is rung."""

    def start(self, play: Play, *, group: int = 0, stays: bool = False) -> Actor:
        """A process that plays this, in the group of another or in its own; one that stays is not waited for."""
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._live(play, group)
        with suppress(PermissionError, ProcessLookupError):  # it has done so itself, or is gone
            os.setpgid(pid, group)
        actor = Actor(pid)
        (self._staying if stays else self._others).append(actor)
        return actor

    def call(self, job: Job) -> None:
        """Somebody comes for a message, unless somebody still works on it."""
        if self.frozen:
            return
        if self.here:
            follow(job, self._world.fleet)
            return
        playing = self._playing.get((job.id, job.epoch))
        if playing is not None and playing.alive:
            return
        lead = self.start(lambda fleet: follow(job, fleet))
        self._playing[job.id, job.epoch] = lead
        for _ in range(self.hands):
            self.start(lambda fleet: help_along(job, fleet), group=lead.pid)

    def playing(self) -> list[Actor]:
        """Everybody who is there."""
        return [actor for actor in self._others if actor.alive]

    def lost_somebody(self) -> bool:
        """Whether somebody has ended since they were counted last."""
        return any(not actor.alive and actor.pid not in self._missed for actor in self._others)

    def count(self) -> None:
        """See who is there."""
        self._missed.update(actor.pid for actor in self._others if not actor.alive)

    def leave(self) -> None:
        """Wait until everybody has gone who is not held or asleep on purpose."""
        for actor in self._others:
            actor.wait()
        self._others.clear()
        self._playing.clear()
        self._missed.clear()

    def kill_all(self) -> None:
        """Nobody stays."""
        for actor in (*self._others, *self._staying):
            actor.kill()

    def _live(self, play: Play, group: int) -> NoReturn:
        status = 1
        try:
            os.setpgid(0, group)
            self._world.let_go()
            log = os.open(self._world.folder / "logs" / "actors.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
            signal.signal(signal.SIGTERM, stop)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            tempfile.tempdir = str(self._world.folder / "tmp")
            fleet = self._world.compose(forked=True, **self.changes)
            for which, most in self.limits.items():
                resource.setrlimit(which, (most, resource.getrlimit(which)[1]))
            play(fleet)
            status = 0
        except SystemExit:
            status = 0
        except BaseException:  # noqa: BLE001 - it is a process's last word
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


def stop(_number: int, _frame: object) -> None:
    """What a pool's process does when it is told to end."""
    sys.exit(0)


def follow(job: Job, fleet: Fleet) -> None:
    """What the messages of one ringing do, in a pool of one."""
    if job.state is JobState.ROLLING_BACK:
        roll_back(job, fleet)
        return
    try:
        for seq, _ in job.remaining:
            if not saga.run_step(steps.STEPS, job.id, epoch=job.epoch, seq=seq, fleet=fleet):
                return
    except Exception:  # noqa: BLE001 - it stands in the job's row; the errback undoes
        roll_back(job, fleet)


def roll_back(job: Job, fleet: Fleet) -> None:
    with suppress(Exception):  # written down in its row, and tried again by the reaper
        saga.roll_back(steps.STEPS, job.id, epoch=job.epoch, fleet=fleet)


def help_along(job: Job, fleet: Fleet) -> None:
    """A hand: comes whenever there are parts to take while its job is under this epoch."""
    while True:
        with fleet.catalog.transaction() as tx:
            now = tx.jobs.get(job.id)
        if now is None or now.state.is_final or now.epoch != job.epoch:
            return
        with suppress(Exception):  # the lead is the one to judge
            steps.help_out(job.id, epoch=job.epoch, fleet=fleet)
        time.sleep(0.02)
