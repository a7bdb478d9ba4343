"""PostgreSQL's errors as ours: one table, read by SQLSTATE, for both drivers."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

import asyncpg
import psycopg

from shared.errors import (
    Busy,
    NotFound,
    Permanent,
    Refused,
    SnapfleetError,
    Transient,
    Unreachable,
)

MESSAGE_CHARACTERS = 400

# SQLSTATE, or its class of two characters: our class, code and hint. The longest match counts.
FAILURES: dict[str, tuple[type[SnapfleetError], str, str | None]] = {
    "08": (Unreachable, "source_unreachable", None),
    "0A000": (
        Refused,
        "feature_missing",
        "the server was built without it: restore into one that is like the source",
    ),
    "22021": (Refused, "name_not_utf8", "a name, or a setting, holds bytes that are no UTF-8: change it"),
    "25P03": (Unreachable, "source_unreachable", "the server ended the session: its timeouts are short"),
    "25P04": (Unreachable, "source_unreachable", "the server ended the session: its timeouts are short"),
    "28": (Refused, "wrong_password", "check user and password in the database's URL, and pg_hba.conf"),
    "3D000": (NotFound, "database_missing", "check the database's name in its URL"),
    "40": (Transient, "serialization", None),
    "42501": (
        Refused,
        "insufficient_rights",
        "grant the role pg_read_all_data, or make it the owner; a table under row-level security needs BYPASSRLS",
    ),
    "42P01": (Transient, "schema_changed", "a table vanished while it was read: DDL was running"),
    "42704": (Transient, "schema_changed", None),
    "53100": (Transient, "disk_full", "free space on the PostgreSQL server"),
    "53300": (Unreachable, "too_many_connections", "raise max_connections or lower parallelism"),
    "55P03": (Busy, "lock_timeout", "a session holds a conflicting lock: look for running DDL"),
    "55006": (Busy, "database_in_use", "sessions keep coming back: stop the application for a moment"),
    "57": (Unreachable, "source_unreachable", "the server cancelled or ended the session"),
    "57P05": (Transient, "source_unreachable", None),
    "XX000": (Transient, "schema_changed", "an object vanished while it was read: DDL was running"),
}

# What some SQLSTATEs share with other failures and only the server's words tell: for both drivers and the
# tools. The first one counts.
LIMITS: tuple[tuple[str, type[SnapfleetError], str, str], ...] = (
    (
        "invalid memory alloc request size|Cannot enlarge string buffer|string buffer exceeds",
        Refused,
        "row_too_large",
        "PostgreSQL holds 1 GB of a row, in which bytea as text is twice as long: keep it away from enums and domains",
    ),
    (
        "out of shared memory",
        Refused,
        "too_many_locks",
        "raise max_locks_per_transaction on the server: a snapshot locks every table, a restore makes every one",
    ),
)


def failure(sqlstate: str | None, message: str, where: str) -> SnapfleetError:
    """The error for an SQLSTATE; the beginning of what the server says is kept, for it names the object."""
    # A value that it quotes may have a hundred thousand digits.
    text = " ".join(message.split())[:MESSAGE_CHARACTERS] or "the connection was lost"
    for pattern, kind, code, hint in LIMITS:
        if re.search(pattern, message):
            return kind(f"{where}: {text}", code=code, hint=hint)
    for key in (sqlstate or "", (sqlstate or "")[:2]):
        if key in FAILURES:
            found, code, advice = FAILURES[key]
            return found(f"{where}: {text}", code=code, hint=advice)
    if sqlstate is None:
        return unreachable(text, where)
    return Permanent(f"{where}: {text} (SQLSTATE {sqlstate})", code="postgres_error")


NAME_NOT_FOUND = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedObject,
    psycopg.errors.InvalidSchemaName,
)
NAME_NOT_FOUND_HINT = (
    "a function in a constraint, an index or a generated column finds it only under a search_path: in the "
    "source, alter function … set search_path = …; then take another snapshot"
)


def name_not_found(exc: psycopg.Error, where: str) -> Permanent:
    """What a function did not find while rows were loaded: they are restored under an empty search_path."""
    said = " ".join(f"{exc.diag.message_primary} {exc.diag.context or ''}".split())
    return Permanent(f"{where}: {said[:MESSAGE_CHARACTERS]}", code="name_not_found", hint=NAME_NOT_FOUND_HINT)


CONSTRAINT_VIOLATED_HINT = (
    "the source breaks its own constraint: repair it there (reindex, amcheck), and snapshot it again"
)


def constraint_violated(exc: psycopg.IntegrityError, where: str) -> Permanent:
    """Rows that a constraint of their own snapshot refuses, without their values: those are nobody else's business."""
    said = str(exc.diag.message_primary)[:MESSAGE_CHARACTERS]
    return Permanent(f"{where}: {said}", code="constraint_violated", hint=CONSTRAINT_VIOLATED_HINT)


