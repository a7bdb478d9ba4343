"""Death at any moment: the catalog, the storage and the server of the model, each act of which may be the last.

    burn ─► the act ─► burn        killed before it, or after it and before anybody heard of it

What a SIGKILL leaves is what was done until then. So `Killed` is no Exception, which a step would catch and
write down as its failure; and once the fuse has blown nothing more can be done until it is replaced, by no
`finally` either.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from shared.catalog.catalog import Catalog, Transaction
from shared.storage.base import Stat
from shared.storage.memory import MemoryStorage


class Killed(BaseException):
    """The process is gone. Nothing of it runs any more."""


class Fuse:
    """Blows after so many burns; never, if none is set."""

    def __init__(self) -> None:
        self._left: int | None = None

    def set(self, burns: int | None) -> None:
        self._left = burns

    def burn(self) -> None:
        if self._left is None:
            return
        if self._left <= 0:
            raise Killed
        self._left -= 1


class FusedCatalog(Catalog):
    """A real catalog."""

    def __init__(self, catalog: Catalog, fuse: Fuse) -> None:
        super().__init__(catalog.engine)
        self._fuse = fuse
        self.begun = 0

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        self._fuse.burn()
        self.begun += 1
        with super().transaction() as tx:
            yield tx
        self._fuse.burn()


class FusedStorage(MemoryStorage):
    """Knows which of its objects were damaged and not stored again since."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._fuse = fuse
        self.damaged: set[str] = set()
        self.version = 0

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        self._fuse.burn()
        super().put(key, body, create_only=create_only)
        self.damaged.discard(key)
        self.version += 1
        self._fuse.burn()

    def get(self, key: str, *, start: int = 0, length: int | None = None, sha256: str | None = None) -> bytes:
        self._fuse.burn()
        return super().get(key, start=start, length=length, sha256=sha256)

    def delete(self, key: str) -> None:
        self._fuse.burn()
        super().delete(key)
        self.damaged.discard(key)
        self.version += 1
        self._fuse.burn()

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
