"""Run a job's steps, forward and back, under its lease. The only place that drives the job protocol.

    claim ─► mark doing ─► do ─► finish      (what the step recorded, `done`, and next_seq: one commit)
                            └──► release     (again later, or turn round)

A step that finds its lease gone stops without a word: whoever took over decides.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from shared import failpoints
from shared.catalog.catalog import Transaction
from shared.catalog.jobs import Claim
from shared.catalog.parts import PartsProgress
from shared.domain import events, wording
from shared.domain.database import Database
from shared.domain.job import LANES, SAGAS, Job, JobKind, JobState, Lane, Step, StepState
from shared.errors import Permanent, SnapfleetError, Transient, Unreachable
from shared.operations.fleet import Fleet
from shared.operations.jobs import dispatch
from shared.operations.jobs.lease import Lease, LeaseLost, Stopped
from shared.operations.trust import auditing, standing

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a step hands in: facts for the job's result, and what to write in the same commit."""

    result: Mapping[str, Any] = field(default_factory=dict)
    record: Callable[[Transaction], None] | None = None


class StartOver(Exception):
    """Raised by a step that cannot go on from what a dead worker left: begin again at `step`."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step


class Told(Exception):
    """Ends a message whose failure is written down and logged already: nothing is left to be said of it."""


class StepRun:
    """One run of one step: what its `do` or `undo` may use."""

    def __init__(self, fleet: Fleet, claim: Claim, *, resumed: bool) -> None:
        self.fleet = fleet
        self.claim = claim
        self.job: Job = claim.job
        self.resumed = resumed
        """A former worker died in this very step."""
        self.database: Database = fleet.database(claim.job.database)
        self._progress: dict[str, Any] = {}
        self._lease: Lease | None = None
        self.tell: Tell | None = None
        """Who likes to hear in words how far it is. Must not wait: the thread that renews the lease calls it."""
        self._told_at = -TELL_EVERY_SECONDS

    @property
    def name(self) -> str:
        """For pg_stat_activity: every backend of ours says whose it is."""
        return f"snapfleet:{self.job.id[:13]}:{self.job.epoch}"

    def check(self) -> None:
        """Call before each side effect. Raises LeaseLost or Stopped."""
        if self._lease is not None:
            self._lease.check()

    def report(self, **progress: Any) -> None:
        """Progress for people; carried by the next renewal."""
        self._progress.update(progress)
        if self._lease is not None:
            self._lease.nudge()

    def record(self, **data: Any) -> None:
        """Keep, before the side effect, what undoing it would need. Raises LeaseLost."""
        with self.fleet.catalog.singly() as tx:
            if not tx.jobs.record(self.claim, data):
                raise LeaseLost("superseded")

    @contextmanager
    def fenced(self) -> Generator[Transaction]:
        """A transaction that commits nothing of a superseded worker's. Raises LeaseLost.

        The job's row is locked first: whoever wants to take the job over waits for the end of this.
        """
        with self.fleet.catalog.transaction() as tx:
            if not tx.jobs.fence(self.claim):
                raise LeaseLost("superseded")
            yield tx

    def data(self, step: str) -> Mapping[str, Any]:
        """What a step of this job has recorded."""
        with self.fleet.catalog.singly() as tx:
            return tx.jobs.step(self.job.id, SAGAS[self.job.kind].steps.index(step) + 1).data

    def _is_worth_telling(self) -> bool:
        return self.tell is not None and time.monotonic() - self._told_at >= TELL_EVERY_SECONDS

    def _tell(self, parts: PartsProgress) -> None:
        """How far it is, to whoever looks on: often enough to be looked at, and no oftener."""
        text = wording.progress(
            done_parts=parts.done,
            parts=parts.total,
            done_bytes=parts.done_bytes + int(self._progress.get("archive_bytes", 0)),
            expected_bytes=parts.expected_bytes,
        )
        if text and self.tell is not None:
            self._told_at = time.monotonic()
            self.tell(text)

    @contextmanager
    def leased(self, taken_at: float) -> Generator[None]:
        token = f"{self.job.id}:{self.job.epoch}"
        ttl = self.fleet.lease
        lock = DatabaseLock(self.fleet, lock_name(self.job), token)

        def renew() -> None:
            with self.fleet.catalog.transaction() as tx:
                renewal = tx.jobs.renew(self.claim, ttl=ttl, progress=self._progress or None)
                parts = tx.parts.progress(self.job.id) if self._is_worth_telling() else None
            if renewal is None:
                raise LeaseLost("superseded")
            if parts is not None:
                self._tell(parts)
            lock.renew()
            # A rollback goes on to its end, whatever its deadline.
            if self.job.state is JobState.ACTIVE:
                if renewal.cancel_requested:
                    raise Stopped("cancelled by request", code="cancelled")
                if renewal.overdue:
                    raise Stopped("the job did not end before its deadline", code="deadline_passed")

        lock.take()
        try:
            with Lease(renew, ttl=ttl, taken_at=taken_at, meters=self.fleet.meters) as lease:
                self._lease = lease
                yield
        finally:
            lock.release()


def lock_name(job: Job) -> str:
    return lock_of(job.database, LANES[job.kind])


def lock_of(database: str, lane: Lane) -> str:
    """The database, and beside it each lane whose jobs leave the others alone."""
    return database if lane is Lane.CHANGES else f"{database}:{lane}"


class DatabaseLock:
    """The Redis lock of a database: shows who works on it. The row decides, whatever Redis says."""

    def __init__(self, fleet: Fleet, name: str, token: str) -> None:
        self._fleet = fleet
        self._name = name
        self._token = token

    def take(self) -> None:
        with self._heard():
            holder = self._fleet.locks.acquire(self._name, token=self._token, ttl=self._fleet.lease)
            if holder is not None:
                log.warning("lock_held_by_another", holder=holder)

    def renew(self) -> None:
        with self._heard():
            if not self._fleet.locks.renew(self._name, token=self._token, ttl=self._fleet.lease):
                log.warning("lock_lost")

    def release(self) -> None:
        with self._heard():
            self._fleet.locks.release(self._name, token=self._token)

    @contextmanager
    def _heard(self) -> Generator[None]:
        try:
            yield
        except Unreachable as exc:
            log.warning("lock_unreachable", code=exc.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepActions:
    """What a step does, and how it is taken back. Both cope with "maybe it happened already"."""

    do: Callable[[StepRun], Outcome]
    undo: Callable[[StepRun], None] | None = None


Steps = Mapping[tuple[JobKind, str], StepActions]

Tell = Callable[[str], None]
TELL_EVERY_SECONDS = 10.0

OUTCOMES: Mapping[JobState | None, str] = {None: "superseded", JobState.ROLLING_BACK: "failed"}
"""How a step that raised has ended, by what became of its job."""


def run_step(
    steps: Steps, job_id: str, *, epoch: int, seq: int, fleet: Fleet, tell: Tell | None = None
) -> bool:
    """Run one step if it is this message's turn; False where it was not, and nothing must follow.

    Raises Told when the job turns round, so that the message's errback undoes it.
    """
    taken_at = time.monotonic()
    with fleet.catalog.transaction() as tx:
        claim = tx.jobs.claim(job_id, epoch=epoch, seq=seq, owner=new_owner(fleet), ttl=fleet.lease)
        if claim is None:
            log.info("step_refused", job=job_id, epoch=epoch, seq=seq)
            return False
        before = tx.jobs.begin_step(claim)
        resumed = before is StepState.DOING
        # In here: a worker that does not know this database leaves the claim to one that does.
        run = StepRun(fleet, claim, resumed=resumed)
        run.tell = tell
        if seq == 1 and before is StepState.NEW:  # and not when it starts over
            event(tx, claim.job, "started")
    name = SAGAS[claim.job.kind].steps[seq - 1]

    def ended(outcome: str) -> None:
        seconds = time.monotonic() - taken_at
        fleet.meters.step_ended(claim.job.kind, name, outcome=outcome, seconds=seconds)

    bound = {"job": job_id, "database": claim.job.database, "step": f"{claim.job.kind}.{name}"}
    with structlog.contextvars.bound_contextvars(**bound):
        log.info("step_started", epoch=epoch, resumed=resumed)
        try:
            with run.leased(taken_at):
                failpoints.reach(f"{claim.job.kind}.{name}:claimed")
                outcome = steps[claim.job.kind, name].do(run)
                failpoints.reach(f"{claim.job.kind}.{name}:done")
                run.check()
                job = finish(run, outcome)
                failpoints.reach(f"{claim.job.kind}.{name}:finished")
        except LeaseLost:
            log.warning("step_superseded", epoch=epoch)
            ended("superseded")
            return False
        except StartOver as start_over:
            go_back(run, start_over.step)
            ended("retried")
            return False
        except SystemExit:
            # The worker is being stopped: another may go on at once, and need not wait for the lease.
            turn(run, Transient("the worker was stopped in the middle", code="worker_stopped"))
            ended("retried")
            raise
        except Exception as exc:
            state = turn(run, exc)
            ended(OUTCOMES.get(state, "retried"))
            if state is JobState.ROLLING_BACK:
                raise Told(name) from exc
            return False
        ended("done")
        log.info("step_finished", seconds=round(time.monotonic() - taken_at, 3))
    return leave(fleet, job)


def leave(fleet: Fleet, job: Job) -> bool:
    """Whether the job's next message has something to do, now that a step has ended."""
    if job.state.is_final:
        dispatch.start_waiting(fleet, job.database)
        standing.keep_after(fleet, job)
    elif job.cancel_requested:
        # It was asked for after the last renewal. No next step is let in, and here is who can turn it round.
        dispatch.reap(fleet, job.id)
        return False
    return True


