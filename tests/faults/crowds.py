"""Many at once: doubled messages, requests at the same instant, and jobs that get in each other's way."""

from __future__ import annotations

import multiprocessing
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from shared.domain.job import MAX_ATTEMPTS, SAGAS, Job, JobKind, JobState, NewJob
from shared.errors import SnapfleetError
from shared.operations.fleet import Fleet
from shared.operations.jobs import dispatch, requests
from shared.operations.upkeep import schedule
from tests.actors import TESTER
from tests.faults.actors import follow
from tests.faults.case import Case
from tests.faults.promises import assert_world
from tests.faults.scenes import (
    SCENES,
    ask_restore,
    ask_snapshot,
    ask_verify,
    parked_goes,
    slot_comes_due,
    submit,
)
from tests.faults.world import NAME, World, new_key
from workers.tasks import new_id, snapshot_id_at

ROUNDS = 50
TIMES = 5
# What is under way, where it stands when the other one is asked for, and that other one.
MEETINGS: tuple[tuple[str, JobKind, str, str], ...] = (
    ("a restore is asked for during a snapshot", JobKind.SNAPSHOT, "copy.part_reading", "restore"),
    ("a snapshot is asked for during a restore", JobKind.RESTORE, "load.part_loading", "snapshot"),
    ("a restore is asked for during a restore", JobKind.RESTORE, "swap.closed", "restore"),
    ("a prune is asked for during a restore", JobKind.RESTORE, "load.part_loading", "prune"),
    ("a prune is asked for during a proof", JobKind.VERIFY, "load.part_loading", "prune"),
    ("a restore runs beside a proof", JobKind.VERIFY, "build.unmarked", "restore"),
    ("a proof runs beside a restore", JobKind.RESTORE, "side.created", "verify"),
    ("a snapshot runs beside a proof", JobKind.VERIFY, "load.part_loading", "snapshot"),
)


def cases() -> Iterator[Case]:
    for kind in SAGAS:
        yield doubled(kind)
    yield Case(kind="two restores at the same instant", name=f"{ROUNDS} times", run=same_instant)
    for number in range(1, 4):
        yield Case(
            kind="two restores at the same instant, to their ends", name=str(number), run=both_to_the_end
        )
    yield Case(kind="one idempotency key from ten processes at once", name="one job", run=same_key)
    yield Case(kind="five ticks at once for a due slot", name="one job", run=many_ticks)
    for title, kind, point, other in MEETINGS:
        yield met(title, kind, point, other)
    for kind in (JobKind.SNAPSHOT, JobKind.RESTORE):
        yield poisoned(kind)


