"""One row of `dump.FAILURES`, one line as the tools or the server really write it."""

from __future__ import annotations

import re

import pytest

from shared.errors import Busy, NotFound, Permanent, Refused, SnapfleetError, Transient, Unreachable
from shared.postgres import dump
from shared.postgres.process import ToolFailed

ROWS: list[tuple[str, type[SnapfleetError], str]] = [
    (
        'pg_dump: error: connection to server at "h" (::1), port 5432 failed: sslmode value "require" invalid when SSL support is not compiled in',
        Refused,
        "client_without_tls",
    ),
    (
        'FATAL:  no pg_hba.conf entry for host "::1", user "u", database "d", no encryption',
        Refused,
        "client_without_tls",
    ),
    (
        'FATAL:  no pg_hba.conf entry for host "::1", user "u", database "d", SSL encryption',
        Refused,
        "wrong_password",
    ),
    (
        "pg_dump: error: aborting because of server version mismatch\npg_dump: detail: server version: 18.6; pg_dump version: 15.18",
        Refused,
        "client_too_old",
    ),
    ("pg_restore: error: unsupported version (1.16) in file header", Refused, "client_too_old"),
    ('FATAL:  password authentication failed for user "u"', Refused, "wrong_password"),
    ('FATAL:  database "d" does not exist', NotFound, "database_missing"),
    ("FATAL:  sorry, too many clients already", Unreachable, "too_many_connections"),
    ("FATAL:  remaining connection slots are reserved for roles", Unreachable, "too_many_connections"),
    (
        'connection to server at "h", port 1 failed: Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?',
        Unreachable,
        "source_unreachable",
    ),
    ('could not translate host name "h" to address', Unreachable, "source_unreachable"),
    ("FATAL:  terminating connection due to administrator command", Unreachable, "source_unreachable"),
    ("server closed the connection unexpectedly", Unreachable, "source_unreachable"),
    ("could not receive data from server: Connection timed out", Unreachable, "source_unreachable"),
    ("FATAL:  the database system is shutting down", Unreachable, "source_unreachable"),
    (
        'pg_dump: detail: Error message from server: ERROR:  query would be affected by row-level security policy for table "orders"',
        Refused,
        "insufficient_rights",
    ),
    (
        "pg_dump: error: query failed: ERROR:  permission denied for table orders",
        Refused,
        "insufficient_rights",
    ),
    (
        "pg_restore: error: could not execute query: ERROR:  function half(integer) does not exist\nLINE 1: half($1)\nHINT:  No function matches.\nCONTEXT:  PL/pgSQL function public.quarter(integer) line 1 at RETURN",
        Permanent,
        "name_not_found",
    ),
    (
        "pg_dump: detail: Error message from server: ERROR:  invalid memory alloc request size 1800000003",
        Refused,
        "row_too_large",
    ),
    ("pg_dump: error: query failed: ERROR:  out of shared memory", Refused, "too_many_locks"),
    (
        'pg_restore: error: could not execute query: ERROR:  extension "postgis" is not available\nDETAIL:  Could not open extension control file.',
        Refused,
        "extension_missing",
    ),
    ("pg_restore: error: COPY failed: ERROR:  unsupported XML feature", Refused, "feature_missing"),
    ("ERROR:  must be superuser to create FOR ALL TABLES publication", Refused, "insufficient_rights"),
    ('ERROR:  must be able to SET ROLE "orders"', Refused, "insufficient_rights"),
    (
        "pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout\npg_dump: detail: Query was: LOCK TABLE public.orders IN ACCESS SHARE MODE",
        Busy,
        "lock_timeout",
    ),
    ("ERROR:  canceling statement due to lock timeout", Busy, "lock_timeout"),
    ('pg_dump: error: could not obtain lock on relation "orders"', Busy, "lock_timeout"),
    ("ERROR:  canceling statement due to conflict with recovery", Transient, "standby_conflict"),
    ('ERROR:  invalid snapshot identifier: "x"', Transient, "snapshot_lost"),
    ('ERROR:  snapshot "00000003-0000001B-1" does not exist', Transient, "snapshot_lost"),
    ("ERROR:  cache lookup failed for relation 16384", Transient, "schema_changed"),
    (
        'pg_dump: error: failed to get data for sequence "s"; the sequence may have been concurrently dropped',
        Transient,
        "schema_changed",
    ),
    (
        'pg_restore: error: could not execute query: ERROR:  insert or update on table "a" violates foreign key constraint "b"',
        Permanent,
        "constraint_violated",
    ),
    (
        'ERROR:  check constraint "c" of relation "t" is violated by some row',
        Permanent,
        "constraint_violated",
    ),
    ('ERROR:  could not extend file "base/1/2": No space left on device', Transient, "disk_full"),
]


@pytest.mark.parametrize(("said", "kind", "code"), ROWS)
def test_a_complaint_is_translated(said: str, kind: type[SnapfleetError], code: str) -> None:
    error = dump.failure(ToolFailed("pg_dump", 1, said), "h:5432/d")
    assert (type(error), error.code) == (kind, code)
    assert error.message.startswith("pg_dump on h:5432/d: ")
    assert "\n" not in error.message
    assert ("orders" in error.message) == ("orders" in said)


def test_every_row_of_the_table_has_a_complaint_here() -> None:
    used = {next(i for i, row in enumerate(dump.FAILURES) if re.search(row[0], said)) for said, _, _ in ROWS}
    assert used == set(range(len(dump.FAILURES)))


def test_what_is_not_in_the_table_keeps_the_tool_s_words() -> None:
    error = dump.failure(ToolFailed("pg_restore", 1, 'ERROR:  role "app" does not exist'), "h:5432/d")
    assert (type(error), error.code) == (Permanent, "tool_failed")
    assert 'role "app" does not exist' in error.message


def test_a_killed_tool_is_worth_another_try() -> None:
    error = dump.failure(ToolFailed("pg_dump", -9, ""), "h:5432/d")
    assert (type(error), error.code) == (Transient, "tool_killed")
    assert "signal 9" in error.message
