"""Run one command of the user's as if its user had: its output, input and environment are ours, untouched.

Away from a terminal it gets a process group of its own, and signals that we are sent go to all of that group. On
a terminal it stays in ours, so that it may read from it; there Ctrl-C reaches it by itself, and other signals are
passed on to it alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from shared.errors import NotFound
from shared.signals import handled

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

GRACE_SECONDS = 10
"""How long it may take to end after a signal before it is killed: something waits for us to act."""

OF_SIGNALS = 128
"""A shell's word for a process that a signal has ended: this and the signal's number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """`status` as a shell would tell it. `interrupted` is the first signal that we were sent, if any."""

    status: int
    interrupted: signal.Signals | None

    @property
    def is_well(self) -> bool:
        return self.status == 0 and self.interrupted is None


class Running:
    """A child process, and what we were told while it ran."""

    def __init__(self, *, on_terminal: bool, grace_seconds: int) -> None:
        self._grace_seconds = grace_seconds
        self._on_terminal = on_terminal
        self._child: subprocess.Popen[bytes] | None = None
        self.heard: list[signal.Signals] = []

    def start(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """NotFound where it cannot be started."""
        try:
            self._child = subprocess.Popen(argv, process_group=None if self._on_terminal else 0)
            for number in tuple(self.heard):  # sent before there was anybody to pass it on to
                self.send(number)
        except OSError as exc:
            raise NotFound(
                f"{argv[0]} cannot be run: {exc.strerror}", code="command_not_run", hint="nothing was changed"
            ) from exc
        return self._child

    def send(self, number: int) -> None:
        child = self._child
        if child is None or child.returncode is not None:
            return
        with suppress(ProcessLookupError):
            if self._on_terminal:
                os.kill(child.pid, number)
            else:
                os.killpg(child.pid, number)

    def hear(self, number: int, _frame: FrameType | None) -> None:
        self.heard.append(signal.Signals(number))
        if number == signal.SIGHUP:
            go_silent()
        if not (self._on_terminal and number == signal.SIGINT):
            self.send(number)
        signal.alarm(self._grace_seconds)

    def kill(self, _number: int, _frame: FrameType | None) -> None:
        self.send(signal.SIGKILL)


def run(argv: Sequence[str], *, grace_seconds: int = GRACE_SECONDS) -> Ended:
    """Run it to its end, whatever signals come. NotFound where it cannot be started: then nothing was run."""
    on_terminal = sys.stdin is not None and sys.stdin.isatty()
    running = Running(on_terminal=on_terminal, grace_seconds=grace_seconds)
    with handled({signal.SIGALRM: running.kill}):
        try:
            with handled(dict.fromkeys(SIGNALS, running.hear)):
                returned = running.start(argv).wait()
        finally:
            signal.alarm(0)  # now that no signal sets it any more
    status = OF_SIGNALS - returned if returned < 0 else returned
    return Ended(status=status, interrupted=running.heard[0] if running.heard else None)


@contextmanager
def noted() -> Generator[list[signal.Signals]]:
    """In here signals end nothing; they are kept in the list."""
    heard: list[signal.Signals] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        heard.append(signal.Signals(number))
        if number == signal.SIGHUP:
            go_silent()

    with handled(dict.fromkeys(SIGNALS, hear)):
        yield heard


def go_silent() -> None:
    """The terminal is gone: what we say from now on must not be what ends us."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.__stdout__.fileno() if sys.__stdout__ else 1)
        os.dup2(nowhere, sys.__stderr__.fileno() if sys.__stderr__ else 2)
