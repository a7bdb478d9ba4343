"""Leases kept alive from a thread, and judged in the working thread before each side effect.

The row's epoch fences writes into the catalog. What it cannot stop is an act elsewhere by a worker that
was paused and wakes up late: hence `check`, which goes by the monotonic clock and refuses once two
thirds of the lease have passed without a renewal, well before anybody else may take over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Self

import structlog

from shared.domain.meters import NO_METERS, Meters
from shared.errors import Permanent, SnapfleetError, Transient

log = structlog.get_logger(__name__)


class LeaseLost(Transient):
    """Somebody else may be at it by now: stop, touch nothing, say nothing."""

    default_code = "lease_lost"


class Stopped(Permanent):
    """The job is cancelled, or its deadline has passed: stop in good order."""

    default_code = "cancelled"


class Lease:
    """A renewal loop. `renew` raises LeaseLost when refused, and Stopped when the work should end.

    `taken_at` is the monotonic time just before the lease was asked for.
    """

    def __init__(
        self,
        renew: Callable[[], None],
        *,
        ttl: timedelta,
        taken_at: float,
        meters: Meters = NO_METERS,
    ) -> None:
        self._renew = renew
        self._meters = meters
        self._ttl_seconds = ttl.total_seconds()
        self._renewed_at = taken_at
        self._verdict: SnapfleetError | None = None
        self._ended = threading.Event()
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._changed.set()
        self._thread.join()

    def check(self) -> None:
        """Return only if the lease is surely ours and the work is still wanted."""
        if self._verdict is not None:
            raise self._verdict
        if time.monotonic() - self._renewed_at > self._ttl_seconds * 2 / 3:
            raise LeaseLost("the lease was not renewed in time")

    def nudge(self) -> None:
        """Renew soon: there is news to carry along. At most once a second."""
        self._changed.set()

    def _run(self) -> None:
        period = self._ttl_seconds / 4
        while not self._ended.is_set():
            began = time.monotonic()
            self._changed.wait(period)
            self._changed.clear()
            if self._ended.wait(max(0.0, min(1.0, period) - (time.monotonic() - began))):
                return
            asked_at = time.monotonic()
            try:
                self._renew()
            except (LeaseLost, Stopped) as verdict:
                self._verdict = verdict
                lost = isinstance(verdict, LeaseLost)
                self._meters.lease_renewed("lost" if lost else "renewed", seconds=time.monotonic() - asked_at)
                return
            except SnapfleetError as exc:
                # Not refused, only not heard: `check` says when it is too late.
                log.warning("lease_renewal_failed", code=exc.code)
                self._meters.lease_renewed("failed", seconds=time.monotonic() - asked_at)
                self._changed.set()
                continue
            self._renewed_at = asked_at
            self._meters.lease_renewed("renewed", seconds=time.monotonic() - asked_at)