def finish(run: StepRun, outcome: Outcome) -> Job:
    with run.fleet.catalog.transaction() as tx:
        if outcome.record is not None:
            outcome.record(tx)
        job = tx.jobs.finish(run.claim, result=outcome.result)
        if job is None:
            raise LeaseLost("superseded")
        if job.state.is_final:
            event(tx, job, "succeeded")
            auditing.ended(tx, job, by=auditing.of_worker(run.fleet.owner))
    return job


def go_back(run: StepRun, step: str) -> None:
    seq = SAGAS[run.job.kind].steps.index(step) + 1
    with run.fleet.catalog.transaction() as tx:
        tx.jobs.rewind(run.claim, to_seq=seq)
    log.warning("started_over", at=step)
    dispatch.reap(run.fleet, run.job.id)


def turn(run: StepRun, exc: Exception) -> JobState | None:
    """Write down a failure; the state that the job is in now, or None when it was not ours to say."""
    error = as_error(exc)
    give_up = isinstance(error, Permanent) or not isinstance(error, Transient)
    with run.fleet.catalog.transaction() as tx:
        job = tx.jobs.release(run.claim, error=error.facts(), give_up=give_up)
    if job is None:
        # Whoever took over has cut its session off, most likely: no failure of this job.
        log.warning("step_superseded", epoch=run.job.epoch, code=error.code)
        return None
    say = log.error if error is not exc else log.warning
    # What we raise ourselves says all there is to say; what nobody foresaw is looked for in the code.
    where = exc if error is not exc else None
    say("step_failed", code=error.code, error=error.message, state=job.state, exc_info=where)
    return job.state


