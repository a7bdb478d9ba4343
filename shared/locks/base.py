"""The contract of the lock that a job takes on a database.

It refuses early and shows who works. It is not what keeps two jobs apart: a lock with a time to live
cannot do that alone, the epoch in the job's row does. So it may be lost at any moment, and whoever
holds it must be able to go on without it.

A token is `job:epoch`. The epoch of a job grows each time it is given to another worker, and a token
of the same job with a lower epoch is superseded: it gives way, and never comes back over a higher one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

SHORTEST = timedelta(milliseconds=1)


class Locks(Protocol):
    """Named locks that end by themselves. Each method raises Unreachable if the server cannot be asked.

    After Unreachable anything may have happened; asking again with the same token settles it. A `ttl`
    under a millisecond is a ValueError: it would be a lock that never ends, or never begins.
    """

    def acquire(self, name: str, *, token: str, ttl: timedelta) -> str | None:
        """Take the lock for `ttl`, without waiting. None if it is ours, else the token of the holder.

        It is ours too if it was ours before (the time starts anew), or if the holder is superseded by
        us. Of two who ask at once one gets it.
        """

    def renew(self, name: str, *, token: str, ttl: timedelta) -> bool:
        """Hold it for `ttl` from now. A lock that has vanished is taken again unless somebody else has it."""

    def release(self, name: str, *, token: str) -> None:
        """Let go of it if it is still ours; do nothing to anybody else's. May be repeated."""

    def holder(self, name: str) -> str | None:
        """The token that holds it now, or None."""

    def refuse_eviction(self) -> None:
        """Misconfigured where the server throws keys away when its memory is full: messages are keys too.

        Refused where it does not let us ask: `redis_wrong_password`, `redis_rights`.
        """


def supersedes(token: str, holder: str) -> bool:
    """Whether both are of one job, and `token` of a later epoch."""
    job, _, epoch = token.rpartition(":")
    held_job, _, held_epoch = holder.rpartition(":")
    if not job or job != held_job or not _is_epoch(epoch) or not _is_epoch(held_epoch):
        return False
    return int(epoch) > int(held_epoch)


def require_lasting(ttl: timedelta) -> None:
    """ValueError unless `ttl` is at least a millisecond."""
    if ttl < SHORTEST:
        raise ValueError(f"a lock cannot be held for {ttl}")


def _is_epoch(text: str) -> bool:
    return text.isascii() and text.isdecimal()
