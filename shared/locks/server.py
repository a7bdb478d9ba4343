"""The Redis server itself: what it is, and whether it lets us do what the fleet does with it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.retry import Retry

from shared.errors import Refused, Unreachable

TRIAL = "snap:doctor:"
TRIAL_LASTS = timedelta(seconds=60)
RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`max_bytes` is None where no limit is set; `host` is empty for a socket of this machine."""

    version: str
    policy: str
    persistent: bool
    used_bytes: int
    max_bytes: int | None
    is_replica: bool
    host: str
    is_open: bool
    """Whether it was asked without any password."""


class Server:
    """One Redis, as the user in its URL sees it. Connects when it is first asked."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    @classmethod
    def connect(cls, url: str, *, patience: timedelta = timedelta(seconds=2)) -> Server:
        seconds = patience.total_seconds()
        retry = Retry(NoBackoff(), 1)
        return cls(Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=retry))

    def facts(self) -> Facts:
        """Raises Unreachable, or Refused: `redis_wrong_password`, `redis_rights`."""
        with asked("info"):
            said = self._client.info()
        given = self._client.get_connection_kwargs()
        return Facts(
            version=str(said.get("valkey_version") or said.get("redis_version", "")),
            policy=str(said.get("maxmemory_policy", "noeviction")),
            persistent=bool(said.get("aof_enabled", 0)),
            used_bytes=int(said.get("used_memory", 0)),
            max_bytes=int(said.get("maxmemory", 0)) or None,
            is_replica=said.get("role") == "slave",
            host=str(given.get("host") or ""),
            is_open=not given.get("password"),
        )

    def refuse_rights(self, trial_id: str) -> None:
        """Do once what a worker does with locks and queues, under keys of its own that are gone afterwards.

        Refused(`redis_rights`) names the command that is not allowed; `redis_read_only`, `redis_full`.
        """
        lock, queue = (f"{TRIAL}{kind}:{trial_id}" for kind in ("lock", "queue"))
        lasts = int(TRIAL_LASTS.total_seconds())
        acts: tuple[tuple[str, Callable[[], object]], ...] = (
            ("set", lambda: self._client.set(lock, trial_id, nx=True, ex=lasts)),
            ("eval", lambda: self._client.eval(RELEASE, 1, lock, trial_id)),
            ("lpush", lambda: self._client.lpush(queue, trial_id)),
            ("brpop", lambda: self._client.brpop([queue], timeout=1)),
            ("del", lambda: self._client.delete(lock, queue)),
        )
        for command, act in acts:
            with asked(command):
                act()

    def close(self) -> None:
        self._client.close()


@contextmanager
def asked(command: str) -> Generator[None]:
    """Turn redis-py's errors into ours, the cause kept."""
    try:
        yield
    except NoPermissionError as exc:
        raise Refused(
            f"the user in REDIS_URL may not do {command.upper()} on our keys",
            code="redis_rights",
            hint="give it the rights of the user `worker` in deploy/redis/users.acl, or run this as that user",
        ) from exc
    except (AuthenticationError, AuthorizationError) as exc:
        raise Refused(
            "Redis refuses the user or the password in REDIS_URL",
            code="redis_wrong_password",
            hint="correct REDIS_URL; with ACL users it is redis://USER:PASSWORD@HOST",
        ) from exc
    except ReadOnlyError as exc:
        raise Refused(
            "this Redis is a replica, and takes no writes",
            code="redis_read_only",
            hint="name the primary in REDIS_URL, or what always leads to it",
        ) from exc
    except OutOfMemoryError as exc:
        raise Refused(
            "the memory of Redis is full, and it takes no writes",
            code="redis_full",
            hint="raise maxmemory, or find out which queue grows: snapfleet databases, docs/scaling.md",
        ) from exc
    except RedisError as exc:
        raise Unreachable(
            f"Redis does not answer: {type(exc).__name__}",
            code="redis_unreachable",
            hint="check that it runs and what REDIS_URL says",
        ) from exc