def doubled(kind: JobKind) -> Case:
    """Every message comes five times, at the same instant, to as many workers: one of them does each step."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        world.cast.frozen = True
        job_id = scene.ask()
        played: set[tuple[str, int]] = set()

        def play() -> bool:
            for job in world.unfinished():
                if (
                    job.state in {JobState.ACTIVE, JobState.ROLLING_BACK}
                    and (job.id, job.epoch) not in played
                ):
                    played.add((job.id, job.epoch))
                    barrier = multiprocessing.Barrier(TIMES)
                    for _ in range(TIMES):
                        world.cast.start(at_once(barrier, job))
            return not world.unfinished()

        world.work_until(play, lambda: f"the end of {world.job(job_id)}", pause=0.03)
        job = world.ended(job_id)
        assert (job.epoch, job.attempts) == (1, 0)
        scene.assert_over(job)

    return Case(kind="every message comes five times", name=str(kind), run=run)


def at_once(barrier: Any, job: Job) -> Callable[[Fleet], None]:
    def play(fleet: Fleet) -> None:
        fleet.catalog.identity()  # so that nobody is late for having to connect
        barrier.wait(30)
        follow(job, fleet)

    return play


def same_instant(world: World) -> None:
    """Each time both are accepted, one is to run and the other waits; then both are cancelled."""
    parked_goes(world)
    content = world.shop.write()
    world.cast.frozen = True
    barrier = multiprocessing.Barrier(2)

    def asking(fleet: Fleet, *, first: bool) -> None:
        for _ in range(ROUNDS):
            barrier.wait(30)
            job_id = new_key()
            request = requests.restore_request(snapshot_id=world.golden_id)
            new = NewJob(
                id=job_id, kind=JobKind.RESTORE, database=NAME, request=request, idempotency_key=job_id
            )
            requests.submit(fleet, new, by=TESTER)
            barrier.wait(30)
            states = sorted(job.state for job in unfinished(fleet))
            assert states == [JobState.ACTIVE, JobState.PENDING], states
            barrier.wait(30)
            if first:
                end_all(fleet)

    def one(fleet: Fleet) -> None:
        asking(fleet, first=True)

    def other(fleet: Fleet) -> None:
        asking(fleet, first=False)

    askers = [world.cast.start(one), world.cast.start(other)]
    world.work_until(lambda: not any(asker.alive for asker in askers), "all rounds")
    assert [asker.status for asker in askers] == [os.EX_OK] * 2, "I3: two at once"
    assert_world(world, contents=[content])


def unfinished(fleet: Fleet) -> list[Job]:
    with fleet.catalog.transaction() as tx:
        return [job for job in tx.jobs.listing() if not job.state.is_final]


def end_all(fleet: Fleet) -> None:
    for job in unfinished(fleet):
        with suppress(SnapfleetError):
            requests.cancel(fleet, job.id, by=TESTER)
    while left := unfinished(fleet):
        dispatch.reap(fleet)
        for job in left:
            follow(requests.find_job(fleet, job.id), fleet)


def both_to_the_end(world: World) -> None:
    """One after the other: the second restores what the first has restored."""
    scene = SCENES[JobKind.RESTORE](world)
    barrier = multiprocessing.Barrier(2)

    def ask(fleet: Fleet) -> None:
        job_id = new_key()
        request = requests.restore_request(snapshot_id=world.golden_id)
        new = NewJob(id=job_id, kind=JobKind.RESTORE, database=NAME, request=request, idempotency_key=job_id)
        barrier.wait(30)
        requests.submit(fleet, new, by=TESTER)

    askers = [world.cast.start(ask) for _ in range(2)]
    assert [asker.wait() for asker in askers] == [os.EX_OK] * 2
    jobs = world.unfinished()
    assert len(jobs) == 2
    for job in jobs:
        assert world.ended(job.id).state is JobState.SUCCEEDED
    assert_world(world, contents=[scene.after])


def same_key(world: World) -> None:
    scene = SCENES[JobKind.SNAPSHOT](world)
    key, barrier = new_key(), multiprocessing.Barrier(10)
    before = {snapshot.id for snapshot in world.sealed()}

    def ask(fleet: Fleet) -> None:
        request = requests.manual_snapshot_request(now=datetime.now(UTC), new_uuid=uuid.uuid4)
        new = NewJob(id=new_key(), kind=JobKind.SNAPSHOT, database=NAME, request=request, idempotency_key=key)
        barrier.wait(30)
        requests.submit(fleet, new, by=TESTER)

    askers = [world.cast.start(ask) for _ in range(10)]
    assert [asker.wait() for asker in askers] == [os.EX_OK] * 10
    world.settle()
    assert len({snapshot.id for snapshot in world.sealed()} - before) == 1, (
        "I6: one request, several snapshots"
    )
    assert_world(world, contents=[scene.before])


def many_ticks(world: World) -> None:
    """As of five beats: a slot that has come due makes one job."""
    scene = SCENES[JobKind.SNAPSHOT](world)
    before = {snapshot.id for snapshot in world.sealed()}
    slot_comes_due(world)
    barrier = multiprocessing.Barrier(TIMES)

    def tick(fleet: Fleet) -> None:
        fleet.catalog.identity()
        barrier.wait(30)
        schedule.tick(fleet, new_job_id=new_id, new_snapshot_id=snapshot_id_at)

    ticking = [world.cast.start(tick) for _ in range(TIMES)]
    assert [actor.wait() for actor in ticking] == [os.EX_OK] * TIMES
    world.settle()
    assert len({snapshot.id for snapshot in world.sealed()} - before) == 1, "I6: one slot, several snapshots"
    assert_world(world, contents=[scene.before])


def met(title: str, kind: JobKind, point: str, other: str) -> Case:
    """Both end well, one after the other where they would be in each other's way."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        asked: list[str] = []
        with world.held_at(point, lambda: asked.append(scene.ask())):
            asked.append(OTHERS[other](world))
        jobs = [world.ended(job_id) for job_id in asked]
        assert [job.state for job in jobs] == [JobState.SUCCEEDED] * 2, [job.error for job in jobs]
        restored = JobKind.RESTORE in {job.kind for job in jobs}
        assert_world(world, contents=[world.golden if restored else scene.before])

    return Case(kind=title, name=f"at {point}", run=run)


def prune_all_but_one(world: World) -> str:
    """Nothing is too young for it, and the snapshot that the other job works with is not pinned any more."""
    world.a_day_passes()
    world.keep = 1
    world.note_what_stays()
    return submit(world, JobKind.PRUNE, {})


OTHERS: Mapping[str, Callable[[World], str]] = {
    "restore": ask_restore,
    "snapshot": ask_snapshot,
    "verify": lambda world: ask_verify(world, world.golden_id),
    "prune": prune_all_but_one,
}


def poisoned(kind: JobKind) -> Case:
    """It kills whoever takes it, every time: it ends after its attempts, and nothing else suffers."""
    point = f"{kind}.{SAGAS[kind].steps[0]}:done"

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        world.plan(point, "kill always")
        job_id = scene.ask()
        job = world.ended(job_id)
        assert job.error is not None, job
        assert (job.error["code"], job.attempts) == ("worker_lost", MAX_ATTEMPTS), job
        scene.assert_over(world.ended(job_id), expected=SAGAS[kind].ends_undone)

    return Case(kind="a job that kills whoever takes it", name=str(kind), run=run)
