"""One in-process fleet for all tests of a file: its catalog is emptied, its database filled, before each."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from sqlalchemy import text

from embedded.postgres import Postgres
from shared.storage.memory import MemoryStorage
from shared.storage.repository import Repository
from tests.integration.inline_fleet import InlineFleet

THOUGHTS = 100
OWN_TABLES = """
select string_agg(format('%I', tablename), ', ') from pg_tables
 where schemaname = 'public' and tablename not in ('alembic_version', 'audit')
"""


@contextmanager
def made(server: Postgres) -> Generator[InlineFleet]:
    """A fleet, and with it a role that owns its databases; both are gone afterwards."""
    owner = f"owner_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("create role {} login createdb password 'secret'").format(sql.Identifier(owner))
        )
        names = [f"{kind}_{uuid.uuid4().hex[:8]}" for kind in ("source", "catalog")]
        for name in names:
            statement = sql.SQL("create database {} owner {}")
            admin.execute(statement.format(sql.Identifier(name), sql.Identifier(owner)))
        urls = [server.dsn(name, user=owner, password="secret") for name in names]
        fleet = InlineFleet(urls[0], catalog_url=urls[1], storage=MemoryStorage())
        try:
            yield fleet
        finally:
            fleet.close()
            owned = "select datname from pg_database where pg_get_userbyid(datdba) = %s"
            for (left,) in admin.execute(owned, (owner,)).fetchall():
                admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(left)))
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(owner)))


def fresh(fleet: InlineFleet) -> InlineFleet:
    """The same fleet as if nothing had ever happened to it."""
    with fleet.fleet.catalog.engine.begin() as connection:
        tables = connection.execute(text(OWN_TABLES)).scalar_one()
        connection.execute(text(f"truncate {tables} restart identity cascade"))
    with psycopg.connect(fleet.fleet.database(None).url, autocommit=True) as session:
        session.execute("drop table if exists thought")
        session.execute(f"create table thought as select n from generate_series(1, {THOUGHTS}) n".encode())
    fleet.bell.rung.clear()
    fleet.configure(repository=Repository(MemoryStorage()))
    return fleet
