"""A TCP proxy that breaks connections where a test says so."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from enum import StrEnum
from typing import Self

PIECE_BYTES = 1 << 16


class Way(StrEnum):
    REQUESTS = "requests"
    ANSWERS = "answers"


class Proxy:
    """Forwards 127.0.0.1:`port` to another port, until told to cut, to fall silent or to stop."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._deciding = threading.Lock()
        self._cuts: dict[Way, int] = dict.fromkeys(Way, 0)
        self._after_bytes: dict[Way, int] = dict.fromkeys(Way, 0)
        self._left: dict[Way, int] = dict.fromkeys(Way, 0)
        self._reset = False
        self._silent = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def cut(self, way: Way, *, after_bytes: int, times: int, reset: bool = False) -> None:
        """End the connection in good order, or reset it, each time that many bytes have gone that way."""
        with self._deciding:
            self._cuts[way], self._reset = times, reset
            self._after_bytes[way] = self._left[way] = after_bytes

    def fall_silent(self) -> None:
        """Keep connections, forward nothing."""
        self._silent = True

    def stop(self) -> None:
        """Refuse new connections and end the open ones."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in tuple(self._open):
            self._close(one)

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(("127.0.0.1", self._target_port))
                self._open |= {client, server}
                for ends in ((client, server, Way.REQUESTS), (server, client, Way.ANSWERS)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, way: Way) -> None:
        with suppress(OSError):  # the other direction has closed both
            while piece := source.recv(PIECE_BYTES):
                if self._silent:
                    continue
                allowed, cut = self._decide(way, len(piece))
                sink.sendall(piece[:allowed])
                if cut:
                    break
        self._close(source, sink)

    def _decide(self, way: Way, size: int) -> tuple[int, bool]:
        with self._deciding:
            if not self._cuts[way]:
                return size, False
            if size < self._left[way]:
                self._left[way] -= size
                return size, False
            allowed, self._left[way] = self._left[way], self._after_bytes[way]
            self._cuts[way] -= 1
            return allowed, True

    def _close(self, *ends: socket.socket) -> None:
        for end in ends:
            self._open.discard(end)
            with suppress(OSError):
                if self._reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RD if self._reset else socket.SHUT_RDWR)  # wakes its reader
            end.close()
