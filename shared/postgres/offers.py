"""What a server can offer to a database that is to be built there. Reads only."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import psycopg

from shared.domain.manifest import Source, parse
from shared.postgres import inspection
from shared.postgres.session import Session, statement

LIBC, ICU, BUILTIN = "c", "i", "b"
FIRST_WITH_BUILTIN = 170000

# The last three figures before the share in use are blocks of 1 KiB: all, used, free.
FREE = re.compile(r"\s(\d+)\s+(\d+)\s+(-?\d+)\s+\d+%\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """One that the server could create. `default_version` is the one that it would."""

    name: str
    default_version: str
    needs_superuser: bool


def extensions(session: Session, names: Collection[str]) -> Mapping[str, Extension]:
    """Those of `names` that the server has the files of, by name."""
    found = session.execute(statement("extensions_offered").encode(), {"names": list(names)})
    return {r["name"]: parse(r, Extension) for r in found}


def has_provider(session: Session, provider: str) -> bool:
    """Whether the server can sort by this provider: libc's, ICU's or its own."""
    if provider == BUILTIN:
        return session.info.server_version >= FIRST_WITH_BUILTIN
    if provider == ICU:
        query = "select exists (select 1 from pg_catalog.pg_collation where collprovider = 'i') as known"
        return bool(inspection.row(session, query)["known"])
    return True


def has_locale(session: Session, name: str) -> bool:
    """Whether the server's operating system knows a locale: by a setting that every role may try."""
    try:
        with session.transaction(force_rollback=True):
            session.execute("select pg_catalog.set_config('lc_time', %s, true)", [name])
    except psycopg.errors.InvalidParameterValue:
        return False
    return True


def collation_version(session: Session, source: Source) -> str | None:
    """The version that the source's sort order has on this server; None where that cannot be told."""
    locale = source.locale if source.locale_provider != LIBC else source.collate
    values = {"provider": source.locale_provider, "locale": locale}
    found = session.execute(statement("collation_version").encode(), values).fetchone()
    return found["version"] if found else None


def free_bytes(session: Session) -> int | None:
    """Free on the file system of the server's data directory; None where this role may not ask.

    PostgreSQL does not know it. Only its operating system does, and that answers `df` to superusers and to
    members of pg_execute_server_program.
    """
    may = "select pg_catalog.pg_has_role('pg_execute_server_program', 'usage') as may"
    if not inspection.row(session, may)["may"]:
        return None
    try:
        with session.transaction(force_rollback=True):
            session.execute("create temporary table snapfleet_room (line text)")
            session.execute("copy pg_temp.snapfleet_room from program 'df -Pk .'")
            lines = session.execute("select line from pg_temp.snapfleet_room").fetchall()
    except psycopg.Error:
        return None
    for line in lines:
        if figures := FREE.search(line["line"] or ""):
            return max(0, int(figures[3])) * 1024
    return None
