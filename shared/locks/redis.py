"""Locks in Redis, one key each, on redis-py's own Lock.

snap:lock:<name>  =  <job>:<epoch>      ends by itself (PX)
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import timedelta

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, LockNotOwnedError, NoPermissionError, RedisError
from redis.lock import Lock
from redis.retry import Retry

from shared.errors import Misconfigured, Refused, Unreachable
from shared.locks.base import require_lasting, supersedes

PREFIX = "snap:lock:"
KEEPS_ALL = "noeviction"


class RedisLocks:
    """Keeps the contract of Locks among all processes that use one Redis."""

    def __init__(self, *, client: Redis) -> None:
        self._client = client

    @classmethod
    def connect(cls, url: str, *, patience: timedelta = timedelta(seconds=2)) -> RedisLocks:
        """Locks in the server of `url`, which is first asked when a lock is.

        Who asks for a lock would rather work without one than wait: each reply is waited for no longer
        than `patience`, and asked for again once, which is what a connection that the server has closed
        in the meantime needs.
        """
        seconds = patience.total_seconds()
        retry = Retry(NoBackoff(), 1)
        return cls(
            client=Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=retry)
        )

    def acquire(self, name: str, *, token: str, ttl: timedelta) -> str | None:
        require_lasting(ttl)
        with _translated():
            while True:  # each turn but the last means that somebody else got somewhere
                if self._lock(name, token, ttl).acquire(blocking=False, token=token):
                    return None
                holder = self._holder(name)
                if holder == token:  # ours before, or ours just now and the reply was lost
                    if self._reacquire(name, token, ttl):
                        return None
                elif holder is not None:
                    if not supersedes(token, holder):
                        return holder
                    self._release(name, holder)

    def renew(self, name: str, *, token: str, ttl: timedelta) -> bool:
        require_lasting(ttl)
        with _translated():
            if self._reacquire(name, token, ttl):
                return True
        return self.acquire(name, token=token, ttl=ttl) is None

    def release(self, name: str, *, token: str) -> None:
        with _translated():
            self._release(name, token)

    def holder(self, name: str) -> str | None:
        with _translated():
            return self._holder(name)

    def refuse_eviction(self) -> None:
        with _translated():
            try:
                policy = str(self._client.info("memory").get("maxmemory_policy", KEEPS_ALL))
            except AuthenticationError as exc:
                raise Refused(
                    "Redis refuses the user or the password in REDIS_URL",
                    code="redis_wrong_password",
                    hint="correct REDIS_URL; with ACL users it is redis://USER:PASSWORD@HOST",
                ) from exc
            except NoPermissionError as exc:
                raise Refused(
                    "the user in REDIS_URL may not ask Redis whether it throws keys away",
                    code="redis_rights",
                    hint="give it that right: acl setuser USER +info",
                ) from exc
        if policy != KEEPS_ALL:
            raise Misconfigured(
                f"Redis throws keys away when its memory is full (maxmemory-policy {policy}), messages too",
                code="redis_evicts",
                hint=f"give the fleet a Redis of its own with maxmemory-policy {KEEPS_ALL}",
            )

    def _holder(self, name: str) -> str | None:
        value = self._client.get(PREFIX + name)
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def _reacquire(self, name: str, token: str, ttl: timedelta) -> bool:
        with suppress(LockNotOwnedError):
            return self._lock(name, token, ttl).reacquire()
        return False

    def _release(self, name: str, token: str) -> None:
        with suppress(LockNotOwnedError):
            self._lock(name, token).release()

    def _lock(self, name: str, token: str, ttl: timedelta | None = None) -> Lock:
        """redis-py's Lock as the holder of `token` has it.

        Not thread-local: it is renewed from another thread than the one that took it.
        """
        timeout = None if ttl is None else ttl.total_seconds()
        lock = Lock(self._client, PREFIX + name, timeout=timeout, thread_local=False)
        lock.local.token = token.encode()
        return lock


@contextmanager
def _translated() -> Generator[None]:
    """Turn redis-py's errors into ours, the cause kept."""
    try:
        yield
    except RedisError as exc:
        raise Unreachable(
            f"Redis does not serve locks: {type(exc).__name__}",
            code="redis_unreachable",
            hint="check that it runs and what REDIS_URL says",
        ) from exc
