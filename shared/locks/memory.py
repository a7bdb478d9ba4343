"""Locks within one process, on a clock of the caller's: the twin of those in Redis."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Lock

from shared.locks.base import require_lasting, supersedes


class MemoryLocks:
    """Keeps the contract of Locks among the threads of one process. `clock` counts seconds, forwards."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._guard = Lock()
        self._held: dict[str, tuple[str, float]] = {}

    def acquire(self, name: str, *, token: str, ttl: timedelta) -> str | None:
        require_lasting(ttl)
        with self._guard:
            holder = self._holder(name)
            if holder is not None and holder != token and not supersedes(token, holder):
                return holder
            self._held[name] = (token, self._clock() + ttl.total_seconds())
            return None

    def renew(self, name: str, *, token: str, ttl: timedelta) -> bool:
        return self.acquire(name, token=token, ttl=ttl) is None

    def release(self, name: str, *, token: str) -> None:
        with self._guard:
            if self._holder(name) == token:
                del self._held[name]

    def holder(self, name: str) -> str | None:
        with self._guard:
            return self._holder(name)

    def refuse_eviction(self) -> None:
        """Never: a dict keeps what it was given."""

    def _holder(self, name: str) -> str | None:
        token, until = self._held.get(name, (None, 0.0))
        return token if self._clock() < until else None