def as_error(exc: Exception) -> SnapfleetError:
    if isinstance(exc, SnapfleetError):
        return exc
    # Only the type: an unknown error's text may quote anything.
    return Permanent(
        f"an unexpected {type(exc).__name__}", code="internal", hint="the worker's log has the traceback"
    )


def roll_back(steps: Steps, job_id: str, *, epoch: int, fleet: Fleet) -> bool:
    """Undo every started step, last first; False where it was not this message's turn.

    Never given up: a failure is written down, backed off, and the reaper rings again. Raises Told then.
    """
    taken_at = time.monotonic()
    with fleet.catalog.transaction() as tx:
        claim = tx.jobs.claim_rollback(job_id, epoch=epoch, owner=new_owner(fleet), ttl=fleet.lease)
        if claim is None:
            log.info("rollback_refused", job=job_id, epoch=epoch)
            return False
        started = [s for s in tx.jobs.steps(job_id) if s.state in (StepState.DOING, StepState.DONE)]
        run = StepRun(fleet, claim, resumed=True)
    with structlog.contextvars.bound_contextvars(job=job_id, database=claim.job.database):
        log.warning("rollback_started", epoch=epoch)
        try:
            with run.leased(taken_at):
                failpoints.reach(f"{claim.job.kind}:rollback_claimed")
                for step in sorted(started, key=lambda s: -s.seq):
                    undo_step(steps, run, step)
                job = end_rollback(run)
                failpoints.reach(f"{claim.job.kind}:rollback_ended")
        except LeaseLost:
            log.warning("rollback_superseded", epoch=epoch)
            return False
        except Exception as exc:
            turn(run, exc)
            raise Told("rollback") from exc
        log.warning("rollback_finished", state=job.state)
    dispatch.start_waiting(fleet, job.database)
    return True


def undo_step(steps: Steps, run: StepRun, step: Step) -> None:
    run.check()
    undo = steps[run.job.kind, step.name].undo
    if undo is not None:
        undo(run)
    failpoints.reach(f"{run.job.kind}.{step.name}:undone")
    with run.fleet.catalog.transaction() as tx:
        if not tx.jobs.undone(run.claim, step.seq):
            raise LeaseLost("superseded")


def end_rollback(run: StepRun) -> Job:
    with run.fleet.catalog.transaction() as tx:
        job = tx.jobs.end_rollback(run.claim)
        if job is None:
            raise LeaseLost("superseded")
        event(tx, job, str(job.state))
        auditing.ended(tx, job, by=auditing.of_worker(run.fleet.owner))
    return job


def event(tx: Transaction, job: Job, what: str) -> None:
    tx.outbox.add(f"{job.kind}.{what}", database=job.database, job_id=job.id, data=events.data_of(job))


def new_owner(fleet: Fleet) -> str:
    """Unlike any other claim's owner, even this process's own former ones."""
    return f"{fleet.owner}:{uuid.uuid4().hex[:8]}"
