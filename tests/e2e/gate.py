"""A gate before a server: it lets a number of bytes pass and then holds everything back until opened.

So a test can stop a copy or a load in the middle, and break things there, without guessing at times.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

PIECE_BYTES = 1 << 16


class Gate:
    """Forwards 127.0.0.1:`port` to another port there."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._changed = threading.Condition()
        self._left: int | None = None
        self._waiting = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close_after(self, count: int) -> None:
        """Let so many bytes pass from now on, counted both ways."""
        with self._changed:
            self._left = count

    def open(self) -> None:
        with self._changed:
            self._left = None
            self._changed.notify_all()

    @property
    def holds(self) -> bool:
        """Somebody stands before it."""
        with self._changed:
            return self._waiting > 0

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._target_port)) as server:
            answers = threading.Thread(target=self._pump, args=(server, client), daemon=True)
            answers.start()
            self._pump(client, server)
            answers.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # an end was killed, or the other direction has hung up
            while piece := source.recv(PIECE_BYTES):
                self._pass(len(piece))
                sink.sendall(piece)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _pass(self, count: int) -> None:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._left is None or self._left > 0)
            self._waiting -= 1
            if self._left is not None:
                self._left -= count
