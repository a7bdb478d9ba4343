"""A job's steps under every mixture of failures, deaths and repeated messages, on a real catalog.

The steps are scripted, the rest is real. What a step does is to put its name into a set, and undoing
takes it out again: so at the end the set says whether anything was lost, left over or done twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from shared.domain.job import MAX_ATTEMPTS, SAGAS, Job, JobKind, JobState, NewJob, StepState
from shared.errors import Refused, Unreachable
from shared.operations.jobs import dispatch, requests, saga
from shared.operations.jobs.saga import Outcome, StartOver, StepActions, StepRun, Steps
from shared.storage.memory import MemoryStorage
from tests.actors import TESTER
from tests.extent import WHOLE
from tests.integration.inline_fleet import NAME, InlineFleet

KIND = JobKind.RESTORE
NAMES = SAGAS[KIND].steps
FINE = "fine"
FATES = [FINE] * 5 + ["dies before", "dies after", "unreachable", "refused", "surprise"]
UNDO_FATES = [FINE, FINE, "dies before", "dies after", "unreachable", "surprise"]


def drawn(fates: list[str], *, at_most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(fates), max_size=at_most)


class Killed(BaseException):
    """The process is gone: nobody catches this, nobody tidies up, no errback is sent."""


class Scripted:
    """Steps that meet the fates drawn for them, one a run, and are fine from then on."""

    def __init__(self, fates: dict[str, list[str]], undo_fates: dict[str, list[str]]) -> None:
        self.fates = {name: list(drawn) for name, drawn in fates.items()}
        self.undo_fates = {name: list(drawn) for name, drawn in undo_fates.items()}
        self.world: set[str] = set()
        self.acts: list[tuple[str, str]] = []

    @property
    def steps(self) -> Steps:
        return {(KIND, name): StepActions(do=self.doing(name), undo=self.undoing(name)) for name in NAMES}

    def doing(self, name: str) -> Callable[[StepRun], Outcome]:
        def do(run: StepRun) -> Outcome:
            assert name == run.job.step
            assert self.world <= set(NAMES[: run.job.next_seq]), "a later step's work is there already"
            run.record(by=run.job.epoch)
            self.meet(self.fates[name], lambda: self.world.add(name))
            self.acts.append(("do", name))
            return Outcome(result={name: run.job.epoch})

        return do

    def undoing(self, name: str) -> Callable[[StepRun], None]:
        def undo(_: StepRun) -> None:
            later = set(NAMES[NAMES.index(name) + 1 :])
            assert not self.world & later, "undone before what was built on it"
            self.meet(self.undo_fates[name], lambda: self.world.discard(name))
            self.acts.append(("undo", name))

        return undo

    def meet(self, fates: list[str], act: Callable[[], None]) -> None:
        fate = fates.pop(0) if fates else FINE
        event(fate)
        if fate == "dies before":
            raise Killed
        act()
        match fate:
            case "dies after":
                raise Killed
            case "unreachable":
                raise Unreachable("a server is away")
            case "refused":
                raise Refused("a rule stands against it", code="scripted")
            case "surprise":
                raise ZeroDivisionError
            case "starts over":
                self.world.intersection_update(NAMES[:1])  # what it finds is of no use
                raise StartOver(NAMES[1])


@pytest.fixture
def inlined(catalog_url: Callable[[], str]) -> Generator[InlineFleet]:
    """A fleet whose database is never connected to."""
    fleet = InlineFleet(
        "postgresql://nobody@127.0.0.1:1/x", catalog_url=catalog_url(), storage=MemoryStorage()
    )
    fleet.configure(lease=timedelta(hours=1))
    yield fleet
    fleet.close()


class Driver:
    """Delivers every message that was ever rung: in time, and again when it is stale."""

    def __init__(self, inlined: InlineFleet, script: Scripted) -> None:
        self.fleet, self.bell, self.script = inlined.fleet, inlined.bell, script
        self.rung: list[Job] = []

    def submit(self) -> str:
        job_id = str(uuid.uuid4())
        with self.fleet.catalog.engine.begin() as connection:
            # What an example before this one left in the middle: it has failed, and smaller ones follow.
            connection.execute(
                text(
                    "update job set state = 'failed', lease_until = null, finished_at = now() where finished_at is null"
                )
            )
        self.bell.rung.clear()
        requests.submit(
            self.fleet,
            NewJob(id=job_id, kind=KIND, database=NAME, request={}, idempotency_key=job_id),
            by=TESTER,
        )
        return job_id

    def to_the_end(self, job_id: str) -> Job:
        for _ in range(40):
            while self.bell.rung:
                self.deliver(self.bell.rung.pop(0))
            self.deliver_the_stale(job_id)
            job = requests.find_job(self.fleet, job_id)
            if job.state.is_final:
                return job
            with self.fleet.catalog.engine.begin() as connection:
                connection.execute(
                    text("update job set lease_until = now() - interval '1 s' where lease_until is not null")
                )
                connection.execute(
                    text(
                        "update job set not_before = now(), enqueued_at = null where finished_at is null and lease_until is null"
                    )
                )
            dispatch.reap(self.fleet)
        raise AssertionError(f"still {job.state} in {job.step}: {self.script.acts}")

    def deliver(self, job: Job) -> None:
        """A chain of the remaining steps with its errback, or a rollback, as a worker would run it."""
        self.rung.append(job)
        with suppress(Killed):
            if job.state is JobState.ROLLING_BACK:
                self.roll_back(job)
                return
            for seq, _ in job.remaining:
                try:
                    if not self.step(job, seq):
                        return
                except saga.Told:
                    self.roll_back(job)
                    return

    def deliver_the_stale(self, job_id: str) -> None:
        """Everything once more, last first: none of it may have any effect."""
        before = requests.find_job(self.fleet, job_id), set(self.script.world), list(self.script.acts)
        for job in reversed(self.rung):
            if (job.epoch, job.state) == (before[0].epoch, before[0].state) and job.lease_until is None:
                continue  # not stale: the same message rung twice
            self.roll_back(job)
            for seq, _ in job.remaining:
                self.step(job, seq)
        assert before == (requests.find_job(self.fleet, job_id), self.script.world, self.script.acts)

    def step(self, job: Job, seq: int) -> bool:
        return saga.run_step(self.script.steps, job.id, epoch=job.epoch, seq=seq, fleet=self.fleet)

    def roll_back(self, job: Job) -> None:
        with suppress(saga.Told):
            saga.roll_back(self.script.steps, job.id, epoch=job.epoch, fleet=self.fleet)


def test_a_cancel_that_a_step_does_not_see_any_more_needs_no_reaper(inlined: InlineFleet) -> None:
    """It comes between the step's last renewal and its end: nobody else looks at the job soon."""
    acts = list[str]()

    def do(run: StepRun) -> Outcome:
        requests.cancel(inlined.fleet, run.job.id, by=TESTER)
        acts.append("do")
        return Outcome()

    def undo(_: StepRun) -> None:
        acts.append("undo")

    fleet, steps = inlined.fleet, {(KIND, name): StepActions(do=do, undo=undo) for name in NAMES}
    asked = inlined.submit(KIND, {})
    (begun,) = inlined.bell.rung
    assert not saga.run_step(steps, asked.id, epoch=begun.epoch, seq=1, fleet=fleet)
    turned = inlined.bell.rung[-1]
    assert (turned.id, turned.state) == (asked.id, JobState.ROLLING_BACK)
    assert saga.roll_back(steps, asked.id, epoch=turned.epoch, fleet=fleet)
    assert requests.find_job(fleet, asked.id).state is JobState.CANCELLED
    assert acts == ["do", "undo"]


