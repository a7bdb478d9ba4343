"""The command line, and not each time its imports: a process that has them, and becomes one command after another.

What a command meets is what it meets as `python -m cli`: a process of its own, the given environment and
nothing else, files as its output and nothing as its input. Only how it is started differs.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn

LARGEST = 1 << 20
CLIENT = """
import json, os, socket, sys
order = {"argv": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd()}
with socket.socket(fileno=int(sys.argv[1])) as channel:
    channel.setblocking(True)
    socket.send_fds(channel, [json.dumps(order).encode()], [0, 1, 2])
    sys.exit(int(channel.recv(64)))
"""
"""A program that takes the number of a channel and a command, and is that command to whoever starts it."""


class WarmCli:
    """Begins with the first command, and ends with whoever has it."""

    def __init__(self, *, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._channel: socket.socket | None = None

    def run(self, argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        """One command to its end: status, output, errors."""
        channel = self.channel()
        order = {"argv": list(argv), "environment": dict(environment), "folder": str(Path.cwd())}
        with Path(os.devnull).open("rb") as nothing, _file() as out, _file() as err:
            files = [nothing.fileno(), out.fileno(), err.fileno()]
            socket.send_fds(channel, [json.dumps(order).encode()], files)
            status = int(channel.recv(LARGEST))
            return status, _said(out), _said(err)

    def channel(self) -> socket.socket:
        """What orders are sent over, one after another: by us, or by whoever has inherited it (`CLIENT`)."""
        return self._channel or self._begin()

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                env={"PATH": os.defpath},
                cwd=Path(__file__).parents[2],
                pass_fds=[theirs.fileno()],
            )
        ours.settimeout(self._patience)
        self._channel = ours
        weakref.finalize(self, _end, ours, process)
        return ours


def _end(channel: socket.socket, process: subprocess.Popen[bytes]) -> None:
    channel.close()
    process.wait()


def _file() -> IO[bytes]:
    return tempfile.TemporaryFile()


def _said(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def serve(channel: socket.socket) -> None:
    """Until nobody is left to ask for anything."""
    main: Callable[[], int] = import_module("cli.__main__").main
    while True:
        order, files, _flags, _address = socket.recv_fds(channel, LARGEST, 3)
        if not order:
            return
        child = os.fork()
        if child == 0:
            channel.close()
            become(main, json.loads(order), files)
        for file in files:
            os.close(file)
        _, status = os.waitpid(child, 0)
        channel.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(main: Callable[[], int], order: Mapping[str, Any], files: Sequence[int]) -> NoReturn:
    status = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.environ.clear()  # noqa: TID251 - as whoever starts a process does it
        os.environ.update(order["environment"])  # noqa: TID251
        os.chdir(order["folder"])
        sys.argv = ["snapfleet", *order["argv"]]
        status = main()
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - as the interpreter does it at its end
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given:
        serve(given)
