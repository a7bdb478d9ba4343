"""The three servers and the fleet's processes in one folder, which live and die together.

    <folder>/lock   postgres/   valkey/   seaweed/   log/<process>.log

What the caller's environment already names is used instead of a server of ours:

    DATABASE_URL, CATALOG_URL        PostgreSQL starts unless both are there
    REDIS_URL                        Valkey
    S3_BUCKET or SNAPSHOT_DIR        SeaweedFS
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from embedded import databases
from embedded.lock import FolderLock
from embedded.postgres import Postgres
from embedded.process import Child
from embedded.seaweed import SeaweedFS
from embedded.server import Server
from embedded.valkey import Valkey

# A worker that is asked to end finishes or gives back what it holds.
FLEET_PATIENCE = timedelta(seconds=15)
# How long a fleet whose parent was killed may take to be gone, when its folder is to be emptied.
_LEAVING_PATIENCE = timedelta(seconds=20)
_OURS = ("postgres", "valkey", "seaweed", "log")


class Stack:
    """A context manager: inside it the servers run, and `environment` leads the fleet to them.

    Entering raises Busy when another stack uses the folder. Leaving stops everything. With `fresh` it
    begins by forgetting whatever an earlier stack left in the folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        environ: Mapping[str, str],
        fresh: bool = False,
        patience: timedelta = FLEET_PATIENCE,
    ) -> None:
        """`patience` is how long the fleet's processes may take to end when asked to."""
        self.folder = folder.resolve()
        self._given = dict(environ)
        self._fresh = fresh
        self._patience = patience
        self._lock = FolderLock(self.folder, owner="a fleet")
        self._exits = ExitStack()
        self._fleet: list[Child] = []
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        self.seaweed: SeaweedFS | None = None
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self._lock.take()
            exits.callback(self._lock.release)
            if self._fresh:
                self._forget()
            if not (self._is_given("DATABASE_URL") and self._is_given("CATALOG_URL")):
                self.postgres = Postgres(self.folder / "postgres")
            if not self._is_given("REDIS_URL"):
                self.valkey = Valkey(self.folder / "valkey")
            if not (self._is_given("S3_BUCKET") or self._is_given("SNAPSHOT_DIR")):
                self.seaweed = SeaweedFS(self.folder / "seaweed")
            exits.callback(self._stop_servers)
            for server in self.servers:
                server.begin()
            for server in self.servers:
                server.ready()
            self.environment = self._environment()
            exits.callback(self._stop_fleet)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.__exit__(kind, error, trace)

    @property
    def servers(self) -> tuple[Server, ...]:
        """Those that are ours."""
        every: tuple[Server | None, ...] = (self.postgres, self.valkey, self.seaweed)
        return tuple(server for server in every if server is not None)

    def spawn(self, name: str, argv: Sequence[str]) -> Child:
        """Start a process of the fleet. It ends before the servers do, and dies with us."""
        log = self.folder / "log" / f"{name}.log"
        log.parent.mkdir(mode=0o700, exist_ok=True)
        child = Child(name, argv, environment=self.environment, log=log, patience=self._patience)
        self._fleet = [*(other for other in self._fleet if other.alive), child]
        return child

    def _forget(self) -> None:
        for name in _OURS:
            # Servers of a stack that was killed hold this until the last of their processes is gone.
            lock = FolderLock(self.folder / name, owner=name)
            lock.take(patience=_LEAVING_PATIENCE)
            shutil.rmtree(self.folder / name)
            lock.release()

    def _is_given(self, name: str) -> bool:
        return bool(self._given.get(name))

    def _environment(self) -> dict[str, str]:
        """The caller's, without what would lead libpq or the S3 client elsewhere than to our servers."""
        misleading: tuple[str, ...] = ()
        ours: dict[str, str] = {}
        if self.postgres is not None:
            if not self._is_given("CATALOG_URL"):
                ours["CATALOG_URL"] = databases.catalog(self.postgres)
            if not self._is_given("DATABASE_URL"):
                ours["DATABASE_URL"] = databases.journal(self.postgres)
                misleading = ("PG",)
        if self.valkey is not None:
            ours["REDIS_URL"] = self.valkey.url
        if self.seaweed is not None:
            misleading = (*misleading, "AWS_")
            ours |= self.seaweed.environment
        kept = {name: value for name, value in self._given.items() if not name.startswith(misleading)}
        return kept | ours

    def _stop_fleet(self) -> None:
        for child in self._fleet:
            child.ask()
        for child in self._fleet:
            child.stop()

    def _stop_servers(self) -> None:
        for server in self.servers:
            server.ask()
        for server in self.servers:
            server.stop()
