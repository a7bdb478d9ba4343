"""A lease that is renewed keeps its work going; one that is refused, silent or told to stop ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.errors import Unreachable
from shared.operations.jobs.lease import Lease, LeaseLost, Stopped

TTL = timedelta(seconds=0.6)
DEADLINE_SECONDS = 10.0


def wait_for_error(lease: Lease, kind: type[Exception]) -> None:
    """Poll until the lease raises."""
    give_up_at = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < give_up_at:
        try:
            lease.check()
        except kind:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"no {kind.__name__} within {DEADLINE_SECONDS} s")


def leased(renew: Callable[[], None], *, taken_at: float | None = None) -> Lease:
    return Lease(renew, ttl=TTL, taken_at=time.monotonic() if taken_at is None else taken_at)


def test_a_renewed_lease_outlives_its_first_term() -> None:
    renewals = threading.Semaphore(0)
    with leased(renewals.release) as lease:
        for _ in range(8):
            assert renewals.acquire(timeout=DEADLINE_SECONDS)
        lease.check()


def test_a_refused_renewal_stops_the_work_at_once() -> None:
    def refuse() -> None:
        raise LeaseLost("superseded")

    with leased(refuse) as lease:
        wait_for_error(lease, LeaseLost)


def test_a_cancelled_job_is_told_so() -> None:
    def cancel() -> None:
        raise Stopped("cancelled by request")

    with leased(cancel) as lease:
        wait_for_error(lease, Stopped)


def test_renewals_that_are_not_heard_end_the_work_before_the_lease_ends() -> None:
    """The catalog is away: nobody refuses, but nobody else may be fenced out by us either."""

    def unheard() -> None:
        raise Unreachable("the catalog does not answer")

    with leased(unheard) as lease:
        lease.check()
        wait_for_error(lease, LeaseLost)


def test_a_worker_that_slept_through_its_lease_does_not_act() -> None:
    """The thread has not had a turn yet: the working thread finds out by the clock alone."""
    slept = Lease(lambda: None, ttl=TTL, taken_at=time.monotonic() - TTL.total_seconds())
    with pytest.raises(LeaseLost):
        slept.check()


def test_a_lease_ends_its_thread() -> None:
    before = threading.active_count()
    with leased(lambda: None):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
