"""The job protocol's statements, called in any order by workers, reapers, zombies and forgers.

Every rule looks at the row first, says by the protocol's own words what the call may do, and compares;
where it may do nothing, the whole catalog must be as it was before.
"""

from __future__ import annotations

import uuid
from itertools import product

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.catalog.catalog import Catalog, Transaction
from shared.catalog.jobs import Claim
from shared.domain.job import LANES, MAX_ATTEMPTS, SAGAS, Job, JobKind, JobState, Lane, NewJob, StepState
from tests.integration.protocol_world import DATABASES, LIVE, STARTED, TTL, World

ERROR: dict[str, str | None] = {"code": "transient", "message": "a passing reason", "hint": None}
PICK = st.integers(0, 7)
KINDS = st.sampled_from(sorted(SAGAS))
ACTS = st.sampled_from(
    "go_on go_on go_on renew record fail fail give_up start_over die die keep keep".split()
)
"""What a worker does next; to go on is to end the step, or to undo one."""
LATER = 1
"""Claims made before anything is cancelled or overdue: otherwise little else would be seen."""


class ProtocolMachine(RuleBasedStateMachine):
    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        self.world = World(catalog)
        self.ended: dict[str, Job] = {}
        self.epochs: dict[str, int] = {}

    @initialize(first=KINDS, second=KINDS)
    def two_jobs_for_one_database(self, first: JobKind, second: JobKind) -> None:
        self.submit(first, DATABASES[0], 0)
        self.submit(second, DATABASES[0], 1)
        self.activate(None)

    # What the fleet does

    @rule(kind=KINDS, database=st.sampled_from(DATABASES), key=st.integers(0, 5))
    def submit(self, kind: JobKind, database: str, key: int) -> None:
        known = [job for job in self.world.jobs() if job.idempotency_key == str(key)]
        new = NewJob(id=str(uuid.uuid4()), kind=kind, database=database, request={}, idempotency_key=str(key))
        job, is_new = self.world.ask(lambda tx: tx.jobs.submit(new), changes=not known)
        if known:
            assert (job, is_new) == (known[0], False)
        else:
            assert (job.id, job.state, is_new) == (new.id, JobState.PENDING, True)

    @rule(database=st.sampled_from([None, *DATABASES]))
    def activate(self, database: str | None) -> None:
        before = {job.id: job for job in self.world.jobs()}
        wanted = set()
        for name, lane in product(DATABASES if database is None else (database,), Lane):
            here = [job for job in before.values() if (job.database, LANES[job.kind]) == (name, lane)]
            waiting = [j for j in here if j.state is JobState.PENDING and self.world.is_wanted(j)]
            if waiting and not any(j.state in LIVE for j in here):
                wanted.add(min(waiting, key=lambda j: (j.created_at, j.id)).id)
        started = self.world.ask(lambda tx: tx.jobs.activate(database))
        assert {job.id for job in started} == wanted
        assert all(job.state is JobState.ACTIVE and job.epoch == before[job.id].epoch + 1 for job in started)

    def work(self, pick: int, act: str) -> None:
        """The right message is delivered if nobody is at it, and its worker does one thing."""
        live = self.world.live()
        job = live[pick % len(live)]
        claim = self.world.holder(job.id)
        if claim is None and job.lease_until is None:
            self.forge(job)
            claim = self.world.take(job)
            wanted = job.state is JobState.ROLLING_BACK or self.world.is_wanted(job)
            assert (claim is not None) is wanted
            if claim is not None and job.state is JobState.ACTIVE:
                self.begin(claim)
            self.zombies_wake()
        if claim is not None:
            getattr(self, act)(claim)

    has_live = precondition(lambda self: self.world.live())
    # Thrice, because otherwise workers would seldom get to do anything.
    works = has_live(rule(pick=PICK, act=ACTS)(work))
    works_more = has_live(rule(pick=PICK, act=ACTS)(work))
    works_on = has_live(rule(pick=PICK, act=ACTS)(work))

    def begin(self, claim: Claim) -> None:
        before = self.world.steps(claim.job.id)[claim.job.next_seq - 1]
        assert self.world.ask(lambda tx: tx.jobs.begin_step(claim)) is before.state

    def keep(self, claim: Claim) -> None:
        """It works on, and nothing is heard of it."""
        assert self.world.take(self.world.job(claim.job.id)) is None, "a doubled message was obeyed"

    def go_on(self, claim: Claim) -> None:
        if self.world.job(claim.job.id).state is JobState.ROLLING_BACK:
            assert self.world.ask(lambda tx: tx.jobs.finish(claim, result={}), changes=False) is None
            self.undo(claim)
            return
        assert self.world.ask(lambda tx: tx.jobs.end_rollback(claim), changes=False) is None
        job = self.world.ask(lambda tx: tx.jobs.finish(claim, result={"by": claim.owner}))
        assert job is not None
        assert job.next_seq == claim.job.next_seq + 1
        last = claim.job.next_seq == len(SAGAS[job.kind].steps)
        assert job.state is (JobState.SUCCEEDED if last else JobState.ACTIVE)

    def undo(self, claim: Claim) -> None:
        """The last started step is undone; with none left the job is over."""
        started = [step.seq for step in self.world.steps(claim.job.id) if step.state in STARTED]
        if started:
            assert self.world.ask(lambda tx: tx.jobs.undone(claim, max(started)))
            return
        ended = self.world.ask(lambda tx: tx.jobs.end_rollback(claim))
        assert ended is not None
        undone = SAGAS[ended.kind].ends_undone
        assert ended.state is (JobState.CANCELLED if ended.cancel_requested else undone)

    def renew(self, claim: Claim) -> None:
        renewal = self.world.ask(lambda tx: tx.jobs.renew(claim, ttl=TTL, progress={"n": 1}))
        assert renewal is not None
        job = self.world.job(claim.job.id)
        assert renewal.cancel_requested is job.cancel_requested
        assert renewal.overdue is (job.deadline_at < self.world.now())

    def record(self, claim: Claim) -> None:
        assert self.world.ask(lambda tx: tx.jobs.record(claim, {"side": claim.owner}))
        assert self.world.steps(claim.job.id)[claim.job.next_seq - 1].data["side"] == claim.owner

    def fail(self, claim: Claim, *, give_up: bool = False) -> None:
        before = self.world.job(claim.job.id)
        job = self.world.ask(lambda tx: tx.jobs.release(claim, error=ERROR, give_up=give_up))
        assert job is not None
        assert job.lease_until is None
        assert job.attempts == before.attempts + 1
        turns = give_up or job.attempts >= MAX_ATTEMPTS or not self.world.is_wanted(before)
        forward = before.state is JobState.ACTIVE
        assert job.state is (JobState.ACTIVE if forward and not turns else JobState.ROLLING_BACK)
        # Only who turns round keeps the epoch: the errback that travels with its messages has it.
        assert job.epoch == before.epoch + (0 if forward and turns else 1)

    def give_up(self, claim: Claim) -> None:
        self.fail(claim, give_up=True)

    def start_over(self, claim: Claim) -> None:
        forward = self.world.job(claim.job.id).state is JobState.ACTIVE
        to_seq = max(1, claim.job.next_seq - 2)
        job = self.world.ask(lambda tx: tx.jobs.rewind(claim, to_seq=to_seq), changes=forward)
        assert (job is not None) is forward
        if job is not None:
            assert (job.next_seq, job.epoch) == (to_seq, claim.job.epoch + 1)
            assert all(step.state is StepState.NEW for step in self.world.steps(job.id)[to_seq:])

    def die(self, claim: Claim) -> None:
        self.world.change(
            "update job set lease_until = now() - interval '1 s' where id = :id", id=claim.job.id
        )

    @rule()
    def reap(self) -> None:
        """Everything that does not move is rung again, and nothing else is touched."""
        now, before = self.world.now(), self.world.jobs()
        unwanted = {job.id for job in before if not self.world.is_wanted(job)}
        self.world.ask(lambda tx: tx.jobs.expire())
        stuck = {job.id: job for job in self.world.ask(lambda tx: tx.jobs.reap())}
        for job in before:
            died = job.lease_until is not None and job.lease_until < now
            turns = job.state is JobState.ACTIVE and job.lease_until is None and job.id in unwanted
            waits = job.lease_until is None and job.enqueued_at is None and job.not_before <= now
            if job.state in LIVE and (died or turns or waits):
                assert stuck[job.id].lease_until is None
                assert stuck[job.id].epoch == job.epoch + (1 if died or turns else 0)
                assert stuck[job.id].attempts == job.attempts + (1 if died else 0)
            elif job.lease_until is not None:
                assert job.id not in stuck
        assert not any(j.state is JobState.PENDING and j.id in unwanted for j in self.world.jobs())

    # What befalls it

    @rule(pick=PICK)
    def stale_and_forged_messages(self, pick: int) -> None:
        """Of another epoch, or for a step whose turn it is not: none of them has any effect."""
        jobs = self.world.jobs()
        self.forge(jobs[pick % len(jobs)])

    def forge(self, job: Job) -> None:
        def deliver_all(tx: Transaction) -> None:
            for epoch, seq in product(range(-1, job.epoch + 3), range(-1, job.next_seq + 3)):
                if (epoch, seq) != (job.epoch, job.next_seq):
                    assert tx.jobs.claim(job.id, epoch=epoch, seq=seq, owner="forger", ttl=TTL) is None
                if epoch != job.epoch:
                    assert tx.jobs.claim_rollback(job.id, epoch=epoch, owner="forger", ttl=TTL) is None

        self.world.ask(deliver_all, changes=False)

    @rule()
    def zombies_wake(self) -> None:
        """Every worker whose claim holds no more tries everything that a claim allows."""
        stale = [claim for claim in self.world.claims if not self.world.holds(claim)]

        def try_all(tx: Transaction) -> None:
            for claim in stale:
                assert tx.jobs.renew(claim, ttl=TTL, progress={"n": 1}) is None
                assert not tx.jobs.record(claim, {"side": claim.owner})
                assert tx.jobs.finish(claim, result={"by": claim.owner}) is None
                assert tx.jobs.rewind(claim, to_seq=1) is None
                assert not tx.jobs.undone(claim, 1)
                assert tx.jobs.end_rollback(claim) is None
                assert tx.jobs.release(claim, error=ERROR, give_up=True) is None

        self.world.ask(try_all, changes=False)

    @rule()
    def messages_are_lost(self) -> None:
        """So long ago that they count as lost; and every pause between two attempts is over."""
        past = "enqueued_at = enqueued_at - interval '2 h', not_before = least(not_before, now())"
        self.world.change(f"update job set {past} where lease_until is null and finished_at is null")

    @precondition(lambda self: len(self.world.claims) > LATER)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        jobs = self.world.live() or self.world.jobs()
        job = jobs[pick % len(jobs)]
        stoppable = job.state in {JobState.PENDING, JobState.ACTIVE}
        asked = self.world.ask(lambda tx: tx.jobs.request_cancel(job.id), changes=stoppable)
        assert (asked is not None) is stoppable
        self.no_step_begins()

    @precondition(lambda self: len(self.world.claims) > LATER)
    @rule(database=st.sampled_from(DATABASES))
    def deadlines_pass(self, database: str) -> None:
        self.world.change(
            "update job set deadline_at = now() - interval '1 s' where finished_at is null and database = :name",
            name=database,
        )
        self.no_step_begins()

    def no_step_begins(self) -> None:
        """Of a job that nobody wants any more, though its message is the right one."""
        for job in self.world.live():
            if job.state is JobState.ACTIVE and job.lease_until is None and not self.world.is_wanted(job):
                assert self.world.take(job) is None

    # What must hold whatever happened

    @invariant()
    def one_live_job_per_lane_of_a_database(self) -> None:
        live = [(job.database, LANES[job.kind]) for job in self.world.live()]
        assert len(live) == len(set(live))

    @invariant()
    def what_has_ended_stays_as_it_is(self) -> None:
        for job in self.world.jobs():
            assert self.ended.get(job.id, job) == job
            if job.state.is_final:
                self.ended[job.id] = job
                assert job.finished_at is not None
                assert job.lease_until is None

    @invariant()
    def numbers_keep_their_rules(self) -> None:
        for job in self.world.jobs():
            assert job.epoch >= self.epochs.get(job.id, 0)
            self.epochs[job.id] = job.epoch
            assert (job.lease_until is None) is (job.lease_owner is None)
            assert job.next_seq <= len(SAGAS[job.kind].steps) + 1
            if job.state is JobState.ACTIVE:
                assert job.attempts < MAX_ATTEMPTS

    @invariant()
    def steps_tell_the_job(self) -> None:
        """Done before the next one, new after it; undone from the end; after the end nothing half done."""
        for job in self.world.jobs():
            states = [step.state for step in self.world.steps(job.id)]
            if job.state in {JobState.PENDING, JobState.ACTIVE}:
                assert all(state is StepState.DONE for state in states[: job.next_seq - 1])
                assert all(state is StepState.NEW for state in states[job.next_seq :])
            elif job.state is JobState.SUCCEEDED:
                assert all(state is StepState.DONE for state in states)
            elif job.state.is_final:
                assert not any(state in STARTED for state in states)
            else:
                undone = [n for n, state in enumerate(states) if state is StepState.UNDONE]
                assert not any(state in STARTED for state in states[min(undone, default=len(states)) :])

    def teardown(self) -> None:
        """From wherever the rules left it, a fleet that works again brings every job to its end."""
        try:
            for _ in range(2 * len(self.world.jobs()) + 2):
                self.world.change(
                    "update job set lease_until = now() - interval '1 s' where lease_until > now()"
                )
                self.messages_are_lost()
                self.reap()
                self.activate(None)
                for job in self.world.live():
                    self.work_to_the_end(job)
            assert all(job.state.is_final for job in self.world.jobs())
        finally:
            self.world.close()

    def work_to_the_end(self, job: Job) -> None:
        while not job.state.is_final and (claim := self.world.take(job)):
            if job.state is JobState.ACTIVE:
                self.begin(claim)
            while self.world.holds(claim):
                self.go_on(claim)
            job = self.world.job(job.id)
