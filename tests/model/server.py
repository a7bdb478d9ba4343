"""A database server of the model: databases with an oid, a name, and content; every act is one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.errors import NotFound, Refused
from tests.model.fuse import Fuse

LIVE = "live"
Rows = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Rows by table, and a setting that belongs to the database and no archive carries."""

    rows: Rows = field(default_factory=dict)
    setting: str = ""


@dataclass(slots=True, kw_only=True)
class Held:
    """One database. `parts` are the numbers of those that were loaded."""

    name: str
    content: Content
    parts: frozenset[int] = frozenset()


class Server:
    def __init__(self, fuse: Fuse, content: Content) -> None:
        self._fuse = fuse
        self.databases: dict[int, Held] = {1: Held(name=LIVE, content=content)}
        self._newest = 1

    def oid_of(self, name: str) -> int | None:
        return next((oid for oid, held in self.databases.items() if held.name == name), None)

    def content_of(self, name: str) -> Content | None:
        oid = self.oid_of(name)
        return None if oid is None else self.databases[oid].content

    def names(self, prefix: str = "") -> list[str]:
        return [held.name for held in self.databases.values() if held.name.startswith(prefix)]

    def create(self, name: str, content: Content) -> None:
        self._fuse.burn(Refused)
        assert self.oid_of(name) is None, f"{name} is there already"
        self._newest += 1
        self.databases[self._newest] = Held(name=name, content=content)
        self._fuse.burn(Refused)

    def drop(self, name: str) -> None:
        assert name != LIVE
        self._fuse.burn(Refused)
        oid = self.oid_of(name)
        if oid is not None:
            del self.databases[oid]
        self._fuse.burn(Refused)

    def load(self, name: str, *, number: int, table: str, rows: tuple[int, ...]) -> None:
        """One part, with its mark; once, however often it comes."""
        self._fuse.burn(Refused)
        held = self.databases[self._there(name)]
        if number not in held.parts:
            loaded = held.content.rows.get(table, ()) + rows
            held.content = Content(rows={**held.content.rows, table: loaded}, setting=held.content.setting)
            held.parts |= {number}
        self._fuse.burn(Refused)

    def exchange(self, *, incoming_oid: int, parked_name: str, setting: str | None) -> None:
        """The live name goes to `incoming_oid`, what it meant is parked; done already: nothing is."""
        self._fuse.burn(Refused)
        live = self.oid_of(LIVE)
        if live != incoming_oid:
            incoming = self.databases.get(incoming_oid)
            if incoming is None:
                raise NotFound("the database to be swapped in is gone", code="database_missing")
            taken = self.oid_of(parked_name)
            assert taken in {None, incoming_oid}, f"{parked_name} is another's"
            if live is not None:
                self.databases[live].name = parked_name
            incoming.name = LIVE
            if setting is not None:
                incoming.content = Content(rows=incoming.content.rows, setting=setting)
        self._fuse.burn(Refused)

    def rename(self, name: str, to: str) -> None:
        self._fuse.burn(Refused)
        oid = self.oid_of(name)
        if oid is not None:
            self.databases[oid].name = to
        self._fuse.burn(Refused)

    def write(self, content: Content) -> None:
        """An application's doing, in the live database."""
        self.databases[self._there(LIVE)].content = content

    def _there(self, name: str) -> int:
        oid = self.oid_of(name)
        assert oid is not None, f"{name} is gone"
        return oid
