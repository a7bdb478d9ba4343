"""Read parts of tables as the bytes of COPY, in somebody else's exported snapshot.

asyncpg hands over many rows at a time, so no Python runs per row (figures in docs/decisions). It is used
for this and nothing else. It drops what it has gathered of a copy when the server says something else in the
middle of it, a notice or a warning (MagicStack/asyncpg#1264), so the server is told not to.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import asyncpg
from psycopg import sql

from shared.domain.parts import CopyFormat, PartSpec
from shared.errors import Permanent, Transient
from shared.postgres.dsn import Dsn
from shared.postgres.failures import translated
from shared.postgres.session import statement

SQL_ASCII = "SQL_ASCII"
TOO_LARGE = (asyncpg.ProgramLimitExceededError, asyncpg.OutOfMemoryError, asyncpg.InternalServerError)
SNAPSHOT_ID = re.compile(r"^[0-9A-F]+-[0-9A-F]+-[0-9]+$")


class Reader:
    """One connection that sees one exported snapshot."""

    def __init__(self, runner: asyncio.Runner, connection: asyncpg.Connection, where: str) -> None:
        self._runner = runner
        self._connection = connection
        self._where = where

    def copy(self, part: PartSpec, write: Callable[[bytes], None]) -> int:
        """Hand every byte of a part to `write`, in order; the number of rows.

        What `write` raises stops the copy and is raised here.
        """

        async def output(data: bytes) -> None:
            write(data)

        query = part_query(part, encoding=self._connection.get_settings().server_encoding)
        with translated(self._where), undisturbed(self._connection):
            status = self._runner.run(
                self._connection.copy_from_query(query, output=output, format=part.format.value)
            )
        return int(status.removeprefix("COPY "))

    def digest(self, part: PartSpec, expression: str) -> str | None:
        """The digest of a part's rows, by `digests.expression`; None where the server cannot make one."""

        async def ask() -> str | None:
            query = f"select coalesce(sum({expression}), 0)::pg_catalog.text {self._rows(part)}"
            await self._connection.execute("savepoint digest")
            try:
                found: str = await self._connection.fetchval(query)
            except TOO_LARGE:
                await self._connection.execute("rollback to savepoint digest")
                return None
            await self._connection.execute("release savepoint digest")
            return found

        with translated(self._where):
            return self._runner.run(ask())

    def _rows(self, part: PartSpec) -> str:
        return part_rows(part, encoding=self._connection.get_settings().server_encoding).as_string()


@contextmanager
def undisturbed(connection: asyncpg.Connection) -> Generator[None]:
    """For one copy. Raises Transient (`copy_disturbed`) at its end where rows of it may be lost."""
    said: list[object] = []

    def hear(_: object, message: object) -> None:
        said.append(message)

    connection.add_log_listener(hear)
    try:
        yield
    finally:
        connection.remove_log_listener(hear)
    if said:
        raise Transient("the server sent a message in the middle of a copy", code="copy_disturbed")


@contextmanager
def reading(dsn: Dsn, *, snapshot: str, application_name: str) -> Generator[Reader]:
    """A reader in the exported snapshot.

    Raises Transient (`snapshot_gone`) when its holder has ended.
    """
    if not SNAPSHOT_ID.match(snapshot):
        raise Permanent("the exported snapshot's name is malformed", code="snapshot_gone")
    with asyncio.Runner() as runner:
        with translated(dsn.where):
            connection = runner.run(connect(dsn, snapshot=snapshot, application_name=application_name))
        try:
            yield Reader(runner, connection, dsn.where)
        finally:
            # Not a polite close: after a failed copy the server may still be sending.
            connection.terminate()


async def connect(dsn: Dsn, *, snapshot: str, application_name: str) -> asyncpg.Connection:
    arguments: dict[str, Any] = dsn.asyncpg_arguments()
    connection: asyncpg.Connection = await asyncpg.connect(
        **arguments,
        statement_cache_size=0,
        server_settings={"application_name": application_name},
    )
    try:
        await connection.execute(statement("preamble"))
        await connection.execute("set client_min_messages = error")
        await connection.execute("begin isolation level repeatable read, read only")
        await connection.execute(f"set transaction snapshot '{snapshot}'")
        # Text travels in the database's own encoding, as pg_dump has it: nothing to convert, nothing to lose.
        await connection.execute("select set_config('client_encoding', getdatabaseencoding(), true)")
    except asyncpg.PostgresError as exc:
        connection.terminate()
        if isinstance(exc, asyncpg.InvalidParameterValueError | asyncpg.UndefinedObjectError):
            raise Transient(
                "the exported snapshot is gone: its holder has ended", code="snapshot_gone"
            ) from exc
        raise
    return connection


def part_query(part: PartSpec, *, encoding: str) -> str:
    """The query of one page range; a TID range scan on PostgreSQL 14 and later."""
    columns = column_list(part, encoding)
    return sql.SQL("select {} {}").format(columns, part_rows(part, encoding=encoding)).as_string()


def part_rows(part: PartSpec, *, encoding: str) -> sql.Composed:
    """Its rows, from FROM on."""
    rows = sql.SQL("from only {} where ctid >= {}::pg_catalog.tid").format(
        table_name(part, encoding), sql.Literal(f"({part.first_page},0)")
    )
    if part.end_page is not None:
        rows += sql.SQL(" and ctid < {}::pg_catalog.tid").format(sql.Literal(f"({part.end_page},0)"))
    return rows


def load_query(part: PartSpec, *, encoding: str) -> bytes:
    """The statement that takes the part's bytes back."""
    query = sql.SQL("copy {table} ({columns}) from stdin (format {format})").format(
        table=table_name(part, encoding),
        columns=column_list(part, encoding),
        format=sql.SQL("binary" if part.format is CopyFormat.BINARY else "text"),
    )
    return query.as_bytes()


def table_name(part: PartSpec, encoding: str) -> sql.Composed:
    return sql.SQL(".").join([identifier(part.schema, encoding), identifier(part.table, encoding)])


def column_list(part: PartSpec, encoding: str) -> sql.Composed:
    return sql.SQL(", ").join(identifier(column, encoding) for column in part.columns)


def identifier(name: str, encoding: str) -> sql.Composable:
    """A quoted name that the server understands while the client's encoding is the database's.

    Statements leave here as UTF-8 whatever that encoding is, so a name is spelt in ASCII. In SQL_ASCII
    there are no characters to spell, only bytes, and those of a name were read as UTF-8.
    """
    if name.isascii() or encoding == SQL_ASCII:
        return sql.Identifier(name)
    quoted = name.replace("\\", "\\\\").replace('"', '""')
    spelt = "".join(c if c.isascii() else f"\\+{ord(c):06X}" for c in quoted)
    return sql.SQL(f'U&"{spelt}"')
