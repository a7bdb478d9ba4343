"""What the server says beside the rows of a copy: the client library would lose what came before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg
import psycopg
import pytest

from embedded.postgres import Postgres
from shared.domain.parts import CopyFormat, PartSpec
from shared.errors import Transient
from shared.postgres import copying
from shared.postgres.dsn import Dsn

Maker = Callable[..., str]
ROWS = 1000
# Each look at `said` is a notice: a word that is too common to be searched for.
FILL = f"""
    create table talk (n integer, said tsquery generated always as (plainto_tsquery('english', 'the')) virtual);
    insert into talk select generate_series(1, {ROWS});
"""
TALK = PartSpec(
    number=1,
    schema="public",
    table="talk",
    columns=("n", "said"),
    format=CopyFormat.TEXT,
    first_page=0,
    end_page=None,
)


def test_what_a_server_says_in_the_middle_of_a_copy_loses_no_row(postgres: Postgres, database: Maker) -> None:
    url = database(postgres)
    dsn = Dsn.parse(url)
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(FILL.encode())
        session.execute("alter role current_user set client_min_messages to debug5")
    lines = bytearray()
    with psycopg.connect(url) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        (exported,) = holder.execute("select pg_export_snapshot()").fetchone() or ()
        with copying.reading(dsn, snapshot=exported, application_name="test") as reader:
            assert reader.copy(TALK, lines.extend) == ROWS
    assert lines.count(b"\n") == ROWS


def test_a_copy_in_the_middle_of_which_something_was_said_is_none(
    postgres: Postgres, database: Maker
) -> None:
    url = database(postgres)
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(FILL.encode())

    async def output(_: bytes) -> None:
        pass

    async def copy() -> None:
        connection = await asyncpg.connect(url)
        with copying.undisturbed(connection):
            await connection.copy_from_query("select n from talk", output=output)
        with pytest.raises(Transient, match="in the middle") as disturbed, copying.undisturbed(connection):
            await connection.copy_from_query("select n, said from talk", output=output)
        assert disturbed.value.code == "copy_disturbed"
        await connection.close()

    asyncio.run(copy())
