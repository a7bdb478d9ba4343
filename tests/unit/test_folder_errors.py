"""One row for each refusal of the operating system."""

from __future__ import annotations

import errno
import os

import pytest

from shared.errors import Damaged, Misconfigured, NotFound, Refused, SnapfleetError, Transient, Unreachable
from shared.storage import folder_errors

ROWS: list[tuple[int, type[SnapfleetError], str]] = [
    (errno.ENOENT, NotFound, "object_missing"),
    (errno.ENOTDIR, NotFound, "object_missing"),
    (errno.EISDIR, NotFound, "object_missing"),
    (errno.EEXIST, Refused, "object_exists"),
    (errno.EACCES, Refused, "access_denied"),
    (errno.EPERM, Refused, "access_denied"),
    (errno.EROFS, Refused, "access_denied"),
    (errno.ENOSPC, Refused, "storage_full"),
    (errno.EDQUOT, Refused, "storage_full"),
    (errno.EFBIG, Refused, "object_too_large"),
    (errno.ENAMETOOLONG, Refused, "bad_key"),
    (errno.EXDEV, Misconfigured, "folder_spans_file_systems"),
    (errno.EOPNOTSUPP, Misconfigured, "folder_without_links"),
    (errno.ENOLCK, Misconfigured, "folder_without_links"),
    (errno.ELOOP, Misconfigured, "folder_link_loop"),
    (errno.EIO, Damaged, "object_damaged"),
    (errno.EMFILE, Transient, "host_exhausted"),
    (errno.ENFILE, Transient, "host_exhausted"),
    (errno.ENOMEM, Transient, "host_exhausted"),
]
NOT_IN_THE_TABLE: list[tuple[int, type[SnapfleetError], str]] = [
    (errno.ESTALE, Unreachable, "storage_unreachable")
]


@pytest.mark.parametrize(("number", "error", "code"), ROWS + NOT_IN_THE_TABLE)
def test_an_error_number_becomes_ours(number: int, error: type[SnapfleetError], code: str) -> None:
    cause = OSError(number, os.strerror(number), "/somewhere")
    with pytest.raises(SnapfleetError) as raised, folder_errors.translated("file:///srv: cannot write a"):
        raise cause
    assert (type(raised.value), raised.value.code) == (error, code)
    assert str(raised.value) == f"file:///srv: cannot write a: {os.strerror(number)}"
    assert raised.value.__cause__ is cause


def test_every_row_of_the_table_is_tested_here() -> None:
    assert {number for number, *_ in ROWS} == set(folder_errors.FAILURES)
