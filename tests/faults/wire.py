"""Wires between the fleet and its servers that misbehave on demand: in processes of their own.

A wire reads what to do from a file, so whoever wants it to misbehave writes that file, and it notes what it
did in another. TCP wires know `silent` (a black hole: connections stay, nothing passes) and `cut` (every
connection is reset). The HTTP wire, for S3, knows requests and answers: see `Rule`.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, NoReturn

PIECE_BYTES = 1 << 16
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to requests of a method whose path matches: to those from the `skip`th on, `times` of them.

    A place in a body is counted from its beginning or, if negative, from its end; a fraction is of its length.

    `status`         answer this, with `code` as S3's error, and do not ask the server
    `cut_request`    hand the body on up to this place, then reset both sides
    `cut_answer`     hand the answer's body on up to this place, then reset
    `lose_answer`    let the server do it, and reset instead of answering
    `rewrite`        flip a bit of the answer's body at this place
    `stall_seconds`  wait before the request is handed on
    `bytes_per_second`  hand the body of the answer on no faster
    `share`          of the matching requests only every so-manieth, by a sequence that repeats
    """

    method: str
    path: str = ""
    skip: int = 0
    times: int = 1 << 30
    status: int | None = None
    code: str = "SlowDown"
    cut_request: float | None = None
    cut_answer: float | None = None
    lose_answer: bool = False
    rewrite: float | None = None
    stall_seconds: float = 0.0
    bytes_per_second: int | None = None
    share: tuple[int, int] = (1, 1)


class Wires:
    """Ports that lead to servers, and what is to happen on the way there."""

    def __init__(self, folder: Path) -> None:
        """Before any server is started: what these processes inherit they keep."""
        folder.mkdir()
        self._folder = folder
        self._orders = 0
        self._ports: dict[str, int] = {}
        self._pids = [
            self._fork("s3", HttpWire),
            self._fork("redis", TcpWire),
            self._fork("catalog", TcpWire),
        ]

    def lead(self, **ports: int) -> None:
        """Where each of them ends."""
        for name, port in ports.items():
            (self._folder / f"{name}.target").write_text(str(port))

    def port(self, name: str) -> int:
        return self._ports[name]

    def rules(self, *rules: Rule) -> None:
        """From now on these apply to S3, and no others."""
        self._orders += 1  # so that the same rules count anew
        self._write("s3", json.dumps([self._orders, [asdict(rule) for rule in rules]]))

    def say(self, name: str, what: str) -> None:
        """`silent`, `cut` or nothing, for a TCP wire."""
        self._write(name, what)

    def mend(self) -> None:
        """Everything passes."""
        for name in self._ports:
            if (self._folder / name).exists():
                (self._folder / name).unlink()

    def did(self) -> int:
        """How often a rule of the S3 wire was applied, ever."""
        file = self._folder / "s3.did"
        return file.stat().st_size if file.exists() else 0

    def close(self) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _write(self, name: str, what: str) -> None:
        fresh = self._folder / f"{name}.new"
        fresh.write_text(what)
        fresh.rename(self._folder / name)

    def _fork(self, name: str, make: Callable[[socket.socket, Path], Wire]) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._ports[name] = listener.getsockname()[1]
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() == parent:
                    make(listener, self._folder / name).serve()
            finally:
                os._exit(1)
        listener.close()
        return pid


class Wire(ABC):
    """Accepts for ever; a thread for each connection."""

    def __init__(self, listener: socket.socket, orders: Path) -> None:
        self._listener, self._orders = listener, orders

    def serve(self) -> NoReturn:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._guarded, args=(client,), daemon=True).start()

    def _guarded(self, client: socket.socket) -> None:
        with suppress(OSError):
            try:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.carry(client)
            finally:
                client.close()

    @abstractmethod
    def carry(self, client: socket.socket) -> None:
        """One connection, until it ends."""

    def connect(self) -> socket.socket:
        """To the server, wherever it is by now."""
        port = int(self._orders.with_suffix(".target").read_text())
        return socket.create_connection(("127.0.0.1", port))

    def order(self) -> str:
        try:
            return self._orders.read_text()
        except FileNotFoundError:
            return ""


