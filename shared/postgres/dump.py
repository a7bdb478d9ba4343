"""pg_dump and pg_restore: how they are called, and what their complaints mean.

Neither is given a database's name as an argument: `PGDATABASE` carries it, and pg_restore's empty
`--dbname=` makes libpq take it from there, in its parallel workers too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, Literal

from shared.errors import Busy, NotFound, Permanent, Refused, SnapfleetError, Transient, Unreachable
from shared.postgres import process
from shared.postgres.credentials import environment, private_pgpass
from shared.postgres.dsn import Dsn
from shared.postgres.failures import CONSTRAINT_VIOLATED_HINT, LIMITS, NAME_NOT_FOUND_HINT
from shared.postgres.process import ToolFailed
from shared.postgres.tools import Tools

LOCK_WAIT: Final = timedelta(seconds=30)

# A role or database may set these for its sessions, and each of them can end a restore half-way.
_OVERRIDES: Final = (
    "statement_timeout=0",
    # What pg_dump wrote would be read as something else, or be kept with other quotes.
    "lc_monetary=C",
    "array_nulls=on",
    "transform_null_equals=off",
    "quote_all_identifiers=off",
    "lock_timeout=0",
    "idle_in_transaction_session_timeout=0",
    "idle_session_timeout=0",
    "default_transaction_read_only=off",
    # A step that is done is not done again, so a crash of the server must not lose it.
    "synchronous_commit=local",
)
# The one setting that decides how values are written and that pg_dump leaves as it is.
_AS_WRITTEN: Final = "-c lc_monetary=C"
_UNHURRIED: Final = "-c synchronous_commit=off"
_OVERRIDES_FROM_17: Final = ("transaction_timeout=0",)

_CLIENT: Final = "install postgresql-client of the server's major version, or set PG_BIN_DIR to its folder"
_LOGIN: Final = "check user, password and name in the database's URL"
_CONNECTIONS: Final = "raise max_connections or lower parallelism"
_RIGHTS: Final = "grant the role pg_read_all_data, or make it the owner"
_RESTORE_RIGHTS: Final = (
    "what only a superuser may make, only a superuser can bring back: restore with --as-superuser under a "
    "superuser's URL, if you trust those who own something in the snapshot"
)
_LOCK: Final = "a session holds a conflicting lock: look for running DDL"
_WENT_ON: Final = "errors ignored on restore"
_LOG: Final = "the log of the PostgreSQL server may tell more"

# What a tool says (the client's words are English here, the server's where its lc_messages are), and what
# that means: our class, code and hint. The first match counts, so causes stand before effects.
FAILURES: Final[tuple[tuple[str, type[SnapfleetError], str, str | None], ...]] = (
    (r"SSL support is not compiled in", Refused, "client_without_tls", _CLIENT),
    (r"no pg_hba\.conf entry .*no encryption", Refused, "client_without_tls", _CLIENT),
    (r"no pg_hba\.conf entry", Refused, "wrong_password", "add an entry to the server's pg_hba.conf"),
    (r"server version mismatch", Refused, "client_too_old", _CLIENT),
    (r"unsupported version \(.*\) in file header", Refused, "client_too_old", _CLIENT),
    (r"authentication failed|no password supplied", Refused, "wrong_password", _LOGIN),
    (r"FATAL: +database .* does not exist", NotFound, "database_missing", _LOGIN),
    (r"too many clients|too many connections", Unreachable, "too_many_connections", _CONNECTIONS),
    (r"remaining connection slots", Unreachable, "too_many_connections", _CONNECTIONS),
    (r"Connection refused|Is the server running", Unreachable, "source_unreachable", None),
    (r"could not translate host name|timeout expired", Unreachable, "source_unreachable", None),
    (r"terminating connection", Unreachable, "source_unreachable", None),
    (r"server closed the connection|connection to server was lost", Unreachable, "source_unreachable", None),
    (r"could not receive data|no connection to the server", Unreachable, "source_unreachable", None),
    (r"database system is (starting up|shutting down|in rec)", Unreachable, "source_unreachable", None),
    *LIMITS,
    # Before what names rights and vanished objects: it tells of a function in what is restored.
    (
        r"ERROR: .* does not exist(?:\n.*)*?\nCONTEXT: .*\bfunction\b",
        Permanent,
        "name_not_found",
        NAME_NOT_FOUND_HINT,
    ),
    (r'extension ".*" is not available', Refused, "extension_missing", "install it on the PostgreSQL server"),
    (r"unsupported XML feature", Refused, "feature_missing", "that server was built without libxml"),
    (r"row-level security", Refused, "insufficient_rights", "give the role BYPASSRLS, or the table to it"),
    (r"permission denied for|must be (owner|member) of", Refused, "insufficient_rights", _RIGHTS),
    (
        r"must be able to SET ROLE|permission denied to|must be superuser",
        Refused,
        "insufficient_rights",
        _RIGHTS,
    ),
    # pg_dump waits for locks under a statement_timeout, and sets none otherwise.
    (r"statement due to (?:lock|statement) timeout(?:\n.*LOCK TABLE)?", Busy, "lock_timeout", _LOCK),
    (r"could not obtain lock", Busy, "lock_timeout", _LOCK),
    (r"due to conflict with recovery", Transient, "standby_conflict", "snapshot the primary"),
    (r"invalid snapshot identifier|could not import the .*snapshot", Transient, "snapshot_lost", None),
    (r"snapshot \S+ does not exist", Transient, "snapshot_lost", "the session that exported it has ended"),
    (r"cache lookup failed|could not open relation with OID", Transient, "schema_changed", "DDL was running"),
    (
        r"may have been concurrently dropped",
        Transient,
        "schema_changed",
        f"DDL was running; if not, {_RIGHTS}",
    ),
    (
        r"could not create unique index|violates \S+(?: \S+)? constraint",
        Permanent,
        "constraint_violated",
        CONSTRAINT_VIOLATED_HINT,
    ),
    (
        r"is violated by some row|could not create exclusion",
        Permanent,
        "constraint_violated",
        CONSTRAINT_VIOLATED_HINT,
    ),
    (r"No space left on device", Transient, "disk_full", "free space on the PostgreSQL server"),
)


@contextmanager
def dump(
    tools: Tools,
    dsn: Dsn,
    *,
    snapshot: str,
    without_data_of: Sequence[tuple[str, str]],
    application_name: str,
    encoding: str,
    lock_wait: timedelta = LOCK_WAIT,
    while_running: Callable[[], None] | None = None,
) -> Generator[Iterator[bytes]]:
    """The uncompressed archive of the database as the exported snapshot sees it, in pieces.

    The tables of `without_data_of` (schema, name) are in it with everything but their rows. As with
    `process.stream` only the end of the iterator says that the archive is whole; everything that can go
    wrong is raised from there, as `FAILURES` says. `encoding` is the database's own, whatever its sessions
    have. It waits `lock_wait` for a table's lock. `while_running` stops it by raising.
    """
    argv = [
        str(tools.pg_dump),
        "--format=custom",
        "--compress=0",
        "--no-password",
        f"--snapshot={snapshot}",
        f"--lock-wait-timeout={int(lock_wait / timedelta(milliseconds=1))}",
        *(f"--exclude-table-data={_exactly(s)}.{_exactly(t)}" for s, t in without_data_of),
    ]
    # pg_dump takes its arguments to be in this encoding, and where a name does not match it would put the
    # rows into the archive, beside the parts that hold them already. In SQL_ASCII nothing is converted.
    in_utf8 = encoding != "SQL_ASCII" and not all(n.isascii() for pair in without_data_of for n in pair)
    argv.append(f"--encoding={'UTF8' if in_utf8 else encoding}")
    with private_pgpass(dsn) as pgpass:
        env = environment(dsn, pgpass=pgpass, application_name=application_name, options=_AS_WRITTEN)
        with process.stream(argv, env=env, pass_fds=_given(pgpass), while_running=while_running) as pieces:
            yield _translating(pieces, dsn)


def schema(
    tools: Tools,
    dsn: Dsn,
    *,
    encoding: str,
    application_name: str,
    while_running: Callable[[], None],
) -> bytes:
    """The statements that make everything in the database but its rows. Raises as `dump` does."""
    argv = [str(tools.pg_dump), "--schema-only", "--no-password", f"--encoding={encoding}"]
    with private_pgpass(dsn) as pgpass:
        env = environment(dsn, pgpass=pgpass, application_name=application_name, options=_AS_WRITTEN)
        with process.stream(argv, env=env, pass_fds=_given(pgpass), while_running=while_running) as pieces:
            return b"".join(_translating(pieces, dsn))


def restore(
    tools: Tools,
    dsn: Dsn,
    *,
    archive_fd: int,
    section: Literal["pre-data", "data", "post-data"],
    jobs: int,
    application_name: str,
    list_fd: int | None = None,
    goes_on: bool = False,
    while_running: Callable[[], None] | None = None,
) -> SnapfleetError | None:
    """Restore one section of an archive into the database of `dsn`, stopping at the first error.

    `archive_fd` is a file, which may be nameless; each of the `jobs` opens it anew, so its position is
    of no matter. With `list_fd`, another one, only the entries that it lists are restored. Owners and
    grants are restored. Raises as `dump` does. `while_running` stops it by raising; what was restored
    until then stays. With `goes_on` what the server refuses for good is left out: the answer is then what it says.

    A crash of the server may lose the last of it until `loading.harden`: pg_restore commits every statement,
    and waiting for the disk each time is a third of the restore of a schema.
    """
    argv = [
        str(tools.pg_restore),
        *(() if goes_on else ("--exit-on-error",)),
        "--format=custom",
        "--no-password",
        f"--section={section}",
        f"--jobs={jobs}",
        "--dbname=",
        *(() if list_fd is None else (f"--use-list=/proc/self/fd/{list_fd}",)),
        f"/proc/self/fd/{archive_fd}",
    ]
    given = tuple(fd for fd in (archive_fd, list_fd) if fd is not None)
    with private_pgpass(dsn) as pgpass:
        env = environment(
            dsn,
            pgpass=pgpass,
            application_name=application_name,
            options=f"{_overrides(tools)} {_UNHURRIED}",
        )
        try:
            process.run(argv, env=env, pass_fds=(*given, *_given(pgpass)), while_running=while_running)
        except ToolFailed as exc:
            refused = failure(exc, dsn.where)
            if goes_on and _WENT_ON in exc.said and isinstance(refused, Permanent):
                return refused
            raise refused from exc
    return None


def carry(
    tools: Tools,
    source: Dsn,
    target: Dsn,
    *,
    tables: Sequence[tuple[str, str]],
    encoding: str,
    application_name: str,
    while_running: Callable[[], None] | None = None,
) -> None:
    """Bring tables (schema, name) from one database into another, in one transaction there.

    With their indexes, constraints and own sequences; without grants. Nothing of it is there when this
    raises, as `dump` and `restore` do, unless the connection went in the very moment of the commit.
    """
    argv = [
        str(tools.pg_dump),
        "--format=custom",
        "--compress=0",
        "--no-password",
        "--no-privileges",
        "--strict-names",
        f"--encoding={'UTF8' if encoding != 'SQL_ASCII' else encoding}",
        *(f"--table={_exactly(s)}.{_exactly(t)}" for s, t in tables),
    ]
    with private_pgpass(source) as pgpass:
        env = environment(source, pgpass=pgpass, application_name=application_name, options=_AS_WRITTEN)
        with process.stream(argv, env=env, pass_fds=_given(pgpass), while_running=while_running) as pieces:
            take_in(
                tools,
                target,
                _translating(pieces, source),
                application_name=application_name,
                while_running=while_running,
            )


def take_in(
    tools: Tools,
    dsn: Dsn,
    archive: Iterator[bytes],
    *,
    application_name: str,
    while_running: Callable[[], None] | None = None,
) -> None:
    """Restore an archive that comes in pieces, all or nothing, into a database that is in use."""
    argv = [
        str(tools.pg_restore),
        "--exit-on-error",
        "--single-transaction",
        "--format=custom",
        "--no-password",
        "--no-privileges",
        "--dbname=",
    ]
    with private_pgpass(dsn) as pgpass, _translated(dsn):
        env = environment(dsn, pgpass=pgpass, application_name=application_name, options=_overrides(tools))
        process.run(argv, env=env, stdin=archive, pass_fds=_given(pgpass), while_running=while_running)


def failure(exc: ToolFailed, where: str) -> SnapfleetError:
    """What a tool's end means. The line that says it is kept, for it names the object."""
    for pattern, kind, code, hint in FAILURES:
        if match := re.search(f"^.*(?:{pattern}).*$", exc.said, re.MULTILINE):
            is_made = (code, exc.tool) == ("insufficient_rights", "pg_restore")
            advice = _RESTORE_RIGHTS if is_made else hint
            return kind(f"{exc.tool} on {where}: {_bare(match[0])}", code=code, hint=advice)
    if exc.status < 0:
        return Transient(
            f"{exc.message}, on {where}", code="tool_killed", hint="was the machine out of memory?"
        )
    return Permanent(f"{' '.join(exc.message.split())}, on {where}", code="tool_failed", hint=_LOG)


def _overrides(tools: Tools) -> str:
    # By the rule of choice, tools of 17 and later only ever meet such servers, and older ones never.
    overrides = _OVERRIDES + (_OVERRIDES_FROM_17 if tools.major >= 17 else ())  # noqa: PLR2004 - said above
    return " ".join(f"-c {setting}" for setting in overrides)


def _bare(lines: str) -> str:
    """Without the announcements before the server's own words, in one line."""
    announced = r"^pg_\w+: (?:error|detail): |(?:query failed|Error message from server): (?=ERROR)"
    return " ".join(re.sub(announced, "", lines, flags=re.MULTILINE).split())


@contextmanager
def _translated(dsn: Dsn) -> Generator[None]:
    try:
        yield
    except ToolFailed as exc:
        raise failure(exc, dsn.where) from exc


def _translating(pieces: Iterator[bytes], dsn: Dsn) -> Iterator[bytes]:
    with _translated(dsn):
        yield from pieces


def _exactly(name: str) -> str:
    """A pattern for one name: between double quotes nothing is special but the quote."""
    return '"' + name.replace('"', '""') + '"'


def _given(pgpass: int | None) -> tuple[int, ...]:
    return () if pgpass is None else (pgpass,)
