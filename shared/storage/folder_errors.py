"""The operating system's refusals, in our words: one table."""

from __future__ import annotations

import errno
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from shared.errors import Damaged, Misconfigured, NotFound, Refused, SnapfleetError, Transient, Unreachable

_MAY_NOT = "let the user that runs Snapfleet read and write there"
_MAKE_ROOM = "free some space there, or keep fewer snapshots"

FAILURES: Mapping[int, tuple[type[SnapfleetError], str, str | None]] = {
    errno.ENOENT: (NotFound, "object_missing", None),
    errno.ENOTDIR: (NotFound, "object_missing", None),
    errno.EISDIR: (NotFound, "object_missing", None),
    errno.EEXIST: (Refused, "object_exists", None),
    errno.EACCES: (Refused, "access_denied", _MAY_NOT),
    errno.EPERM: (Refused, "access_denied", _MAY_NOT),
    errno.EROFS: (Refused, "access_denied", "the file system is mounted read-only"),
    errno.ENOSPC: (Refused, "storage_full", _MAKE_ROOM),
    errno.EDQUOT: (Refused, "storage_full", _MAKE_ROOM),
    errno.EFBIG: (Refused, "object_too_large", "raise the limit on file sizes (ulimit -f)"),
    errno.ENAMETOOLONG: (Refused, "bad_key", None),
    errno.EXDEV: (Misconfigured, "folder_spans_file_systems", "keep the whole folder on one file system"),
    errno.EOPNOTSUPP: (Misconfigured, "folder_without_links", "use a file system with hard links and locks"),
    errno.ENOLCK: (Misconfigured, "folder_without_links", "use a file system with hard links and locks"),
    errno.ELOOP: (Misconfigured, "folder_link_loop", "its symbolic links lead in a circle"),
    errno.EIO: (Damaged, "object_damaged", "the disk reports an error: look at the kernel's log"),
    errno.EMFILE: (Transient, "host_exhausted", "raise the limit on open files (ulimit -n)"),
    errno.ENFILE: (Transient, "host_exhausted", None),
    errno.ENOMEM: (Transient, "host_exhausted", None),
}
OTHERWISE: tuple[type[SnapfleetError], str, str | None] = (Unreachable, "storage_unreachable", None)


@contextmanager
def translated(where: str) -> Generator[None]:
    """Raise our error for the system's, the cause kept."""
    try:
        yield
    except OSError as exc:
        failure, code, hint = FAILURES.get(exc.errno or 0, OTHERWISE)
        raise failure(f"{where}: {exc.strerror or exc}", code=code, hint=hint) from exc
