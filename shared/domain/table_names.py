"""Names of single tables: how a user spells one, and what a table that is brought back is called."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import Final

from shared.errors import Refused

MAX_BYTES: Final = 63
"""PostgreSQL cuts longer names off, and two of them could end up the same."""

_PART: Final = r'"(?:[^"]|"")+"|[^".]+'
_SPELT: Final = re.compile(rf"(?:({_PART})\.)?({_PART})", re.DOTALL)
_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableName:
    """Taken letter for letter. Without a schema: in whichever there is one of this name."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        """As SQL spells it, and as `parse` reads it."""
        return ".".join(quoted(part) for part in (self.schema, self.name) if part is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedTable:
    """A table to bring back, and the name it is to have; None for its own with the snapshot's time."""

    table: TableName
    to: str | None = None

    def of(self, schema: str) -> WantedTable:
        """The same, its schema known."""
        return replace(self, table=replace(self.table, schema=schema))

    def new_name(self, taken_at: datetime) -> str:
        return self.to if self.to is not None else suffixed(self.table.name, suffix(taken_at))


def parse(text: str) -> TableName:
    """`schema.name` or `name`; a part with a dot or a quote in it stands in double quotes, as in SQL.

    No pattern and no prefix, and no folding to lower case: `Orders` is `Orders`. Refused for anything else.
    """
    match = _SPELT.fullmatch(text)
    if match is None:
        raise Refused(
            f"{text!r} is no name of a table",
            code="table_name_malformed",
            hint='schema.name; a part with a dot or a quote in double quotes: public."odd.name"',
        )
    schema, name = match.groups()
    return TableName(schema=None if schema is None else _bare(schema), name=_bare(name))


def wanted(text: str, to: str | None) -> WantedTable:
    """What `--table` and `--to` ask for. The new name may name the schema only if it is the same one."""
    table = parse(text)
    if to is None:
        return WantedTable(table=table)
    new = parse(to)
    if new.schema is not None and new.schema != table.schema:
        raise Refused(
            f"{text} cannot be brought back as {to}: it stays in its schema",
            code="other_schema",
            hint="give a name without a schema",
        )
    if len(new.name.encode()) > MAX_BYTES:
        raise Refused(f"{to!r} is longer than {MAX_BYTES} bytes", code="name_too_long")
    return WantedTable(table=table, to=new.name)


def quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def suffix(taken_at: datetime) -> str:
    """`__at_20261122t195500z`, in lower case: to be typed without quotes."""
    return f"__at_{taken_at.astimezone(UTC):%Y%m%dt%H%M%Sz}"


def suffixed(name: str, ending: str) -> str:
    """The name with an ending, cut before it so that both fit; never within a character."""
    room = MAX_BYTES - len(ending.encode())
    return name.encode()[:room].decode(errors="ignore") + ending


def free_name(name: str, ending: str, taken: Collection[str]) -> str:
    """The first of `name<ending>`, `name<ending>_2`, … that is not taken."""
    endings = (ending if number == 1 else f"{ending}_{number}" for number in count(1))
    return next(made for each in endings if (made := suffixed(name, each)) not in taken)


def _bare(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part
