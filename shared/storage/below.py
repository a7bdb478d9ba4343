"""A part of another storage: everything whose key begins with one folder, as if there were nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

from shared.storage import keys, verified
from shared.storage.base import Capabilities, Stat, Storage, Upload


class BelowStorage:
    """Keeps the contract of `Storage` as far as the other one does."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage = storage
        self._folder = f"{keys.checked(folder)}/"

    @property
    def location(self) -> str:
        return f"{self._storage.location}/{self._folder}".rstrip("/")

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        self._storage.put(self._below(key), body, create_only=create_only)

    def get(self, key: str, *, start: int = 0, length: int | None = None, sha256: str | None = None) -> bytes:
        return self._storage.get(self._below(key), start=start, length=length, sha256=sha256)

    def head(self, key: str) -> Stat:
        return replace(self._storage.head(self._below(key)), key=key)

    def list(self, prefix: str) -> Iterator[Stat]:
        for stat in self._storage.list(self._folder + prefix):
            yield replace(stat, key=stat.key.removeprefix(self._folder))

    def folders(self, prefix: str) -> Iterator[str]:
        yield from self._storage.folders(self._folder + prefix)

    def delete(self, key: str) -> None:
        self._storage.delete(self._below(key))

    def uploads(self, prefix: str) -> Iterator[Upload]:
        for upload in self._storage.uploads(self._folder + prefix):
            yield replace(upload, key=upload.key.removeprefix(self._folder))

    def abort(self, upload: Upload) -> None:
        self._storage.abort(replace(upload, key=self._below(upload.key)))

    def sides(self) -> tuple[Storage, ...]:
        return tuple(BelowStorage(side, self._folder.rstrip("/")) for side in self._storage.sides())

    def check(self, *, probe_id: str | None = None) -> Capabilities:
        return verified.round_trip(self, probe_id or uuid4().hex)

    def _below(self, key: str) -> str:
        return self._folder + keys.checked(key)
