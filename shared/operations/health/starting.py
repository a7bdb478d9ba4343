"""What a process of the fleet asks before its first message: whatever is refused here would fail later, at night."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog

from shared.catalog.revision import check_migrated
from shared.errors import Unreachable
from shared.operations.fleet import Fleet
from shared.operations.health import clock

log = structlog.get_logger(__name__)


def refuse_unfit(fleet: Fleet, *, now: Callable[[], datetime]) -> None:
    """Misconfigured for a catalog that is not migrated, a skewed clock, a Redis that evicts; Refused where Redis
    lets us not ask. A Redis that is away is waited for: a process may be up before it is.
    """
    check_migrated(fleet.catalog)
    clock.refuse_skew(fleet, clock=now)
    try:
        fleet.locks.refuse_eviction()
    except Unreachable as exc:
        log.warning("redis_not_looked_at", code=exc.code)


def refuse_stale_messages(fleet: Fleet, *, now: Callable[[], datetime]) -> None:
    """For beat, which needs no catalog: a message carries the time at which it is stale, by the clock of its
    sender. With one that goes a minute slow nothing that beat sends would ever be run.
    """
    try:
        clock.refuse_skew(fleet, clock=now)
    except Unreachable as exc:
        log.warning("clock_not_compared", code=exc.code)
