"""What a restored database computes anew from its rows: materialized views, and statistics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import psycopg
from psycopg import sql

from shared.domain.manifest import Properties
from shared.errors import Permanent
from shared.postgres.contents import ViewsToFill
from shared.postgres.failures import NAME_NOT_FOUND
from shared.postgres.session import Session

OF_THE_DATA = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.InternalError,
    psycopg.NotSupportedError,
    psycopg.ProgrammingError,
    psycopg.errors.ObjectNotInPrerequisiteState,
)
"""Errors that come from what a database holds, and not from its server or the way there."""

# A reader of others' tables is safe from their views; who builds the views is not, and need not be.
VIEWS_AS_WELL = """
    select pg_catalog.set_config(name, '', false) from pg_catalog.pg_settings
     where name = 'restrict_nonsystem_relation_kind'"""
EVERY_TABLE = """
    select oid::regclass::text as name from pg_catalog.pg_class
     where relkind in ('r', 'm', 'p') and relpersistence <> 't' order by oid"""


def search_paths(properties: Properties, role: str) -> tuple[str | None, ...]:
    """Those under which a view may find what it names: none, as pg_restore has it, before the database's own.

    None stands for what a new session of ours begins with.
    """
    own = {s.role: s.value for s in properties.settings if s.name.lower() == "search_path"}
    return tuple(dict.fromkeys(["", *(own[key] for key in (role, None) if key in own), None]))


def fill(session: Session, views: ViewsToFill, *, paths: Sequence[str | None]) -> None:
    """Give every materialized view its rows, in an own session: its settings are other ones afterwards.

    The first of the search paths counts under which the view finds what it names. Raises Permanent
    (`view_not_filled`), naming the view.
    """
    session.execute(VIEWS_AS_WELL)
    session.execute("select pg_catalog.set_config('client_encoding', %s, false)", [views.encoding])
    for name in views.names:
        missing: psycopg.Error | None = None
        for path in paths:
            set_path(session, path)
            try:
                session.execute(b"refresh materialized view " + name)
            except NAME_NOT_FOUND as exc:
                # What it was under the first path tells most.
                missing = missing or exc
                continue
            except OF_THE_DATA as exc:
                raise not_filled(name, views.encoding, exc) from exc
            break
        else:
            raise not_filled(name, views.encoding, missing) from missing


def set_path(session: Session, path: str | None) -> None:
    if path is None:
        session.execute("reset search_path")
    else:
        session.execute("select pg_catalog.set_config('search_path', %s, false)", [path])


def not_filled(name: bytes, encoding: str, exc: psycopg.Error | None) -> Permanent:
    why = " ".join(((exc and exc.diag.message_primary) or str(exc)).split())
    shown = " ".join(name.decode("utf-8", errors="replace").split()) if encoding == "UTF8" else repr(name)
    return Permanent(
        f"materialized view {shown} cannot be filled: {why}",
        code="view_not_filled",
        hint="if its functions look for names without a schema, say in the source: alter function … set"
        " search_path = …; then take another snapshot",
    )


def analyze(session: Session) -> tuple[str, ...]:
    """Gather statistics; the tables for which their own values prevent it.

    PostgreSQL cannot analyze every value that it can store, such as a range of numbers too large for a float.
    """
    session.execute(VIEWS_AS_WELL)
    try:
        session.execute("analyze")
    except OF_THE_DATA:
        return tuple(analyze_each(session))
    return ()


def analyze_each(session: Session) -> Iterable[str]:
    for found in session.execute(EVERY_TABLE).fetchall():
        try:
            session.execute(sql.SQL("analyze {}").format(sql.SQL(found["name"])))
        except OF_THE_DATA:
            yield found["name"]
