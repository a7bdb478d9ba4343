"""Child processes: the only place that starts them, and what each of them is guaranteed to be.

* Its end counts, not its last byte: a tool that fails after writing everything has failed.
* It does not outlive us. It leads a process group of its own that ends when the block around it ends,
  however that ends, and the kernel signals it when we are killed. The kernel does so at the death of the
  *thread* that started it, so start it from one that stays: a worker's main thread does.
* It sees an environment and descriptors that were chosen for it, and no secret stands in its arguments.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Final

from shared.errors import Permanent, Refused

PIECE_BYTES: Final = 1 << 20
# What every tool sees of an environment; messages are recognised by their English.
BARE: Final = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
_TICK_SECONDS: Final = 0.2
_GRACE_SECONDS: Final = 5.0
_STDERR_BYTES: Final = 1 << 20
_SAID_BYTES: Final = 2048
_LINE_CHARACTERS: Final = 400

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38

# The statement that failed may be a user mapping or a subscription, password included.
_STATEMENT: Final = re.compile(r"^Command was: .*?(?=^pg_\w+: |\Z)", re.MULTILINE | re.DOTALL)
_SECRET: Final = re.compile(
    r"""(password\s*=\s*|password\s+(?='))('(?:[^']|'')*'|[^\s,;)]+)""", re.IGNORECASE
)
_LOGIN: Final = re.compile(r"(://[^\s:/@]*:)[^\s@]+@")


class ToolFailed(Permanent):
    """A tool ended badly. `status` is negative for a signal; `said` is the end of what it complained."""

    default_code = "tool_failed"

    def __init__(self, tool: str, status: int, said: str) -> None:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        super().__init__(f"{tool} {how}: {said}" if said else f"{tool} {how}")
        self.tool = tool
        self.status = status
        self.said = said


@contextmanager
def stream(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    pass_fds: Sequence[int] = (),
    while_running: Callable[[], None] | None = None,
) -> Generator[Iterator[bytes]]:
    """Run a tool for its output, in pieces of 1 MiB.

    The iterator ends only where the tool ended well, and raises ToolFailed otherwise: who has not seen
    it end has nothing. Leaving the block earlier ends the tool. `while_running` is called about five
    times a second while the tool is waited for, and stops it by raising.
    """
    with _started(argv, env=env, stdout=subprocess.PIPE, pass_fds=pass_fds) as child:
        yield _pieces(child, _paced(while_running))


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: Iterable[bytes] | None = None,
    pass_fds: Sequence[int] = (),
    while_running: Callable[[], None] | None = None,
) -> None:
    """Run a tool to its end, fed from `stdin`; raise ToolFailed if it ends badly.

    Its output goes nowhere. A tool may end well without reading all it is fed. `while_running` is called
    about five times a second, while feeding too, and stops the tool by raising.
    """
    tick = _paced(while_running)
    with _started(argv, env=env, stdin=stdin is not None, pass_fds=pass_fds) as child:
        if stdin is not None:
            _feed(child, stdin, tick)
        child.wait(tick)


def ask(argv: Sequence[str], *, timeout_seconds: float = 10) -> str | None:
    """What a tool prints about itself, stripped; None where it cannot be run or does not know."""
    try:
        answer = subprocess.run(
            argv,
            env=BARE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_seconds,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.decode(errors="replace").strip()


class _Child:
    """A started tool and its stderr, which is a file because a pipe could fill up and stop it."""

    def __init__(
        self, argv: Sequence[str], popen: subprocess.Popen[bytes], stderr: IO[bytes], lifeline: int
    ) -> None:
        self.tool = os.path.basename(argv[0])  # noqa: PTH119 - a name, not a path
        self.popen = popen
        self.stdin = -1 if popen.stdin is None else popen.stdin.fileno()
        self.stdout = -1 if popen.stdout is None else popen.stdout.fileno()
        self.stderr = stderr
        # The other end of this pipe is open in the tool and in every process that it forked, and nowhere else.
        self.lifeline = lifeline

    def wait(self, tick: Callable[[], None]) -> None:
        """Wait for the end, and for every process of the group; raise ToolFailed for a bad one."""
        tick()
        while not self._ended(_TICK_SECONDS):
            tick()
        self.end()
        if self.popen.returncode != 0:
            raise ToolFailed(self.tool, self.popen.returncode, _said(self.stderr))

    def end(self) -> None:
        """Leave no process of the group. SIGTERM comes first: at it each process of pg_restore cancels what
        its backend is doing, which that would otherwise go on with for hours. The first of them does not
        wait for the others, so its end is not theirs.
        """
        if self.popen.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        _ready(self.lifeline, select.POLLHUP, _GRACE_SECONDS)
        self._signal(signal.SIGKILL)
        self.popen.wait()

    def hang_up(self) -> None:
        """Say that no more input comes."""
        if self.popen.stdin is not None:
            self.popen.stdin.close()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)

    def _ended(self, seconds: float) -> bool:
        """Look without reaping: until it is reaped its number is its group's, and nobody else's."""
        fd = os.pidfd_open(self.popen.pid)
        try:
            return _ready(fd, select.POLLIN, seconds)
        finally:
            os.close(fd)


@contextmanager
def _started(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: bool = False,
    stdout: int = subprocess.DEVNULL,
    pass_fds: Sequence[int],
) -> Generator[_Child]:
    us = os.getpid()
    with tempfile.TemporaryFile() as stderr, _lifeline() as (ours, theirs):
        try:
            popen = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                bufsize=0,
                cwd="/",
                umask=0o077,
                pass_fds=(*pass_fds, theirs.fileno()),
                start_new_session=True,
                preexec_fn=lambda: _before_exec(us),  # noqa: PLW1509 - system calls only: no lock, no import
            )
        except OSError as exc:
            raise Refused(f"{argv[0]} cannot be started: {exc.strerror}", code="tool_not_started") from exc
        finally:
            theirs.close()
        child = _Child(argv, popen, stderr, ours.fileno())
        try:
            yield child
        finally:
            child.end()
            child.hang_up()
            if popen.stdout is not None:
                popen.stdout.close()


@contextmanager
def _lifeline() -> Generator[tuple[IO[bytes], IO[bytes]]]:
    """A pipe that shows, when nobody holds its second end any more, that all are gone who did."""
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as ours, open(writing, "wb", buffering=0) as theirs:  # noqa: PTH123 - descriptors
        yield ours, theirs


def _before_exec(parent: int) -> None:
    """In the child. SIGTERM rather than SIGKILL at our death, for the reason in `_Child.end`."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _pieces(child: _Child, tick: Callable[[], None]) -> Iterator[bytes]:
    buffer = bytearray()
    while True:
        tick()
        if not _ready(child.stdout, select.POLLIN, _TICK_SECONDS):
            continue
        read = os.read(child.stdout, PIECE_BYTES - len(buffer))
        if not read:
            break
        buffer += read
        if len(buffer) == PIECE_BYTES:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)
    child.wait(tick)


def _feed(child: _Child, pieces: Iterable[bytes], tick: Callable[[], None]) -> None:
    os.set_blocking(child.stdin, False)
    with suppress(BrokenPipeError):  # it stopped reading: how it ended says whether it may
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                tick()
                if _ready(child.stdin, select.POLLOUT, _TICK_SECONDS):
                    rest = rest[os.write(child.stdin, rest) :]
    child.hang_up()


def _ready(fd: int, event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(seconds * 1000))


def _paced(call: Callable[[], None] | None) -> Callable[[], None]:
    """Called often, it calls about five times a second."""
    due = time.monotonic()

    def tick() -> None:
        nonlocal due
        if call is not None and time.monotonic() >= due:
            call()
            due = time.monotonic() + _TICK_SECONDS

    return tick


def _said(stderr: IO[bytes]) -> str:
    """The end of what the tool complained, without the statements and passwords that it quoted."""
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _STDERR_BYTES))
    text = _STATEMENT.sub("", stderr.read().decode(errors="replace"))
    text = _LOGIN.sub(r"\1***@", _SECRET.sub(r"\1***", text)).strip()
    # One line may list thousands of tables; it must not push the error before it out of sight.
    text = "\n".join(line[:_LINE_CHARACTERS] for line in text.split("\n"))
    return text.encode()[-_SAID_BYTES:].decode(errors="ignore")
