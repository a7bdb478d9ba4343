"""Secrets that can be told from everything else, and every place where one of them could turn up."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import redis
from botocore.client import BaseClient

Place = tuple[str, bytes]
"""Where something was said, and what."""

LOOKS = 5
"""How often the arguments of one process are read."""


def new() -> str:
    """32 random bytes, with marks that some quote and others do not."""
    return secrets.token_hex(16) + "/+@" + secrets.token_hex(16)


def forms(secret: str) -> set[bytes]:
    """As it stands, as URLs and JSON have it, in hexadecimal, and inside of anything in base64."""
    plain = secret.encode()
    found = {
        plain,
        quote(secret, safe="").encode(),
        quote(secret).encode(),
        json.dumps(secret)[1:-1].encode(),
    }
    found.add(plain.hex().encode())
    for shift in range(3):
        # What stands before it in the same group of three bytes decides how its first and last digits look.
        whole = base64.b64encode(b"\0" * shift + plain + b"\0" * 3)
        inner = whole[4 if shift else 0 :]
        found.add(inner[: (len(plain) - 3) // 3 * 4])
    # The longest run without marks, whichever way these are written.
    found |= {part.encode() for part in secret.replace("/+@", " ").split()}
    return found


def search(planted: Mapping[str, str], places: Iterator[Place]) -> list[tuple[str, str]]:
    """(where, which secret) of each hit."""
    wanted = [(name, form) for name, secret in planted.items() for form in forms(secret)]
    return sorted({(where, name) for where, said in places for name, form in wanted if form in said})


class Listener:
    """Notes while it runs what passes through Redis, and with what arguments anybody on this machine runs."""

    def __init__(self, *, port: int, password: str) -> None:
        self._over = threading.Event()
        self._monitor = socket.create_connection(("127.0.0.1", port))
        self._monitor.sendall(f"AUTH {password}\r\nMONITOR\r\n".encode())
        self._passed = bytearray()
        self._ran: dict[bytes, int] = {}
        self._threads = [threading.Thread(target=loop, daemon=True) for loop in (self._listen, self._look)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._monitor.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5)
        self._monitor.close()

    def places(self) -> Iterator[Place]:
        yield "what passed through Redis", bytes(self._passed)
        yield "arguments of processes", b"\n".join(self._ran)

    @property
    def heard(self) -> tuple[int, int]:
        return self._passed.count(b"\n"), len(self._ran)

    def _listen(self) -> None:
        with suppress(OSError):
            while said := self._monitor.recv(1 << 16):
                self._passed += said

    def _look(self) -> None:
        """Each process twice at least: it may become another program after a moment."""
        looked: dict[str, int] = {}
        while not self._over.wait(0.02):
            for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - the quickest way there is
                looked[name] = looked.get(name, 0) + 1
                if looked[name] <= LOOKS:
                    with suppress(OSError):
                        arguments = Path("/proc", name, "cmdline").read_bytes()
                        self._ran[arguments] = self._ran.get(arguments, 0) + 1


def in_redis(url: str) -> Iterator[Place]:
    """Every key with all that is in it."""
    reads: dict[str, Callable[[Any, Any], Any]] = {
        "string": lambda client, key: client.get(key),
        "list": lambda client, key: client.lrange(key, 0, -1),
        "hash": lambda client, key: client.hgetall(key),
        "set": lambda client, key: client.smembers(key),
        "zset": lambda client, key: client.zrange(key, 0, -1),
        "stream": lambda client, key: client.xrange(key),
    }
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(count=1000):
            kind: Any = client.type(key)
            yield f"Redis {key!r}", key + b" " + flattened(reads[kind.decode()](client, key))


def flattened(value: Any) -> bytes:
    """Whatever it is made of, one after the other."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set):
        return b" ".join(flattened(each) for each in value)
    return str(value).encode()


def in_files(folder: Path, *, but: frozenset[str]) -> Iterator[Place]:
    """Every file below it, but those of these names: there secrets belong."""
    for path in folder.rglob("*"):
        if path.is_file() and not but & set(path.relative_to(folder).parts):
            yield f"file {path.relative_to(folder)}", path.read_bytes()


def in_bucket(client: BaseClient, bucket: str, prefix: str) -> Iterator[Place]:
    """Every object as it is stored, with its name and what is noted beside it."""
    s3: Any = client
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            found = s3.get_object(Bucket=bucket, Key=entry["Key"])
            body: bytes = found["Body"].read()
            yield f"object {entry['Key']}", body + json.dumps([entry["Key"], found["Metadata"]]).encode()


def in_database(pg_dump: Path, url: str) -> Iterator[Place]:
    """All that pg_dump says of it. The URL is of the test's own superuser, and is no canary."""
    said = subprocess.run([pg_dump, "--inserts", url], capture_output=True, check=True).stdout
    for number, line in enumerate(said.splitlines()):
        yield f"catalog line {number}: {line[:60].decode(errors='replace')}", line
