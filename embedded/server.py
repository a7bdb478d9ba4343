"""What the embedded servers have in common: a folder of their own, and a start in two halves.

`begin` returns at once, `ready` waits. Beginning all of them before waiting for any starts them side by
side, without threads.

    <folder>/lock              held by the server's processes as long as one of them lives
    <folder>/remembered.json   ports and passwords
    <folder>/server.log
    <folder>/data/
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from datetime import timedelta
from pathlib import Path

from embedded.lock import FolderLock
from embedded.process import Child
from embedded.remembered import Remembered
from shared.errors import Unreachable

START_PATIENCE = timedelta(seconds=60)
# How long a server whose parent was killed may take to be gone.
_LEAVING_PATIENCE = timedelta(seconds=15)
_POLL_SECONDS = 0.02


class Server(ABC):
    """A server on 127.0.0.1 that dies with us.

    It may be stopped or killed and started again, on the same folder and the same ports: by this object
    always, by a later one as long as nobody took the ports in between.
    """

    name: str

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder.resolve()
        self.log = self.folder / "server.log"
        self.data = self.folder / "data"
        self._wanted_port = port
        self._ports: tuple[int, ...] = ()
        self._lock = FolderLock(self.folder, owner=self.name)
        self._remembered: Remembered | None = None
        self._child: Child | None = None

    @property
    def port(self) -> int:
        """Where clients connect. Known from the first start on."""
        if not self._ports:
            raise RuntimeError(f"{self.name} was never started")
        return self._ports[0]

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    @property
    def address(self) -> str:
        """What to show to people: no password in it."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    scheme: str

    def start(self) -> None:
        """Start it and wait until it serves."""
        self.begin()
        self.ready()

    def begin(self) -> None:
        """Start it and do not wait. Raises Busy when another one runs in the folder."""
        if self.alive:
            raise RuntimeError(f"{self.name} already runs")
        self._lock.take(patience=_LEAVING_PATIENCE)
        try:
            self._remembered = Remembered(self.folder)
            if not self._ports:
                self._ports = self._choose_ports(self._remembered)
            self._child = self._launch()
        except BaseException:
            self._lock.release()
            raise

    def ready(self) -> None:
        """Wait until it serves. Raises Unreachable, and stops it, when it does not."""
        deadline = time.monotonic() + START_PATIENCE.total_seconds()
        while True:
            # One that has ended may be followed by the next: of the same one, and before that could happen.
            child = self._running()
            has_ended = not child.alive
            if self._serves():
                return
            if (has_ended and self._running() is child) or time.monotonic() > deadline:
                words = self._running().last_words()
                self.stop()
                raise Unreachable(
                    f"{self.name} did not start: {words}",
                    code="server_not_started",
                    hint=f"its log is {self.log}",
                )
            time.sleep(_POLL_SECONDS)

    def ask(self) -> None:
        """Ask it politely to end, and do not wait."""
        if self._child is not None:
            self._child.ask()

    def stop(self) -> None:
        """End it, politely first. Does nothing when it does not run."""
        if self._child is not None:
            self._child.stop()
        self._lock.release()

    def kill(self) -> None:
        """End it as a crash would, with SIGKILL."""
        self._running().kill()
        self._lock.release()

    def secret(self, name: str) -> str:
        """A random secret of this folder, the same at every start. Known from the first start on."""
        if self._remembered is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._remembered.secret(name)

    def _choose_ports(self, remembered: Remembered) -> tuple[int, ...]:
        return remembered.ports("server", wanted=self._wanted_port)

    @abstractmethod
    def _launch(self) -> Child:
        """Start the first process."""

    @abstractmethod
    def _serves(self) -> bool:
        """Whether it answers now; also the place for what has to happen before it can."""

    def _running(self) -> Child:
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._child