@WHOLE
@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    fates=st.fixed_dictionaries(
        {
            # Nobody starts over before there is anything to start over from.
            name: drawn(FATES if name in NAMES[:2] else [*FATES, "starts over"], at_most=3)
            for name in NAMES
        }
    ),
    undo_fates=st.fixed_dictionaries({name: drawn(UNDO_FATES, at_most=2) for name in NAMES}),
)
def test_a_job_ends_whole_or_not_at_all_whatever_befalls_its_steps(
    inlined: InlineFleet, fates: dict[str, list[str]], undo_fates: dict[str, list[str]]
) -> None:
    script = Scripted(fates, undo_fates)
    driver = Driver(inlined, script)
    job_id = driver.submit()
    job = driver.to_the_end(job_id)
    with inlined.fleet.catalog.transaction() as tx:
        steps = tx.jobs.steps(job_id)
    with inlined.fleet.catalog.engine.connect() as connection:
        told = connection.execute(
            text("select type from outbox where job_id = :id order by sequence"), {"id": job_id}
        )
        events = list(told.scalars())
    event(str(job.state))
    assert events == ["restore.accepted", "restore.started", f"restore.{job.state}"]
    if job.state is JobState.SUCCEEDED:
        assert script.world == set(NAMES)
        assert all(step.state is StepState.DONE for step in steps)
        assert job.attempts < MAX_ATTEMPTS
        assert job.error is None
    else:
        assert job.state is JobState.ROLLED_BACK
        assert script.world == set()
        assert all(step.state in {StepState.NEW, StepState.UNDONE} for step in steps)
        assert job.error is not None
