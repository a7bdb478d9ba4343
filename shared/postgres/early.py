"""Indexes that need not wait for the whole database: those of one table, once its rows are there.

Of a table's entries after the data these are its indexes and the constraints that stand on one. What cannot
be built early is no failure: whoever restores the rest of the archive finds it left, and says why.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from shared import failpoints
from shared.domain.parts import Key
from shared.postgres import contents, entries, loading, moving
from shared.postgres.entries import Entry
from shared.postgres.session import Session
from shared.postgres.tools import Tools

LOOK_SECONDS: Final = 0.2

# By class: connection lost, conflict with others, lack of room or memory, ended from outside. No fault of an index.
_OF_THE_SERVER: Final = frozenset({"08", "40", "53", "57"})
_INDEX: Final = b"INDEX "
_CONSTRAINT: Final = b"CONSTRAINT "
_COMMENT: Final = b"COMMENT "
# Newer tools fence a script in against what psql would take for commands, by a word that nobody can guess.
# Only before the first statement: the text of a comment may have such a line too.
_FENCE: Final = re.compile(rb"\A(?:(?:--.*)?\n)*\\restrict (\w+)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Early:
    """Entries of one table, and the statements that pg_restore would run for them, in `encoding`.

    Constraints are one, for each locks everybody else out; indexes are one each.
    """

    table: Key
    ids: tuple[int, ...]
    has_constraints: bool
    script: bytes
    encoding: str


def find(tools: Tools, session: Session, tables: Collection[Key], *, archive_fd: int) -> tuple[Early, ...]:
    """What can be built early in these tables, constraints before indexes; `session` is where they are already."""
    spelt = spellings(session, tables)
    listed = entries.read(tools, archive_fd=archive_fd)
    found = list[Early]()
    for table, chosen in choose(tools, spelt, listed, archive_fd=archive_fd).items():
        bound = tuple(entry for entry in chosen if entry.what.startswith(_CONSTRAINT))
        for some in (bound, *((entry,) for entry in chosen if entry.what.startswith(_INDEX))):
            if some:
                whole = with_comments(some, listed)
                lines = tuple(entry.line for entry in whole)
                script = contents.script_of(tools, lines, archive_fd=archive_fd)
                found.append(
                    Early(
                        table=table,
                        ids=tuple(entry.id for entry in whole),
                        has_constraints=some is bound,
                        script=without_fence(script),
                        encoding=contents.encoding_of(script),
                    )
                )
    return tuple(found)


def spellings(session: Session, tables: Collection[Key]) -> Mapping[bytes, Key]:
    """How the archive's list spells each of them."""
    schemas, names = [schema for schema, _ in tables], [name for _, name in tables]
    query = (
        "select c.oid::bigint as oid from pg_catalog.pg_class c"
        " join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
        " join rows from (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) wanted (schema, name)"
        " on wanted.schema = n.nspname and wanted.name = c.relname"
    )
    oids = [int(row["oid"]) for row in session.execute(query, [schemas, names])]
    return {m.listed: (m.schema, m.name) for m in moving.members(session, oids) if m.kind == "table"}


def choose(
    tools: Tools, spelt: Mapping[bytes, Key], listed: Sequence[Entry], *, archive_fd: int
) -> Mapping[Key, Sequence[Entry]]:
    """The entries of each table that depend on nothing else that comes after the data."""
    later = entries.ids(contents.listing(tools, archive_fd=archive_fd, section="post-data"))
    tables = {entry.id: spelt[entry.what] for entry in listed if entry.what in spelt}
    chosen = dict[Key, list[Entry]]()
    for entry in listed:
        on = [tables[id_] for id_ in entry.depends_on if id_ in tables]
        if entry.what.startswith((_INDEX, _CONSTRAINT)) and on and not entry.depends_on & later:
            chosen.setdefault(on[0], []).append(entry)
    return chosen


def with_comments(some: Sequence[Entry], listed: Sequence[Entry]) -> Sequence[Entry]:
    """These and what is said of them, which goes where they go.

    A comment has no section of its own: pg_restore takes it to be in that of the entry listed before it, and
    where this one is left out that may be the data, whose turn is over.
    """
    ids = {entry.id for entry in some}
    return (*some, *(e for e in listed if e.what.startswith(_COMMENT) and e.depends_on & ids))


def without_fence(script: bytes) -> bytes:
    fence = _FENCE.search(script)
    if fence is None:
        return script
    return script.replace(fence[0], b"", 1).replace(b"\\unrestrict " + fence[1], b"", 1)


def build(
    session: Session, number: int, script: bytes, *, encoding: str, while_running: Callable[[], None]
) -> bool:
    """Run a script once, with its mark, in a session of its own: its settings are other ones afterwards.

    False where the server refuses it, and then nothing of it is there. `while_running` stops it by raising.
    """
    session.execute("select pg_catalog.set_config('client_encoding', %s, false)", [encoding])
    try:
        with stoppable(session, while_running), session.transaction():
            loading.take_over(session, number)
            if loading.mark(session, number):
                session.execute(script)
                failpoints.reach("load.index_built")
    except psycopg.Error as exc:
        if exc.sqlstate is None or exc.sqlstate[:2] in _OF_THE_SERVER:
            raise
        return False
    return True


@contextmanager
def stoppable(session: Session, while_running: Callable[[], None]) -> Generator[None]:
    """Call `while_running` about five times a second while a statement runs; what it raises ends the statement."""
    ended, raised = threading.Event(), list[Exception]()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            try:
                while_running()
            except Exception as exc:  # noqa: BLE001 - raised again where the statement was begun
                raised.append(exc)
                session.cancel_safe()
                return

    thread = threading.Thread(target=look, name="look", daemon=True)
    thread.start()
    try:
        yield
    except psycopg.Error:
        if raised:
            raise raised[0] from None
        raise
    finally:
        ended.set()
        thread.join()
