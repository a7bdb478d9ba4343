"""How often one token may ask, and how often one address may try tokens that are none.

    request ─► address guesses too often, and this secret was never right: 429 ─► authenticate ─► 429 or on
                                                   └─ refused: counted against the address

Counted in this process alone, in memory: with n processes behind one address n times as much gets through, and a
new process begins at nothing. A limit is here so that one client cannot take the service from all others; what
256 random bits need no protection from is guessing.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections.abc import Callable

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from shared.domain import tokens
from shared.domain.access import Principal
from shared.errors import Busy, Refused

REQUESTS_PER_MINUTE = 6_000
FAILURES_PER_MINUTE = 60
HOUR_SECONDS = 3600.0
MOST_KNOWN = 10_000


class TooMany(Busy):
    """429. `retry_after_seconds` is when the next request may be granted."""

    default_code = "rate_limited"

    def __init__(self, message: str, *, retry_after_seconds: int, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class Counter:
    """One limit for each of many names: so many in any minute, approximately, in two numbers a name."""

    def __init__(self, per_minute: int) -> None:
        self._item = RateLimitItemPerMinute(per_minute)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        # The library's own locks are one a name, and are thrown away in between.
        self._lock = threading.Lock()

    def count(self, name: str) -> bool:
        """False where that was one too many; it is not counted then."""
        with self._lock:
            return self._limiter.hit(self._item, name)

    def is_full(self, name: str) -> bool:
        with self._lock:
            return not self._limiter.test(self._item, name)

    def retry_after_seconds(self, name: str) -> int:
        with self._lock:
            left = self._limiter.get_window_stats(self._item, name).reset_time - time.time()
        return max(1, math.ceil(left))


class Rates:
    """The limits of one process."""

    def __init__(
        self,
        *,
        requests_per_minute: int = REQUESTS_PER_MINUTE,
        failures_per_minute: int = FAILURES_PER_MINUTE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests = Counter(requests_per_minute)
        self._failures = Counter(failures_per_minute)
        self._monotonic = monotonic
        self._right: dict[str, float] = {}
        """When the secret with this hash was right last: whoever has one is not locked out by his neighbours."""

    def authenticated(
        self, authenticate: Callable[[str], Principal], secret: str, *, address: str
    ) -> Principal:
        """Whom the secret stands for. TooMany for one who asks too often; raises what `authenticate` raises."""
        source, digest = network(address), tokens.digest(secret)
        if not self._was_right(digest):
            self.refuse_guessing(address)
        try:
            principal = authenticate(secret)
        except Refused:
            self._right.pop(digest, None)
            self._failures.count(source)
            raise
        self._remember(digest)
        self.spend(principal.name)
        return principal

    def refuse_guessing(self, address: str) -> None:
        """TooMany where an address has failed too often."""
        source = network(address)
        if self._failures.is_full(source):
            raise TooMany(
                "too many requests of this address were refused",
                retry_after_seconds=self._failures.retry_after_seconds(source),
                hint="wait, and look at the token",
            )

    def spend(self, name: str) -> None:
        """Count one request. TooMany where that is one too many."""
        if not self._requests.count(name):
            raise TooMany(
                "this token asks too often",
                retry_after_seconds=self._requests.retry_after_seconds(name),
                hint="wait as long as Retry-After says; many jobs are followed by one stream of events",
            )

    def _was_right(self, digest: str) -> bool:
        seen = self._right.get(digest)
        return seen is not None and self._monotonic() - seen < HOUR_SECONDS

    def _remember(self, digest: str) -> None:
        if len(self._right) >= MOST_KNOWN:
            self._right.clear()
        self._right[digest] = self._monotonic()


def network(address: str) -> str:
    """What one client can be taken to have: one IPv4 address, or 64 bits of IPv6 ones."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
