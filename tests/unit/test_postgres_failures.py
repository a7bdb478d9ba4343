"""What the server says, as our error: by its SQLSTATE, or by its words where they tell more."""

from __future__ import annotations

import pytest

from shared.errors import Permanent, Refused, SnapfleetError, Transient, Unreachable
from shared.postgres import failures

ROWS: list[tuple[str | None, str, type[SnapfleetError], str]] = [
    ("XX000", "invalid memory alloc request size 1800000003", Refused, "row_too_large"),
    ("54000", "string buffer exceeds maximum allowed length (1073741823 bytes)", Refused, "row_too_large"),
    ("53200", "out of shared memory", Refused, "too_many_locks"),
    ("0A000", "unsupported XML feature", Refused, "feature_missing"),
    ("XX000", "cache lookup failed for relation 16384", Transient, "schema_changed"),
    ("57P01", "terminating connection due to administrator command", Unreachable, "source_unreachable"),
    ("22003", "value out of range", Permanent, "postgres_error"),
    (
        None,
        'FATAL: could not write "base/5/pg_internal.init": No space left on device',
        Transient,
        "disk_full",
    ),
    (None, "server closed the connection unexpectedly", Unreachable, "source_unreachable"),
]


@pytest.mark.parametrize(("sqlstate", "said", "kind", "code"), ROWS)
def test_what_the_server_says_is_our_error(
    sqlstate: str | None, said: str, kind: type[SnapfleetError], code: str
) -> None:
    error = failures.failure(sqlstate, said, "somewhere")
    assert (type(error), error.code) == (kind, code)
    assert error.message.startswith("somewhere")


def test_values_that_the_server_quotes_are_cut_short() -> None:
    error = failures.failure("22003", f'"{"1" * 131_072}" is out of range', "somewhere")
    assert len(error.message) < 500
