"""The databases that the embedded PostgreSQL holds: the fleet's catalog, and the sample it protects.

Each belongs to a role of its own, and neither role is a superuser: what works here works with the
rights that a careful operator gives.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from embedded.postgres import Postgres

CATALOG, CATALOG_OWNER = "snapfleet", "snapfleet"
JOURNAL, JOURNAL_OWNER, JOURNAL_READER = "journal", "journal_owner", "journal_reader"


def catalog(postgres: Postgres) -> str:
    """The catalog's DSN. Makes role and database where they are missing."""
    return _provided(postgres, CATALOG, CATALOG_OWNER, options="NOCREATEDB")


def journal(postgres: Postgres) -> str:
    """The sample's DSN. Makes roles and database where they are missing.

    Its owner may do what a restore needs: make databases, and end the sessions of others. The second
    role may not even log in: it is there to be granted things.
    """
    dsn = _provided(postgres, JOURNAL, JOURNAL_OWNER, options="CREATEDB")
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        if not _role_exists(admin, JOURNAL_READER):
            admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(JOURNAL_READER)))
        admin.execute(sql.SQL("GRANT pg_signal_backend TO {}").format(sql.Identifier(JOURNAL_OWNER)))
    return dsn


def _provided(postgres: Postgres, database: str, owner: str, *, options: str) -> str:
    password = postgres.secret(owner)
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        statement = "ALTER ROLE" if _role_exists(admin, owner) else "CREATE ROLE"
        admin.execute(
            sql.SQL(f"{statement} {{}} LOGIN NOSUPERUSER {options} PASSWORD {{}}").format(
                sql.Identifier(owner), sql.Literal(password)
            )
        )
        if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone():
            admin.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(owner))
            )
    return postgres.dsn(database, user=owner, password=password)


def _role_exists(admin: psycopg.Connection[tuple[object, ...]], role: str) -> bool:
    return admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None