class TcpWire(Wire):
    def carry(self, client: socket.socket) -> None:
        server = self.connect()
        for ends in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=ends, daemon=True).start()
        while client.fileno() >= 0 and server.fileno() >= 0:
            if self.order() == "cut":
                reset(client, server)
                return
            time.sleep(0.01)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                while self.order() == "silent":
                    time.sleep(0.01)
                sink.sendall(piece)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class HttpWire(Wire):
    """Knows as much of HTTP as S3 clients and servers use."""

    def __init__(self, listener: socket.socket, orders: Path) -> None:
        super().__init__(listener, orders)
        self._known: tuple[str, list[Rule], list[int]] = ("", [], [])
        self._deciding = threading.Lock()

    def carry(self, client: socket.socket) -> None:
        reader = client.makefile("rb")
        with self.connect() as server:
            answers = server.makefile("rb")
            while request := Message.read(reader):
                if "100-continue" in request.header("expect").lower():
                    client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                method, path, _ = request.first.split(" ", 2)
                body = reader.read(request.length)
                rule = self._rule(method, path)
                if rule.stall_seconds:
                    time.sleep(rule.stall_seconds)
                if rule.status is not None:
                    client.sendall(error(rule.status, rule.code, with_body=method != "HEAD"))
                    continue
                head = request.head(without="expect")
                if rule.cut_request is not None:
                    server.sendall(head + body[: place(body, rule.cut_request)])
                    reset(client, server)
                    return
                server.sendall(head + body)
                self._answer(client, server, answers, rule, bodyless=method == "HEAD")

    def _answer(
        self, client: socket.socket, server: socket.socket, answers: IO[bytes], rule: Rule, *, bodyless: bool
    ) -> None:
        answer = Message.read(answers)
        if answer is None:
            raise ConnectionError("the server has hung up")
        body = b"" if bodyless else answer.body(answers)
        if rule.lose_answer:
            reset(client, server)
            raise ConnectionError("as planned")
        if rule.rewrite is not None and body:
            changed = bytearray(body)
            changed[place(body, rule.rewrite)] ^= 1
            body = bytes(changed)
        head = answer.head()
        if rule.cut_answer is not None:
            client.sendall(head + body[: place(body, rule.cut_answer)])
            reset(client, server)
            raise ConnectionError("as planned")
        client.sendall(head)
        piece = rule.bytes_per_second // 20 if rule.bytes_per_second else len(body) or 1
        for start in range(0, len(body), piece):
            client.sendall(body[start : start + piece])
            if rule.bytes_per_second:
                time.sleep(0.05)

    def _rule(self, method: str, path: str) -> Rule:
        """The first that applies, or one that does nothing."""
        with self._deciding:
            order = self.order()
            if order != self._known[0]:
                _, given = json.loads(order or "[0, []]")
                rules = [Rule(**{**each, "share": tuple(each["share"])}) for each in given]
                self._known = (order, rules, [0] * len(rules))
            _, rules, counts = self._known
            for number, rule in enumerate(rules):
                if not (re.fullmatch(rule.method, method) and re.search(rule.path, path)):
                    continue
                counts[number] += 1
                count = counts[number] - 1 - rule.skip
                if 0 <= count < rule.times and (count * 7) % rule.share[1] < rule.share[0]:
                    with self._orders.with_name("s3.did").open("ab") as did:
                        did.write(b".")
                    return rule
        return Rule(method="")


@dataclass(frozen=True, slots=True)
class Message:
    """The head of a request or an answer."""

    first: str
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, reader: IO[bytes]) -> Message | None:
        first = reader.readline().decode("latin-1").strip()
        if not first:
            return None
        headers = []
        while line := reader.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
        return cls(first, tuple(headers))

    def header(self, name: str) -> str:
        return next((value for known, value in self.headers if known.lower() == name), "")

    @property
    def length(self) -> int:
        return int(self.header("content-length") or 0)

    def head(self, *, without: str = "") -> bytes:
        lines = [self.first, *(f"{n}: {v}" for n, v in self.headers if n.lower() != without)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def body(self, reader: IO[bytes]) -> bytes:
        """As it is on the wire."""
        if self.header("transfer-encoding").lower() != "chunked":
            return reader.read(self.length)
        raw = b""
        while True:
            line = reader.readline()
            size = int(line.split(b";")[0], 16)
            raw += line + reader.read(size + 2)
            if not size:
                return raw


def place(body: bytes, where: float) -> int:
    if isinstance(where, float):
        return int(len(body) * where)
    return where if where >= 0 else max(0, len(body) + where)


def error(status: int, code: str, *, with_body: bool) -> bytes:
    """S3's answer, and without `code` an empty one: a client takes an error in a 200 for what it is."""
    said = b""
    if code:
        said = (
            f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as planned</Message></Error>".encode()
        )
    head = (
        f"HTTP/1.1 {status} Planned\r\nContent-Type: application/xml\r\nContent-Length: {len(said)}\r\n\r\n"
    )
    return head.encode() + (said if with_body else b"")


def reset(*ends: socket.socket) -> None:
    """Not a polite end: whoever reads from the other side is told that the connection broke."""
    for end in ends:
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.shutdown(socket.SHUT_RD)  # wakes its reader
            os.close(end.detach())
