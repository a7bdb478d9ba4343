"""Objects as files in a folder.

    <root>/orders/chunks/3f/3f9a…      an object: its key is its path
    <root>/.snapfleet-tmp/<random>     a file being written, locked (flock) by its writer

A file gets its place by one link or rename after its bytes are on the disk, so a place holds a whole
object or none. A scratch file that nobody holds locked has lost its writer; the next put removes it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from shared.errors import Damaged, Refused
from shared.storage import keys, verified
from shared.storage.base import Capabilities, Stat, Storage, Upload
from shared.storage.folder_errors import translated

READ_BYTES = 1 << 20


class FolderStorage:
    """Keeps the contract of `Storage` on a local or network file system with hard links and flock."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._scratch = self._root / keys.SCRATCH
        self._durable_folders: set[Path] = set()
        self._noting = threading.Lock()

    @property
    def location(self) -> str:
        return f"file://{self._root}"

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        target = self._path(key)
        with translated(f"{self.location}: cannot write {key}"):
            self._make_durable_folder(self._scratch)
            self._sweep()
            self._make_folder_of(key, target)
            with self._scratch_file() as (written, path):
                _write_all(written, body)
                os.fsync(written)
                try:
                    _publish(path, target, create_only=create_only)
                finally:  # who is refused because the object exists may rely on it, so for them too
                    _sync_folder(target.parent)

    def get(self, key: str, *, start: int = 0, length: int | None = None, sha256: str | None = None) -> bytes:
        verified.check_range(start, length, sha256)
        where = f"{self.location}/{key}"
        with translated(where), self._path(key).open("rb", buffering=0) as stored:
            rest = max(os.fstat(stored.fileno()).st_size - start, 0)
            wanted = rest if length is None else min(rest, length)
            stored.seek(start)
            body = _read_up_to(stored.fileno(), wanted)
        if len(body) < wanted:
            raise Damaged(f"{where} ended after {len(body)} of {wanted} bytes", code="object_truncated")
        return verified.matching(body, sha256, where=where)

    def head(self, key: str) -> Stat:
        """Reads the whole file: nothing but the disk knows what the disk holds."""
        digest, size_bytes = hashlib.sha256(), 0
        with translated(f"{self.location}/{key}"), self._path(key).open("rb", buffering=0) as stored:
            while piece := stored.read(READ_BYTES):
                digest.update(piece)
                size_bytes += len(piece)
        return Stat(key=key, size_bytes=size_bytes, sha256=digest.hexdigest())

    def list(self, prefix: str) -> Iterator[Stat]:
        folder, _, _ = prefix.rpartition("/")
        base = self._path(folder) if folder else self._root
        with translated(f"{self.location}: cannot list {prefix!r}"):
            yield from _walk(base, f"{folder}/" if folder else "", prefix)

    def folders(self, prefix: str) -> Iterator[str]:
        base = self._path(prefix.rstrip("/")) if prefix else self._root
        with translated(f"{self.location}: cannot list {prefix!r}"):
            try:
                names = sorted(entry.name for entry in os.scandir(base) if entry.is_dir())
            except (FileNotFoundError, NotADirectoryError):
                return
        yield from (name for name in names if prefix or name != keys.SCRATCH)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with translated(f"{self.location}: cannot delete {key}"):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return
            _sync_folder(path.parent)

    def uploads(self, prefix: str) -> Iterator[Upload]:  # noqa: ARG002 -- there are none, whatever the prefix
        yield from ()

    def abort(self, upload: Upload) -> None:
        """There are none."""

    def sides(self) -> tuple[Storage, ...]:
        return (self,)

    def check(self, *, probe_id: str | None = None) -> Capabilities:
        return verified.round_trip(self, probe_id or uuid4().hex)

    def _path(self, key: str) -> Path:
        return self._root / keys.checked(key)

    def _make_folder_of(self, key: str, target: Path) -> None:
        try:
            self._make_durable_folder(target.parent)
        except (FileExistsError, NotADirectoryError) as exc:
            raise Refused(f"{key} would lie inside another object", code="bad_key") from exc
        if target.is_dir():
            raise Refused(f"{key} is a folder of other objects", code="bad_key")

    def _make_durable_folder(self, folder: Path) -> None:
        """Make it and those above it, and put their names on the disk, once per folder and instance."""
        with self._noting:
            if folder in self._durable_folders and folder.is_dir():
                return
        was_there_before = next(f for f in (self._root, *self._root.parents) if f.is_dir())
        folder.mkdir(parents=True, exist_ok=True)
        for changed in (folder, *folder.parents):
            _sync_folder(changed)
            if changed == was_there_before:
                break
        with self._noting:
            self._durable_folders.add(folder)

    @contextmanager
    def _scratch_file(self) -> Generator[tuple[int, Path]]:
        """A new locked file, gone afterwards. A sweeper may take one before its lock: then another."""
        while True:
            path = self._scratch / uuid4().hex
            written = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            try:
                if not _locked(written) or os.fstat(written).st_nlink == 0:
                    continue
                try:
                    yield written, path
                finally:
                    path.unlink(missing_ok=True)
                return
            finally:
                os.close(written)

    def _sweep(self) -> None:
        for entry in self._scratch.iterdir():
            with suppress(FileNotFoundError, PermissionError):  # swept by another; another user's
                held = os.open(entry, os.O_RDWR | os.O_CLOEXEC)
                try:
                    if _locked(held):
                        entry.unlink()
                finally:
                    os.close(held)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _publish(path: Path, target: Path, *, create_only: bool) -> None:
    if not create_only:
        path.rename(target)
        return
    try:
        os.link(path, target)
    except PermissionError as exc:
        if exc.errno == errno.EPERM:  # link(2): what a file system without hard links says
            raise OSError(errno.EOPNOTSUPP, "no hard links here") from exc
        raise


def _write_all(descriptor: int, body: bytes | bytearray) -> None:
    with memoryview(body) as rest:
        written = 0
        while written < len(rest):
            written += os.write(descriptor, rest[written:])


def _read_up_to(descriptor: int, wanted: int) -> bytes:
    """One read where the system gives all at once (it does up to 2 GiB), so that nothing is copied."""
    body = os.read(descriptor, wanted)
    while len(body) < wanted and (piece := os.read(descriptor, wanted - len(body))):
        body += piece
    return body


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _walk(folder: Path, path: str, prefix: str) -> Iterator[Stat]:
    """In the order of whole keys: a folder sorts as its name with the slash that follows it."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    named = sorted((f"{path}{entry.name}" + "/" * entry.is_dir(), entry) for entry in entries)
    for name, entry in named:
        if name.endswith("/"):
            if name != f"{keys.SCRATCH}/" and (name.startswith(prefix) or prefix.startswith(name)):
                yield from _walk(Path(entry.path), name, prefix)
        elif name.startswith(prefix):
            with suppress(FileNotFoundError):  # deleted since
                stat = entry.stat()
                moment = datetime.fromtimestamp(stat.st_mtime, UTC)
                yield Stat(key=name, size_bytes=stat.st_size, sha256=None, modified_at=moment)
