"""Subscriptions inside a side database: as long as there is one, PostgreSQL drops the database for nobody."""

from __future__ import annotations

from psycopg import sql

from shared.postgres.databases import oid_of
from shared.postgres.session import Session


def is_subscribed(session: Session, name: str) -> bool:
    """Whether a database holds subscriptions: as long as it does, PostgreSQL drops it for nobody."""
    query = "select exists (select 1 from pg_catalog.pg_subscription where subdbid = %s) as found"
    found = session.execute(query, [oid_of(session, name)]).fetchone()
    return bool(found and found["found"])


def forget(inside: Session) -> None:
    """Drop the subscriptions of the session's own database. Their publishers are not told."""
    names = inside.execute(
        "select subname from pg_catalog.pg_subscription"
        " where subdbid = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())"
    ).fetchall()
    for row in names:
        name = sql.Identifier(row["subname"])
        # With a slot to its name a drop would have the publisher drop that too: it is the live one's.
        for text in (
            "alter subscription {} disable",
            "alter subscription {} set (slot_name = none)",
            "drop subscription {}",
        ):
            inside.execute(sql.SQL(text).format(name))
