"""Whether this machine's clock can be trusted: what a worker asks before it takes its first message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from shared.errors import Misconfigured
from shared.operations.fleet import Fleet

MOST_SKEW = timedelta(seconds=5)


def refuse_skew(fleet: Fleet, *, clock: Callable[[], datetime]) -> None:
    """Misconfigured where the clock is further than 5 s from the catalog server's.

    Leases and slots go by the catalog's clock alone. But Redis's messages are taken from a worker that is
    alive by one whose clock runs ahead, and S3 refuses what is signed at another time than its own.
    """
    before = clock()
    with fleet.catalog.transaction() as tx:
        theirs = tx.jobs.now()
    after = clock()
    skew = max(before - theirs, theirs - after)
    if skew > MOST_SKEW:
        how = "ahead of" if before > theirs else "behind"
        raise Misconfigured(
            f"this machine's clock is {skew.total_seconds():.0f} s {how} the catalog server's",
            code="clock_skewed",
            hint="set both by NTP: chronyc tracking, timedatectl",
        )
