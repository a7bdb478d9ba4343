"""Make a restored database ready to take other rows into some of its tables, under the same schema.

    fit? ─► take down what stands on rows ─► empty ─► (rows, from an archive and from parts) ─► rebuild from the archive

What is taken down is what `rebuilt` names among the entries of an archive of the same schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from shared.domain.parts import Key
from shared.postgres import contents, dump, early, entries, inspection
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, statement
from shared.postgres.tools import Tools

_ENTRY: Final = b"\n--\n-- Name: "
_END: Final = b"\n--\n-- PostgreSQL database dump complete\n"
_LARGE_OBJECT: Final = re.compile(rb"^\d+; \d+ \d+ (?:BLOB |(?:ACL|COMMENT|SECURITY LABEL) - LARGE OBJECT )")
_STANDING: Final = (b"FK CONSTRAINT ", b"TRIGGER ")
_INDEXED: Final = (b"INDEX ", b"CONSTRAINT ")


def unfit(session: Session) -> Sequence[str]:
    """What stands against it, in words."""
    return [row["why"] for row in session.execute(statement("unfit").encode())]


def frail(session: Session) -> frozenset[Key]:
    """Tables whose rows may be refused, or come out otherwise, when they are loaded though none of them has changed."""
    return frozenset((row["schema"], row["name"]) for row in session.execute(statement("frail").encode()))


def has_schema(
    tools: Tools,
    dsn: Dsn,
    *,
    archive_fd: int,
    application_name: str,
    while_running: Callable[[], None],
) -> bool:
    """Whether pg_dump says the same of this database as the archive does, word for word, but for rows."""
    wanted = contents.schema_script(tools, archive_fd=archive_fd)
    found = dump.schema(
        tools,
        dsn,
        encoding=contents.encoding_of(wanted),
        application_name=application_name,
        while_running=while_running,
    )
    return bare(found) == bare(wanted)


def bare(script: bytes) -> bytes:
    """Without what a tool tells of itself before the first entry and after the last.

    What is between may hold the same lines: names and bodies are anybody's.
    """
    return script[script.find(_ENTRY) : script.rfind(_END)]


def apart(session: Session, tables: Collection[Key]) -> frozenset[Key]:
    """Those that are no partitions: the indexes of these hang on their parents'."""
    query = (
        "select n.nspname as schema, c.relname as name from pg_catalog.pg_class c"
        " join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' and not c.relispartition"
    )
    found = session.execute(query)
    return frozenset((row["schema"], row["name"]) for row in found) & frozenset(tables)


def take_down(session: Session, tables: Collection[Key]) -> None:
    """All foreign keys and triggers; constraints and indexes of these tables."""
    for row in session.execute(statement("takedown").encode(), named(tables)).fetchall():
        session.execute(row["statement"].encode())


def empty(session: Session, *, kept: Collection[Key]) -> None:
    """Every table but these, and every materialized view, once nothing stands on them any more."""
    for row in session.execute(statement("emptying").encode(), named(kept)).fetchall():
        session.execute(row["statement"].encode())


def unlink(session: Session) -> None:
    """All large objects, some at a time: each is a lock, until its transaction ends."""
    query = (
        "select count(pg_catalog.lo_unlink(oid)) as gone from"
        " (select oid from pg_catalog.pg_largeobject_metadata limit 1000) as batch"
    )
    while inspection.row(session, query)["gone"]:
        pass


def large_objects(tools: Tools, *, archive_fd: int) -> tuple[bytes, ...]:
    """Entries of the archive that make large objects before there are data: up to PostgreSQL 16."""
    listed = contents.listing(tools, archive_fd=archive_fd, section="pre-data")
    return tuple(entry for entry in listed if _LARGE_OBJECT.match(entry))


def rebuilt(session: Session, tools: Tools, tables: Collection[Key], *, archive_fd: int) -> frozenset[int]:
    """The entries of the archive that `take_down` has taken down, and what is said of them."""
    spelt = early.spellings(session, tables)
    listed = entries.read(tools, archive_fd=archive_fd)
    of_tables = frozenset(entry.id for entry in listed if entry.what in spelt)
    chosen = [
        entry
        for entry in listed
        if entry.what.startswith(_STANDING)
        or (entry.what.startswith(_INDEXED) and entry.depends_on & of_tables)
    ]
    return frozenset(entry.id for entry in early.with_comments(chosen, listed))


def named(tables: Collection[Key]) -> Mapping[str, list[str]]:
    return {"schemas": [schema for schema, _ in tables], "names": [name for _, name in tables]}
