"""Databases in other encodings and locales: their bytes come back, whatever they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

from embedded.postgres import Postgres
from shared.domain.parts import CopyFormat
from shared.postgres.dsn import Dsn
from tests.extent import WHOLE
from tests.integration.comparison import assert_same, connect, fingerprint
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import refused
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]

# In parts and in the archive, binary and text, each with names beyond ASCII where the encoding has them.
SPLIT = """
    create type "{e}num" as enum ('{e}', 'plain');
    create table "{e}bin" (n int primary key, "{e}" text);
    insert into "{e}bin" select n, repeat('{e}', 100 / octet_length('{e}')) || n from generate_series(1, 65000) n;
    create table "{e}text" (n int primary key, "{e}" text, k "{e}num");
    insert into "{e}text" select n, repeat('{e}', 100 / octet_length('{e}')) || E'\\t\\\\.\\n' || n, '{e}' from generate_series(1, 65000) n;
    create table "{e}small" ("{e}" text);
    insert into "{e}small" values ('{e}'), (null), ('');
    comment on table "{e}small" is '{e}';
"""


def made(server: Postgres, owner: str, options: str) -> str:
    """Another database of this owner, with options of CREATE DATABASE."""
    dsn = Dsn.parse(owner)
    name = f"{dsn.dbname}_other"
    with connect(server, "postgres") as admin:
        admin.execute(
            sql.SQL(f"create database {{}} owner {{}} template template0 {options}").format(
                sql.Identifier(name), sql.Identifier(dsn.user)
            )
        )
    return server.dsn(name, user=dsn.user, password=str(dsn.password))


def assert_it_comes_back(server: Postgres, url: str, inline: Inline) -> set[tuple[str, CopyFormat]]:
    """What was split, and how it was copied."""
    name = Dsn.parse(url).dbname
    before = fingerprint(server, name)
    fleet = inline(url)
    parts = fleet.manifest(succeeded(fleet.snapshot())).parts
    with psycopg.connect(url, autocommit=True, client_encoding="SQL_ASCII") as session:
        session.execute("drop owned by current_user cascade; create schema if not exists public")
    succeeded(fleet.restore())
    assert_same(fingerprint(server, name), before)
    return {(part.spec.table, part.spec.format) for part in parts}


@pytest.mark.parametrize(
    ("encoding", "sample"),
    [
        ("LATIN1", "é"),
        pytest.param("WIN1252", "€", marks=WHOLE),
        ("EUC_JP", "漢"),
        pytest.param("UTF8", "𝄞", marks=WHOLE),
        pytest.param("KOI8R", "я", marks=WHOLE),
    ],
)
def test_text_of_another_encoding_comes_back(
    encoding: str, sample: str, postgres: Postgres, database: Maker, inline: Inline
) -> None:
    url = made(postgres, database(), f"encoding '{encoding}' lc_collate 'C' lc_ctype 'C'")
    fill(url, SPLIT.replace("{e}", sample), client_encoding="UTF8")
    assert assert_it_comes_back(postgres, url, inline) == {
        (f"{sample}bin", CopyFormat.BINARY),
        (f"{sample}text", CopyFormat.TEXT),
    }


def test_bytes_that_are_no_text_come_back_from_sql_ascii(
    postgres: Postgres, database: Maker, inline: Inline
) -> None:
    url = made(postgres, database(), "encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'")
    with psycopg.connect(url, autocommit=True, client_encoding="SQL_ASCII") as session:
        session.execute(SPLIT.replace("{e}", "é").encode())
        # Half a character, and one that UTF-8 does not have.
        session.execute(b'update "\xc3\xa9bin" set "\xc3\xa9" = E\'\\xff\\xfe\\xc3\' where n % 3 = 0')
        session.execute(b'update "\xc3\xa9text" set "\xc3\xa9" = E\'\\xff\\xfe\\xc3\' where n % 3 = 0')
        session.execute(b"insert into \"\xc3\xa9small\" values (E'\\xff\\xfe\\xc3')")
    assert {table for table, _ in assert_it_comes_back(postgres, url, inline)} == {"ébin", "étext"}


@pytest.mark.parametrize(
    "bad",
    [
        b'create table "\xff" (n int)',
        b'create table t ("\xc3" int)',
        b'create schema "a\xe9"; create table "a\xe9".t (n int)',
        b'create sequence "\xff"',
    ],
)
def test_a_name_that_is_no_text_is_refused(
    bad: bytes, postgres: Postgres, database: Maker, inline: Inline
) -> None:
    url = made(postgres, database(), "encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'")
    with psycopg.connect(url, autocommit=True, client_encoding="SQL_ASCII") as session:
        session.execute("create table fine as select generate_series(1, 300000) n")
        session.execute(bad)
    refused(inline(url).snapshot(), "name_not_utf8")


def test_a_database_of_the_builtin_provider_comes_back(
    postgres: Postgres, database: Maker, inline: Inline
) -> None:
    url = made(postgres, database(), "locale_provider builtin builtin_locale 'PG_UNICODE_FAST' locale 'C'")
    fill(url, SPLIT.replace("{e}", "ß"))
    assert_it_comes_back(postgres, url, inline)
    assert locale(postgres, url) == ("b", "PG_UNICODE_FAST")


def test_a_database_of_icu_comes_back(postgres15: Postgres, database: Maker, inline: Inline) -> None:
    url = made(postgres15, database(postgres15), "locale_provider icu icu_locale 'de-DE-u-co-phonebk'")
    fill(url, SPLIT.replace("{e}", "ß"))
    fill(url, "create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    assert_it_comes_back(postgres15, url, inline)
    assert locale(postgres15, url) == ("i", "de-DE-u-co-phonebk")


def locale(server: Postgres, url: str) -> tuple[Any, ...] | None:
    column = "datlocale" if server.major >= 17 else "daticulocale"
    with connect(server, "postgres") as session:
        return session.execute(
            f"select datlocprovider::text, {column} from pg_database where datname = %s".encode(),
            [Dsn.parse(url).dbname],
        ).fetchone()
