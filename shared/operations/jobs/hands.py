"""Lead and hands: several workers take the parts of one copy or load, one after another.

    part rows:  new ──► taken (own lease) ──► done
                 ▲          │ lease ran out: its worker died
                 └──────────┘

The lead never waits for a hand that may not come: alone it does every part itself. What it waits for at
the end are parts that a hand has taken and is still renewing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from shared import failpoints
from shared.catalog.parts import TakenPart
from shared.domain.job import Job
from shared.errors import Unreachable
from shared.operations.fleet import Fleet
from shared.operations.jobs.lease import Lease, LeaseLost
from shared.operations.jobs.saga import StepRun, new_owner

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.05
MOST_SECONDS = 1.0
"""Between two looks of a hand that has waited long: the lead looks oftener, and does what it finds."""


class Meter:
    """How far the part in hand is; read by the thread that renews its lease."""

    def __init__(self) -> None:
        self.done_bytes = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRun:
    """One part in hand: `check` before each side effect, the meter for progress."""

    taken: TakenPart
    check: Callable[[], None]
    meter: Meter


class Work(Protocol):
    """Does one part; answers what to keep of it. May be called for a part that was half done."""

    def __call__(self, part: PartRun) -> Mapping[str, Any]: ...


def call_hands(run: StepRun) -> None:
    """Ask as many more workers as the database's parallelism allows; alone is fine too."""
    count = run.database.parallelism - 1
    if count > 0:
        try:
            run.fleet.doorbell.ring_hands(run.job, count)
        except Unreachable as exc:
            log.warning("hands_not_called", code=exc.code)


def lead(run: StepRun, work: Work) -> None:
    """Do parts until every one is done, by whomever."""
    owner, step = new_owner(run.fleet), str(run.job.step)
    while True:
        run.check()
        if take_one(run.fleet, run.job.id, run.job.epoch, step=step, owner=owner, work=work, check=run.check):
            run.report()
            continue
        with run.fleet.catalog.transaction() as tx:
            if tx.parts.progress(run.job.id).is_complete:
                return
        time.sleep(POLL_SECONDS)


def help_out(fleet: Fleet, job: Job, work: Work) -> int:
    """A hand: do parts while there are any, or will be; how many were done."""
    owner, step = new_owner(fleet), str(job.step)
    done, wait = 0, POLL_SECONDS
    while True:
        if take_one(fleet, job.id, job.epoch, step=step, owner=owner, work=work, check=lambda: None):
            done, wait = done + 1, POLL_SECONDS
            continue
        with fleet.catalog.transaction() as tx:
            if not tx.parts.has_waiting(job.id, epoch=job.epoch):
                return done
        time.sleep(wait)
        wait = min(2 * wait, MOST_SECONDS)


def take_one(
    fleet: Fleet,
    job_id: str,
    epoch: int,
    *,
    step: str,
    owner: str,
    work: Work,
    check: Callable[[], None],
) -> bool:
    """Take the next free part and do it; False when none is free.

    What `work` raises is raised here, and the part is free again for the others.
    """
    taken_at = time.monotonic()
    with fleet.catalog.transaction() as tx:
        taken = tx.parts.take(job_id, epoch=epoch, owner=owner, ttl=fleet.lease)
    if taken is None:
        return False
    meter = Meter()
    try:
        with kept(fleet, job_id, epoch, taken.number, owner, meter, taken_at) as part_lease:

            def check_both() -> None:
                check()
                part_lease.check()

            failpoints.reach("part.taken")
            result = work(PartRun(taken=taken, check=check_both, meter=meter))
            failpoints.reach("part.worked")
            check_both()
        hand_in(fleet, job_id, epoch, taken.number, owner, meter.done_bytes, result)
        fleet.meters.part_done(step, raw_bytes=meter.done_bytes, seconds=time.monotonic() - taken_at)
        failpoints.reach("part.handed_in")
    except Exception:
        with fleet.catalog.transaction() as tx:
            tx.parts.give_back(job_id, epoch=epoch, number=taken.number, owner=owner)
        raise
    return True


def hand_in(  # noqa: PLR0917 - one caller, and each of these is a plain fact about the part
    fleet: Fleet,
    job_id: str,
    epoch: int,
    number: int,
    owner: str,
    done_bytes: int,
    result: Mapping[str, Any],
) -> None:
    with fleet.catalog.transaction() as tx:
        if not tx.parts.finish(
            job_id, epoch=epoch, number=number, owner=owner, done_bytes=done_bytes, result=result
        ):
            raise LeaseLost("superseded")


@contextmanager
def kept(  # noqa: PLR0917 - one caller, and each of these is a plain fact about the part
    fleet: Fleet, job_id: str, epoch: int, number: int, owner: str, meter: Meter, taken_at: float
) -> Generator[Lease]:
    def renew() -> None:
        with fleet.catalog.transaction() as tx:
            ours = tx.parts.renew(
                job_id,
                epoch=epoch,
                number=number,
                owner=owner,
                ttl=fleet.lease,
                done_bytes=meter.done_bytes,
            )
        if not ours:
            raise LeaseLost("the part is somebody else's now")
        lease.nudge()

    lease = Lease(renew, ttl=fleet.lease, taken_at=taken_at, meters=fleet.meters)
    with lease:
        yield lease
