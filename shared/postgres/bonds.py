"""Who and what is tied to a database: the sessions in it, and what follows it under any name."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from shared.domain.manifest import parse
from shared.postgres import inspection
from shared.postgres.databases import IN_IT
from shared.postgres.session import Session, statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Bonds:
    """Logical replication slots, subscriptions and prepared transactions of one database, by name."""

    slots: tuple[str, ...]
    subscriptions: tuple[str, ...]
    prepared: tuple[str, ...]


def of(session: Session, name: str) -> Bonds:
    return parse(inspection.row(session, statement("bonds"), name=name), Bonds)


def publications(session: Session) -> tuple[str, ...]:
    """Those of the database that the session is in: what its slots may be read through."""
    query = "select pubname::text as name from pg_catalog.pg_publication order by 1"
    return tuple(r["name"] for r in session.execute(query))


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionGroup:
    """Sessions that look alike. `application` is None where the role may not see it."""

    role: str
    application: str | None
    count: int


def sessions(session: Session, name: str) -> tuple[SessionGroup, ...]:
    """The sessions in a database, the largest groups first: those that a swap would cut."""
    query = sql.SQL(
        "select usename::text as role, application_name as application, count(*) as count"
        " from pg_catalog.pg_stat_activity where {} group by 1, 2 order by 3 desc, 1, 2"
    )
    return tuple(parse(r, SessionGroup) for r in session.execute(query.format(IN_IT), [name]))
