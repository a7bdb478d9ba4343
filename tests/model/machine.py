"""The whole product against a model: requests, writes, kills, losses and damage, in any order.

Whatever was done, after each rule the model looks at everything: is every sealed snapshot what its copy saw,
does the live name mean what it may mean, did retention delete what it must not? At the end of each example
the fleet is left to itself, and has to bring every job to its end and to leave nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.catalog.catalog import Catalog
from shared.domain.job import MAX_ATTEMPTS, Job, JobKind, JobState, NewJob
from shared.domain.proof import VerifyPolicy
from shared.domain.retention import Policy
from shared.domain.snapshot import Reason, Snapshot, SnapshotState
from shared.errors import NotFound, SnapfleetError
from shared.operations.jobs import dispatch, requests, saga
from shared.operations.proofs import verify
from shared.operations.snapshots import suspecting
from shared.operations.upkeep import prune, schedule
from tests.actors import TESTER
from tests.model.checks import Checks
from tests.model.fuse import Blow, Killed
from tests.model.server import LIVE, Content
from tests.model.world import World, new_id, new_snapshot

PICK = st.integers(0, 7)
BURNS = st.one_of(st.integers(0, 30), st.integers(0, 120))
OF_SERVER = st.builds(Blow, burns=st.integers(0, 10), fails=st.booleans(), of_server=st.just(True))
REFUSED_LATE = st.builds(Blow, burns=st.integers(5, 8), fails=st.just(True), of_server=st.just(True))
"""Around the swap of a restore: what was begun before has to be undone after it."""
BLOW = st.one_of(st.none(), st.builds(Blow, burns=BURNS, fails=st.booleans()), OF_SERVER)
"""At which act the process dies, or the act fails, if that comes before it is done."""
WHOLE = 8
STEPS = st.sampled_from([1, 3, WHOLE, WHOLE])
"""How far a chain of messages gets before the next thing happens."""
AT_ONCE = st.sampled_from([0, 1, 5, WHOLE])
"""And how far if somebody takes it up in the moment that it was asked for."""
LATER = 4
"""Messages delivered before anything is cancelled, flushed or damaged: otherwise little else would be seen."""
TABLES = ("a", "b")
WAITING = 2
"""Jobs that may be unfinished before more is asked for: the end of each example must do them all."""


class Machine(RuleBasedStateMachine):
    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        self.catalog = catalog
        self.messages: list[tuple[Job, int]] = []
        self.delivered: list[tuple[Job, int]] = []
        self.written = 0

    @initialize(
        last=st.sampled_from([1, 1, 2]),
        policy=st.sampled_from([VerifyPolicy.ALWAYS, VerifyPolicy.NEVER]),
        taken_before=st.sampled_from([0, *[2] * 40]),  # the simplest story, tried first, has none: a moment
    )
    def begin(self, last: int, policy: VerifyPolicy, taken_before: int) -> None:
        content = Content(rows={"a": tuple(range(10)), "b": ()}, setting="first")
        self.world = World(self.catalog, content=content, policy=Policy(last=last), verify=policy)
        self.checks = Checks(self.world)
        for _ in range(taken_before):
            self.write("a", 3)
            self.snapshot(WHOLE, None)
            self.work_off()

    # Requests: some are taken up at once

    may_ask = precondition(lambda self: self.waiting() < WAITING)

    @may_ask
    @rule(steps=AT_ONCE, blow=BLOW)
    def snapshot(self, steps: int, blow: Blow | None) -> None:
        request = requests.snapshot_request(
            snapshot_id=new_snapshot(),
            prune_job_id=new_id(),
            verify_job_id=new_id(),
            reason=Reason.MANUAL,
            labels={},
        )
        self.submit(JobKind.SNAPSHOT, request, steps, blow)

    has_sealed = precondition(lambda self: self.sealed())
    may_restore = precondition(lambda self: self.sealed() and self.waiting() < WAITING)

    def restore(self, pick: int, guarded: bool, steps: int, blow: Blow | None) -> None:
        safeguard_id = new_snapshot() if guarded else None
        request = requests.restore_request(snapshot_id=self.one_sealed(pick), safeguard_id=safeguard_id)
        self.submit(JobKind.RESTORE, request, steps, blow)

    restores = may_restore(rule(pick=PICK, guarded=st.booleans(), steps=AT_ONCE, blow=BLOW)(restore))
    restores_refused = may_restore(
        rule(pick=PICK, guarded=st.booleans(), steps=st.just(WHOLE), blow=REFUSED_LATE)(restore)
    )
    restores_whole = may_restore(
        rule(pick=PICK, guarded=st.booleans(), steps=st.just(WHOLE), blow=st.none())(restore)
    )

    @may_restore
    @rule(pick=PICK, steps=AT_ONCE, blow=BLOW)
    def verify(self, pick: int, steps: int, blow: Blow | None) -> None:
        request = verify.request(self.one_sealed(pick), prune_job_id=new_id())
        self.submit(JobKind.VERIFY, request, steps, blow)

    @may_ask
    @rule(steps=AT_ONCE, blow=BLOW)
    def prune(self, steps: int, blow: Blow | None) -> None:
        self.submit(JobKind.PRUNE, {"after": "by hand"}, steps, blow)

    @precondition(lambda self: self.restored())
    @rule(pick=PICK, steps=AT_ONCE, blow=BLOW)
    def undo(self, pick: int, steps: int, blow: Blow | None) -> None:
        restored = self.restored()
        request = {"restore_job": restored[pick % len(restored)]}
        self.submit(JobKind.UNDO, request, steps, blow)

    @has_sealed
    @rule(pick=PICK, pinned=st.booleans())
    def pin(self, pick: int, pinned: bool) -> None:
        """Rather one that would go otherwise."""
        wanted = sorted(self.checks.would_go) if pinned else []
        self.set_pinned(wanted[pick % len(wanted)] if wanted else self.one_sealed(pick), pinned=pinned)

    def set_pinned(self, snapshot_id: str, *, pinned: bool) -> None:
        with suppress(NotFound):  # it is hidden by now
            requests.pin(self.world.fleet, snapshot_id, pinned=pinned, by=TESTER)
            self.checks.promise(snapshot_id, pinned=pinned)

    def prune_while_it_is_wanted(self, pick: int, at: int, pinned: bool) -> None:
        """What is about to go is pinned, or to be restored, between the plan and the act."""
        self.work_off()
        self.world.time_passes(25)
        self.everything_is_as_it_may_be()
        goes = prune.plan(self.world.fleet, self.world.name).remove
        if not goes:
            return
        chosen = goes[pick % len(goes)]

        def want() -> None:
            if pinned:
                self.set_pinned(chosen, pinned=True)
            else:
                self.ask(JobKind.RESTORE, requests.restore_request(snapshot_id=chosen))

        self.ask(JobKind.PRUNE, {"after": "by hand"})
        if self.messages:
            self.work(len(self.messages) - 1, WHOLE, None, at=at, meanwhile=want)

    could_go = precondition(lambda self: self.checks.would_go)
    WANTED = rule(pick=PICK, at=st.integers(3, 7), pinned=st.booleans())
    # Twice, because the moment in between is short.
    prunes_the_wanted = could_go(WANTED(prune_while_it_is_wanted))
    prunes_the_wanted_again = could_go(WANTED(prune_while_it_is_wanted))

    @precondition(lambda self: any(each.is_suspect for each in self.sealed()))
    @rule(pick=PICK)
    def accept(self, pick: int) -> None:
        suspect = [each.id for each in self.sealed() if each.is_suspect]
        suspecting.accept(self.world.fleet, suspect[pick % len(suspect)], by=TESTER)

    has_gone_on = precondition(lambda self: len(self.delivered) > LATER)

    @has_gone_on
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        live = [job for job in self.checks.seen.jobs.values() if not job.state.is_final]
        if live:
            with suppress(SnapfleetError):
                requests.cancel(self.world.fleet, live[pick % len(live)].id, by=TESTER)

    # The application

    @rule(table=st.sampled_from(TABLES), count=st.integers(1, 20))
    def write(self, table: str, count: int) -> None:
        now = self.content()
        self.written += 1
        more = tuple(range(1000 * self.written, 1000 * self.written + count))
        self.put(Content(rows={**now.rows, table: now.rows.get(table, ()) + more}, setting=now.setting))

    @rule(table=st.sampled_from(TABLES), gone=st.booleans())
    def lose(self, table: str, gone: bool) -> None:
        """A table is emptied, or dropped."""
        now = self.content()
        kept = {name: rows for name, rows in now.rows.items() if name != table}
        self.put(Content(rows=kept if gone else {**kept, table: ()}, setting=now.setting))

    @rule()
    def configure(self) -> None:
        self.written += 1
        self.put(Content(rows=self.content().rows, setting=f"setting {self.written}"))

    def content(self) -> Content:
        found = self.world.server.content_of(LIVE)
        assert found is not None
        return found

    def put(self, content: Content) -> None:
        self.world.server.write(content)
        self.checks.live_content = content

    # The fleet

    def work(
        self,
        pick: int,
        steps: int,
        blow: Blow | None,
        *,
        at: int = 0,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """One message is taken from the queue, and its chain followed for some steps."""
        job, position = self.messages.pop(pick % len(self.messages))
        self.delivered.append((job, position))
        leased = self.checks.leased(job)
        self.world.fuse.set(blow, at=at, meanwhile=meanwhile)
        try:
            done = self.follow(job, position, steps)
        except Killed:
            return
        finally:
            self.world.fuse.set(None)
            self.hear()
            if leased is not None:
                self.checks.is_as_it_was(leased)
        if done is not None and position + done < len(job.remaining):
            self.messages.append((job, position + done))

    has_messages = precondition(lambda self: self.messages)
    # Thrice, because otherwise little would ever be done.
    works = has_messages(rule(pick=PICK, steps=STEPS, blow=BLOW)(work))
    works_on = has_messages(rule(pick=PICK, steps=STEPS, blow=BLOW)(work))
    works_whole = has_messages(rule(pick=PICK, steps=st.just(WHOLE), blow=st.none())(work))

    def follow(self, job: Job, position: int, steps: int) -> int | None:
        """How many steps were done; None where the chain has ended."""
        fleet, actions = self.world.fleet, self.world.acts.steps
        if job.state is JobState.ROLLING_BACK:
            with suppress(saga.Told, SnapfleetError):  # tried again by the reaper
                saga.roll_back(actions, job.id, epoch=job.epoch, fleet=fleet)
            return None
        chain = job.remaining[position : position + steps]
        for seq, _ in chain:
            try:
                if not saga.run_step(actions, job.id, epoch=job.epoch, seq=seq, fleet=fleet):
                    return None
            except SnapfleetError:
                return None  # before it was claimed
            except saga.Told:  # the errback that travels with the chain
                with suppress(saga.Told, SnapfleetError):
                    saga.roll_back(actions, job.id, epoch=job.epoch, fleet=fleet)
                return None
        self.world.fuse.set(None)
        for seq, _ in chain[-1:]:
            assert not saga.run_step(actions, job.id, epoch=job.epoch, seq=seq, fleet=fleet), "done twice"
        return len(chain)

    def hear(self) -> None:
        self.messages += [(job, 0) for job in self.world.bell.rung]
        self.world.bell.rung.clear()

    def submit(self, kind: JobKind, request: Mapping[str, object], steps: int, blow: Blow | None) -> None:
        """Whoever asks may die of it; else somebody may take it up, and die of that."""
        self.world.fuse.set(blow if steps == 0 else None)
        try:
            self.ask(kind, request)
        except (Killed, SnapfleetError):
            pass
        finally:
            self.world.fuse.set(None)
        if steps and self.messages:
            self.work(len(self.messages) - 1, steps, blow)

    def ask(self, kind: JobKind, request: Mapping[str, object]) -> None:
        """A job that is accepted now holds the snapshot that it is about, if that is still there."""
        job_id = new_id()
        new = NewJob(id=job_id, kind=kind, database=self.world.name, request=request, idempotency_key=job_id)
        try:
            requests.submit(self.world.fleet, new, by=TESTER)
        finally:
            self.hear()
        self.checks.accepted(job_id, request)

    # What befalls it

    @precondition(lambda self: self.delivered)
    @rule(pick=PICK, steps=STEPS, blow=BLOW)
    def deliver_again(self, pick: int, steps: int, blow: Blow | None) -> None:
        self.messages.append(self.delivered[-1 - pick % len(self.delivered)])
        self.work(len(self.messages) - 1, steps, blow)

    @precondition(lambda self: self.at_work())
    @rule(pick=PICK, steps=STEPS)
    def deliver_twice(self, pick: int, steps: int) -> None:
        """The message of a step that somebody is at, or was when he died."""
        at_work = self.at_work()
        self.messages.append((at_work[pick % len(at_work)], 0))
        self.work(len(self.messages) - 1, steps, None)

    def at_work(self) -> list[Job]:
        return [job for job in self.checks.seen.jobs.values() if job.lease_until is not None]

    @has_gone_on
    @rule()
    def flush(self) -> None:
        self.messages.clear()
        self.world.flush()

    @rule(hours=st.sampled_from([1, 25, 25]), blow=BLOW)
    def tick(self, hours: int, blow: Blow | None) -> None:
        """Time passes, whoever was at work is dead, and beat looks around; it may die of it."""
        self.world.time_passes(hours)
        self.world.fuse.set(blow)
        try:
            schedule.tick(self.world.fleet, new_job_id=new_id, new_snapshot_id=lambda _: new_snapshot())
            self.world.drop_expired()
        except (Killed, SnapfleetError):
            pass
        finally:
            self.world.fuse.set(None)

    @has_gone_on
    @rule(pick=st.integers(0, 40), lose=st.booleans())
    def damage(self, pick: int, lose: bool) -> None:
        self.rot(self.world.storage.keys(""), pick, lose=lose)

    @may_ask
    @rule(pick=PICK, lose=st.booleans())
    def damage_under_a_copy(self, pick: int, lose: bool) -> None:
        """Of what a copy has just stored, before it is sealed."""
        self.write("a", 3)
        before = set(self.world.storage.keys(""))
        self.snapshot(1, None)
        self.everything_is_as_it_may_be()  # what is sealed by now could not know
        self.rot([key for key in self.world.storage.keys("") if key not in before], pick, lose=lose)

    def rot(self, keys: Sequence[str], pick: int, *, lose: bool) -> None:
        """One of these changes, or is gone."""
        ours = [key for key in keys if key.split("/")[1] in {"chunks", "snapshots"}]
        if ours:
            self.checks.excuse(ours[pick % len(ours)])
            self.world.storage.damage(ours[pick % len(ours)], lose=lose)

    # What must hold whatever happened

    @invariant()
    def everything_is_as_it_may_be(self) -> None:
        self.hear()
        self.checks.look_again()

    def waiting(self) -> int:
        return sum(not job.state.is_final for job in self.checks.seen.jobs.values())

    def sealed(self) -> list[Snapshot]:
        found = self.checks.seen.snapshots.values()
        return [each for each in found if each.state is SnapshotState.SEALED]

    def one_sealed(self, pick: int) -> str:
        found = self.sealed()
        return found[pick % len(found)].id

    def restored(self) -> list[str]:
        jobs = self.checks.seen.jobs.values()
        return [j.id for j in jobs if j.kind is JobKind.RESTORE and j.state is JobState.SUCCEEDED]

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.come_to_an_end()
            self.checks.nothing_is_left()
        finally:
            self.world.close()

    def work_off(self) -> None:
        while self.messages:
            self.work(0, WHOLE, None)
            self.everything_is_as_it_may_be()

    def come_to_an_end(self) -> None:
        """Nobody asks for anything any more, and nobody dies."""
        for _ in range(4 * MAX_ATTEMPTS + 2 * len(self.checks.seen.jobs)):
            self.everything_is_as_it_may_be()
            if all(job.state.is_final for job in self.checks.seen.jobs.values()):
                self.world.drop_expired()  # what somebody died of is done by whoever looks around next
                return
            if not self.messages:
                self.world.time_passes(0)
                dispatch.reap(self.world.fleet)
                self.hear()
            self.work_off()
        stuck = [job for job in self.checks.seen.jobs.values() if not job.state.is_final]
        raise AssertionError(f"never ended: {stuck}")
