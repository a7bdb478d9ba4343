"""Child processes that die with us, even when we are killed with SIGKILL.

Linux sends a child its "parent death signal" the moment its parent is gone. Three traps stand in the
way, each met here: the signal follows the *thread* that started the child, so only the main thread may
start one; the kernel forgets it when a process changes its identity, so it is set last; and a parent
that died between fork and the request never triggers it, so the child looks once more for itself.

Other systems have no such signal: there, children outlive a parent that was killed with SIGKILL.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from embedded.identity import Identity

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.02
_TAIL_BYTES = 4096

_libc = ctypes.CDLL(None, use_errno=True)


class Child:
    """One running process in a session of its own, its output in a log file.

    `polite` asks it to end, and it has `patience` to do so; `orphaned` is what the kernel sends it when
    we die.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        folder: Path | None = None,
        identity: Identity = Identity.SELF,
        polite: signal.Signals = signal.SIGTERM,
        orphaned: signal.Signals = signal.SIGKILL,
        patience: timedelta = timedelta(seconds=10),
        inherit: Sequence[int] = (),
    ) -> None:
        """Start it. The environment is exactly the one given; `inherit` names descriptors it keeps open."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("start processes from the main thread: they die with the thread that did")
        self.name = name
        self.log = log
        self.patience = patience
        self._polite = polite
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                list(argv),
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=tuple(inherit),
                preexec_fn=_before_exec(identity, orphaned),  # noqa: PLW1509 -- nothing else can ask for it
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._popen.poll()

    def wait(self, patience: timedelta) -> bool:
        """Whether it ended within this time."""
        try:
            self._popen.wait(patience.total_seconds())
        except subprocess.TimeoutExpired:
            return False
        return True

    def ask(self) -> None:
        """Ask it politely to end, and do not wait."""
        self._popen.send_signal(self._polite)

    def stop(self) -> None:
        """End it: politely, then by force, with what it left in its process group. Returns when it is gone."""
        self.ask()
        deadline = time.monotonic() + self.patience.total_seconds()
        while not self._ended() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if self._popen.returncode is None:
            # Not yet reaped, so its number cannot have passed to a stranger.
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def kill(self) -> None:
        """SIGKILL to this one process, as a crash would: what it started is left to itself."""
        self._popen.kill()
        self._popen.wait()

    def last_words(self) -> str:
        """The last line of its log that says something."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def _ended(self) -> bool:
        if self._popen.returncode is not None:
            return True
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found is not None


def clean_environment(folder: Path, **more: str) -> dict[str, str]:
    """An environment for servers: nothing of the caller's but the way to the programs."""
    path = os.environ.get("PATH", os.defpath)  # noqa: TID251 -- embedded/ reads the environment
    return {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "TZ": "UTC", **more}


def _before_exec(identity: Identity, orphaned: signal.Signals) -> Callable[[], None]:
    parent = os.getpid()

    def prepare() -> None:
        identity.assume()
        if sys.platform == "linux":
            _libc.prctl(_PR_SET_PDEATHSIG, int(orphaned), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return prepare
