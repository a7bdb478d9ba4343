"""Death at any moment: the catalog, the storage and the server of the model, each act of which may be the last.

    burn ─► the act ─► burn        ended before it, or after it and before anybody heard of it

What a SIGKILL leaves is what was done until then. So `Killed` is no Exception, which a step would catch and
write down as its failure; and once the fuse has blown nothing more can be done until it is replaced, by no
`finally` either. An act that fails instead fails once, as that act can: what follows from it goes on. And at
any moment between two acts somebody else may do something.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from shared.catalog.catalog import Catalog, Transaction
from shared.errors import Refused, SnapfleetError, Unreachable
from shared.storage.base import Stat
from shared.storage.memory import MemoryStorage


class Killed(BaseException):
    """The process is gone. Nothing of it runs any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """After so many burns the process dies, or one act fails; with `of_server` only those of the server count."""

    burns: int
    fails: bool = False
    of_server: bool = False


class Fuse:
    """Blows as it was set to; never, if it was not. Of one thread: what renews a lease beside it burns nothing."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._blow: Blow | None = None
        self._burnt = self._acted = 0
        self._at = 0
        self._meanwhile: Callable[[], None] | None = None
        self.open = 0
        """Transactions that are open: another one in the same thread could wait for them for ever."""

    def set(self, blow: Blow | None, *, at: int = 0, meanwhile: Callable[[], None] | None = None) -> None:
        """With `meanwhile` that is done in between, once, after `at` burns."""
        self._blow, self._burnt, self._acted = blow, 0, 0
        self._at, self._meanwhile = at, meanwhile

    @property
    def is_near(self) -> bool:
        return threading.get_ident() == self._thread

    def burn(self, failure: type[SnapfleetError]) -> None:
        if not self.is_near:
            return
        self._acted += 1
        if self._meanwhile is not None and self._acted > self._at and not self.open:
            act, self._meanwhile = self._meanwhile, None
            blow, self._blow = self._blow, None
            act()
            self._blow = blow
        if self._blow is None or (self._blow.of_server and failure is not Refused):
            return
        self._burnt += 1
        if self._burnt <= self._blow.burns:
            return
        if not self._blow.fails:
            raise Killed
        self._blow = None
        raise failure("it does not", code="model")


class FusedCatalog(Catalog):
    """A real catalog."""

    def __init__(self, catalog: Catalog, fuse: Fuse) -> None:
        super().__init__(catalog.engine)
        self._fuse = fuse
        self.begun = 0

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        if not self._fuse.is_near:
            with super().transaction() as tx:
                yield tx
            return
        self._fuse.burn(Unreachable)
        self.begun += 1
        self._fuse.open += 1
        try:
            with super().transaction() as tx:
                yield tx
        finally:
            self._fuse.open -= 1
        self._fuse.burn(Unreachable)


class FusedStorage(MemoryStorage):
    """Knows which of its objects were damaged and not stored again since."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._fuse = fuse
        self.damaged: set[str] = set()
        self.version = 0

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        self._fuse.burn(Unreachable)
        super().put(key, body, create_only=create_only)
        self.damaged.discard(key)
        self.version += 1
        self._fuse.burn(Unreachable)

    def get(self, key: str, *, start: int = 0, length: int | None = None, sha256: str | None = None) -> bytes:
        self._fuse.burn(Unreachable)
        return super().get(key, start=start, length=length, sha256=sha256)

    def delete(self, key: str) -> None:
        self._fuse.burn(Unreachable)
        super().delete(key)
        self.damaged.discard(key)
        self.version += 1
        self._fuse.burn(Unreachable)

    def keys(self, prefix: str) -> list[str]:
        return [stat.key for stat in self.list(prefix)]

    def damage(self, key: str, *, lose: bool) -> None:
        """One bit of it flips, or all of it goes."""
        if lose:
            super().delete(key)
        else:
            body = bytearray(super().get(key))
            body[len(body) // 2] ^= 1
            super().put(key, body)
        self.damaged.add(key)
        self.version += 1

    def stat(self, key: str) -> Stat:
        return super().head(key)
