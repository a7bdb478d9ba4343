"""The databases that the embedded PostgreSQL holds: the fleet's catalog, and the sample it protects.

Each belongs to a role of its own, and neither role is a superuser: what works here works with the
rights that a careful operator gives.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from embedded.postgres import Postgres

CATALOG, CATALOG_OWNER = "snapfleet", "snapfleet"
JOURNAL, JOURNAL_OWNER = "journal", "journal_owner"


def catalog(postgres: Postgres) -> str:
    """The catalog's DSN. Makes role and database where they are missing."""
    return _provided(postgres, CATALOG, CATALOG_OWNER, options="NOCREATEDB")


def journal(postgres: Postgres) -> str:
    """The sample's DSN. Makes role and database where they are missing.

    Its role may do what a restore needs: make databases, and end the sessions of others.
    """
    dsn = _provided(postgres, JOURNAL, JOURNAL_OWNER, options="CREATEDB")
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("GRANT pg_signal_backend TO {}").format(sql.Identifier(JOURNAL_OWNER)))
    return dsn


def _provided(postgres: Postgres, database: str, owner: str, *, options: str) -> str:
    password = postgres.secret(owner)
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        known = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (owner,)).fetchone()
        statement = "ALTER ROLE" if known else "CREATE ROLE"
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
