"""What in an archive belongs to some tables: told by what its entries depend on, never by their names.

The list of an archive spells names without quotes, so that `a b` `c` and `a` `b c` look the same there. A
table that looks like a wanted one is taken for one too: more is then restored than is asked for, never less.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from shared.postgres import contents
from shared.postgres.tools import Tools

_ENTRY: Final = re.compile(rb"(\d+); \d+ \d+ (.*)")
_DEPENDS: Final = re.compile(rb";\s+depends on:((?: \d+)+)")

# With its table, whatever else it depends on; and only if all that it depends on comes too.
_WITH_TABLE: Final = (b"INDEX ", b"CONSTRAINT ", b"CHECK CONSTRAINT ", b"STATISTICS ")
_ATTACHES: Final = b"INDEX ATTACH "
_WITH_ALL: Final = (b"FK CONSTRAINT ", _ATTACHES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    id: int
    line: bytes
    """As `--use-list` takes it back."""
    what: bytes
    """Kind, schema, name and owner, with blanks between them."""
    depends_on: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Lines for `--use-list`, by the section they are restored in."""

    data: tuple[bytes, ...]
    post_data: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Lines for `--use-list`, one lot after the other; what is in one needs nothing of a later one."""

    first: tuple[bytes, ...]
    one_by_one: tuple[bytes, ...]
    """Indexes of partitions become parts of their tables' ones.

    Where that happens at once to two levels of the same tree, the server may not see that the root has become
    complete, and leaves it invalid without an error: PostgreSQL 15 in 87 of 4,559 races, 18 in 2 of 2,762.
    """
    last: tuple[bytes, ...]


def read(tools: Tools, *, archive_fd: int) -> tuple[Entry, ...]:
    """Every entry in the archive's order. Raises as `dump.restore` does for a file that is none."""
    argv = [str(tools.pg_restore), "--list", "--verbose", f"/proc/self/fd/{archive_fd}"]
    found: list[Entry] = []
    for line in contents.output(argv, archive_fd).split(b"\n"):
        if (entry := _ENTRY.fullmatch(line)) is not None:
            found.append(Entry(id=int(entry[1]), line=line, what=entry[2], depends_on=frozenset()))
        elif (depends := _DEPENDS.fullmatch(line)) is not None and found:
            last = found[-1]
            found[-1] = Entry(
                id=last.id, line=last.line, what=last.what, depends_on=frozenset(map(int, depends[1].split()))
            )
    return tuple(found)


def ids(lines: Iterable[bytes]) -> frozenset[int]:
    """Of entries as they are listed."""
    return frozenset(int(entry[1]) for line in lines if (entry := _ENTRY.fullmatch(line)))


def in_turns(tools: Tools, lines: tuple[bytes, ...], *, archive_fd: int) -> Turns:
    """Some lines of an archive's list, so that several sessions can restore each lot but the second."""
    numbered = {contents.number_of(line): line for line in lines}
    listed = read(tools, archive_fd=archive_fd) if any(_ATTACHES in line for line in lines) else ()
    attaching = {entry.id for entry in listed if entry.what.startswith(_ATTACHES)}
    last = set[int]()
    for entry in listed:
        if entry.id not in attaching and entry.depends_on & (attaching | last):
            last.add(entry.id)
    return Turns(
        first=tuple(line for id_, line in numbered.items() if id_ not in attaching | last),
        one_by_one=tuple(line for id_, line in numbered.items() if id_ in attaching),
        last=tuple(line for id_, line in numbered.items() if id_ in last),
    )


def share(entries: Sequence[Entry], tables: Collection[bytes]) -> Share:
    """Rows, indexes and constraints of tables, each given as `what` spells it.

    Of foreign keys those between them. No triggers, rules, policies and grants: what is brought back stands
    beside the live table, and must neither act nor be seen by more than its owner.
    """
    wanted = frozenset(entry.id for entry in entries if entry.what in tables)
    data = tuple(
        entry.line
        for entry in entries
        if entry.what.startswith(b"SEQUENCE SET ")
        or (entry.what.startswith(b"TABLE DATA ") and entry.depends_on & wanted)
    )
    return Share(data=data, post_data=tuple(_after_data(entries, wanted)))


def _after_data(entries: Sequence[Entry], wanted: frozenset[int]) -> Iterable[bytes]:
    # What one of these entries may need beside schemas, types and functions, which are all there.
    bound = frozenset(e.id for e in entries if e.what.startswith((b"TABLE ", *_WITH_TABLE, *_WITH_ALL)))
    coming = set(wanted)
    for entry in entries:
        if entry.what.startswith(_WITH_ALL):
            comes = (entry.depends_on & bound) <= coming
        elif entry.what.startswith(_WITH_TABLE):
            comes = not entry.depends_on.isdisjoint(wanted)
        else:
            # Those of tables and columns came with the schema.
            comes = entry.what.startswith(b"COMMENT ") and bool(entry.depends_on & (coming - wanted))
        if comes:
            coming.add(entry.id)
            yield entry.line