# When no session came about there is no SQLSTATE, only libpq's text: what it holds, our class and code,
# what to say of the place, and the hint. The first match counts.
LOGIN_FAILURES: tuple[tuple[str, type[SnapfleetError], str, str, str], ...] = (
    (
        "password authentication failed",
        Refused,
        "wrong_password",
        "password authentication failed",
        "check user and password in the database's URL",
    ),
    (
        "no password supplied",
        Refused,
        "wrong_password",
        "the server asks for a password",
        "put it in the database's URL",
    ),
    (
        "no pg_hba.conf entry",
        Refused,
        "wrong_password",
        "the server's pg_hba.conf does not let us in",
        "add an entry for this host and role, or set sslmode=require if it demands TLS",
    ),
    (
        "permission denied for database",
        Refused,
        "insufficient_rights",
        "the role may not connect to this database",
        "grant it: grant connect on database … to …",
    ),
    (
        "not permitted to log in",
        Refused,
        "insufficient_rights",
        "the role may not log in",
        "alter role … login, or use another role in the database's URL",
    ),
    (
        "too many connections",
        Unreachable,
        "too_many_connections",
        "no connection is free for this role or database",
        "raise its connection limit or lower parallelism",
    ),
    (
        "too many clients",
        Unreachable,
        "too_many_connections",
        "no connection is free",
        "raise max_connections or lower parallelism",
    ),
    (
        "remaining connection slots",
        Unreachable,
        "too_many_connections",
        "no connection is free",
        "raise max_connections or lower parallelism",
    ),
    (
        "No space left on device",
        Transient,
        "disk_full",
        "the server has no room to begin a session",
        "free space on the PostgreSQL server",
    ),
    (
        "not currently accepting connections",
        Unreachable,
        "source_unreachable",
        "the database accepts no connections",
        "unless a restore is just swapping it: alter database … allow_connections true",
    ),
    (
        "does not exist",
        NotFound,
        "database_missing",
        "no such database or role",
        "check the database's URL",
    ),
)


def unreachable(text: str, where: str) -> SnapfleetError:
    """What libpq says when no session came about."""
    for said, kind, code, meaning, hint in LOGIN_FAILURES:
        if said in text:
            return kind(f"{where}: {meaning}", code=code, hint=hint)
    return Unreachable(
        f"{where} does not answer",
        code="source_unreachable",
        hint="is the server up, and reachable from here?",
    )


@contextmanager
def translated(where: str) -> Generator[None]:
    """Turn the drivers' errors into ours, the cause kept."""
    try:
        yield
    except psycopg.Error as exc:
        primary = exc.diag.message_primary
        raise failure(exc.sqlstate, primary or str(exc), where) from exc
    except asyncpg.PostgresError as exc:
        raise failure(exc.sqlstate, str(exc), where) from exc
    except (asyncpg.InterfaceError, ConnectionError, TimeoutError, OSError) as exc:
        raise failure("08006", f"connection lost ({type(exc).__name__})", where) from exc
