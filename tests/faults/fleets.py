"""Real workers, told by real messages: killed whole, told to stop, suspended; beats; and Redis's bad days."""

from __future__ import annotations

import json
import os
import signal
import time
from base64 import b64encode
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import redis

from shared.broker.app import KEY_PREFIX, make_app
from shared.broker.doorbell import hand_task, step_task
from shared.domain.job import QUEUES, JobKind, JobState
from tests.faults.case import Case
from tests.faults.pids import pid_of
from tests.faults.promises import assert_world
from tests.faults.scenes import SCENES, Scene, ask_snapshot, slot_comes_due
from tests.faults.sleepers import assert_unchanged, lasting
from tests.faults.world import World, new_key

SIGNALS: Mapping[str, tuple[str, Mapping[JobKind, tuple[str, ...]]]] = {
    "SIGKILL to a real pool's process": (
        "kill",
        {JobKind.SNAPSHOT: ("copy.part_reading",), JobKind.RESTORE: ("load.part_loaded", "swap.renamed")},
    ),
    "SIGKILL to a whole real worker": (
        "kill-group",
        {
            JobKind.SNAPSHOT: ("copy.archive_stored", "snapshot.seal:done"),
            JobKind.RESTORE: ("restore.plan:finished", "build.built", "swap.closed"),
            JobKind.UNDO: ("undo.exchanged",),
        },
    ),
}
TOLD = {
    JobKind.SNAPSHOT: ("copy.part_reading", "seal.checked"),
    JobKind.RESTORE: ("load.part_loading", "swap.closed"),
}
SILENT_SECONDS = 5.0
KILLING_SECONDS = 2.0
GARBAGE = (b"", b"no JSON", b"42", b"[]", b'{"body": 1}', b"\x80\x04.", b"\xff" * 65536)
Relief = Callable[[World], None]
Blow = Callable[[World], Relief]


def cases() -> Iterator[Case]:
    for title, (act, places) in SIGNALS.items():
        for kind, points in places.items():
            for point in points:
                yield struck(title, kind, point, act)
    for kind, points in TOLD.items():
        for point in points:
            yield told_to_stop(kind, point)
        yield suspended(kind, points[0])
        yield five_times(kind)
    for number, (title, blow) in enumerate(BLOWS.items()):
        kind = (JobKind.SNAPSHOT, JobKind.RESTORE)[number % 2]
        yield blown(title, kind, TOLD[kind][0], blow)
    yield Case(kind="FLUSHALL while jobs wait", name="three of them", run=flushed)
    yield Case(kind="Redis is down when a job is asked for", name="it waits for it", run=down)
    yield Case(kind="two beats, one killed again and again", name="one slot", run=beats)


def struck(title: str, kind: JobKind, point: str, act: str) -> Case:
    def run(world: World) -> None:
        scene = SCENES[kind](world)
        with world.crew.at_work():
            world.plan(point, act)
            job_id = scene.ask()
            world.work_until(lambda: world.struck(point), f"somebody at {point}")
            job = world.ended(job_id)
        scene.assert_over(job)

    return Case(kind=title, name=f"{kind} at {point}", run=run)


@contextmanager
def held(world: World, scene: Scene, point: str) -> Generator[tuple[str, int]]:
    """Inside it a real worker stands at this moment of a job; the job's id and that process."""
    asked: list[str] = []
    with world.held_at(point, lambda: asked.append(scene.ask())):
        owner = world.job(asked[0]).lease_owner
        assert owner is not None
        yield asked[0], pid_of(owner)


def told_to_stop(kind: JobKind, point: str) -> Case:
    """It ends what it has in hand, or gives it back, and leaves; the other one goes on."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        with world.crew.at_work():
            with held(world, scene, point) as (job_id, pid):
                worker = world.crew.members[world.crew.member_of(pid)]
                worker.ask()
            world.work_until(lambda: not worker.alive, "the end of a worker that was told to stop")
            job = world.ended(job_id)
        assert job.attempts <= 1
        scene.assert_over(job)

    return Case(kind="SIGTERM to a real worker", name=f"{kind} at {point}", run=run)


def suspended(kind: JobKind, point: str) -> Case:
    """The whole worker, its pool and all, for longer than the lease: the other one has done its work."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        with world.crew.at_work():
            with held(world, scene, point) as (job_id, pid):
                group = os.getpgid(pid)
                os.killpg(group, signal.SIGSTOP)
            try:
                world.work_until(
                    lambda: over_at_last(world), lambda: f"the end of {world.job(job_id)}", pause=0.5
                )
                before, content = lasting(world), world.shop.content()
            finally:
                os.killpg(group, signal.SIGCONT)
            name = world.crew.member_of(pid)
            world.work_until(lambda: world.crew.said("step_superseded", name), "the sleeper to give up")
            assert_unchanged(world, before)
            assert world.shop.content() == content, "I3: a superseded worker has changed something"
            job = world.ended(job_id)
        assert job.epoch > 1
        scene.assert_over(job)

    return Case(
        kind="SIGSTOP to a whole real worker, SIGCONT after the lease", name=f"{kind} at {point}", run=run
    )


def over_at_last(world: World) -> bool:
    """A suspended worker may have been handed the next message too: it counts as lost, and is rung again."""
    world.messages_are_lost()
    return not world.unfinished()


def five_times(kind: JobKind) -> Case:
    """And forged ones among them: of other epochs, of other steps, of a rollback."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        with world.crew.at_work() as bell:
            job_id = scene.ask()
            job = world.job(job_id)
            for told in (
                *[job] * 4,
                replace(job, state=JobState.ROLLING_BACK),
                replace(job, epoch=job.epoch + 1),
                replace(job, epoch=job.epoch - 1),
                replace(job, next_seq=2),
            ):
                bell.ring(told)
                bell.ring_hands(told, 1)
            job = world.ended(job_id)
        assert (job.epoch, job.attempts) == (1, 0)
        scene.assert_over(job)

    return Case(kind="real messages come five times, and forged ones", name=str(kind), run=run)


def blown(title: str, kind: JobKind, point: str, blow: Blow) -> Case:
    """Redis fails in the middle of a step, which goes on; what was lost is rung again."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        with world.crew.at_work():
            with held(world, scene, point) as (job_id, _):
                relieve = blow(world)
            world.messages_are_lost()
            relieve(world)
            world.messages_are_lost()
            job = world.ended(job_id)
            assert all(child.alive for child in world.crew.members.values()), "a worker has died of it"
        assert (job.epoch, job.attempts) == (1, 0)
        scene.assert_over(job)

    return Case(kind=title, name=f"{kind} at {point}", run=run)


def passes(world: World, seconds: float) -> None:
    """Time, and everybody works on."""
    until = time.monotonic() + seconds
    world.work_until(lambda: time.monotonic() > until, "time to pass")


def nothing(_world: World) -> None:
    pass


def redis_killed(world: World) -> Relief:
    world.valkey.kill()
    world.valkey.start()
    return nothing


def redis_flushed(world: World) -> Relief:
    with redis.Redis.from_url(world.valkey.url) as client:
        client.flushall()
    return nothing


def clients_killed(_world: World) -> Relief:
    """All of them, again and again, while the job goes on."""

    def relieve(world: World) -> None:
        until = time.monotonic() + KILLING_SECONDS
        with redis.Redis.from_url(world.valkey.url) as client:
            while time.monotonic() < until:
                client.client_kill_filter(_type="normal", skipme=True)
                world.pulse()
                time.sleep(0.1)

    return relieve


def black_hole(world: World) -> Relief:
    """For longer than the lease of the step that runs: it does not need Redis."""
    world.wires.say("redis", "silent")

    def relieve(world: World) -> None:
        passes(world, SILENT_SECONDS)
        world.wires.say("redis", "")

    return relieve


def out_of_memory(world: World) -> Relief:
    with redis.Redis.from_url(world.valkey.url) as client:
        client.config_set("maxmemory", 1)

    def relieve(world: World) -> None:
        passes(world, 1)
        with redis.Redis.from_url(world.valkey.url) as client:
            client.config_set("maxmemory", 0)

    return relieve


def forged(queue: str) -> bytes:
    """A message to the last letter, but for its body, which is no task's."""
    told = {
        "body": b64encode(b'"x"').decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": hand_task(JobKind.SNAPSHOT), "id": new_key()},
        "properties": {
            "body_encoding": "base64",
            "correlation_id": new_key(),
            "delivery_tag": new_key(),
            "delivery_info": {"exchange": "", "routing_key": queue},
        },
    }
    return json.dumps(told).encode()


def garbage(world: World) -> Relief:
    """What a stranger with our rights in Redis could push."""
    app = make_app(world.redis_url())
    for queue in QUEUES:
        app.send_task("no.such.task", args=("x",), queue=queue)
        app.send_task(step_task(JobKind.RESTORE, "swap"), args=(1, "two", None), queue=queue)
        app.send_task(step_task(JobKind.RESTORE, "swap"), args=(new_key(), 1, 1), queue=queue)
        app.send_task(hand_task(JobKind.SNAPSHOT), kwargs={"rm": "-rf"}, queue=queue)
    with redis.Redis.from_url(world.valkey.url) as client:
        for queue in QUEUES:
            for said in (*GARBAGE, forged(queue)):
                client.lpush(f"{KEY_PREFIX}{queue}", said)
    return nothing


BLOWS: Mapping[str, Blow] = {
    "Redis is killed, and comes back empty": redis_killed,
    "FLUSHALL in the middle of a job": redis_flushed,
    "CLIENT KILL in a loop": clients_killed,
    "Redis is a black hole for longer than the lease": black_hole,
    "Redis is out of memory": out_of_memory,
    "garbage is pushed into every queue": garbage,
}


def flushed(world: World) -> None:
    """One runs, two wait: all three end."""
    scene = SCENES[JobKind.SNAPSHOT](world)
    with world.crew.at_work():
        with held(world, scene, "copy.part_reading") as (first, _):
            others = [ask_snapshot(world) for _ in range(2)]
            redis_flushed(world)
        world.messages_are_lost()
        jobs = [world.ended(job_id) for job_id in (first, *others)]
    assert [job.state for job in jobs] == [JobState.SUCCEEDED] * 3
    assert_world(world, contents=[scene.before])


def down(world: World) -> None:
    """It is accepted all the same."""
    scene = SCENES[JobKind.SNAPSHOT](world)
    with world.crew.at_work():
        world.valkey.kill()
        job_id = scene.ask()
        world.valkey.start()
        job = world.ended(job_id)
    assert (job.epoch, job.attempts) == (1, 0)
    scene.assert_over(job)


def beats(world: World) -> None:
    """Each ticks when it starts, one of them again and again; the slot that is due makes one job."""
    scene = SCENES[JobKind.SNAPSHOT](world)
    before = {snapshot.id for snapshot in world.sealed()}
    with world.crew.at_work():
        slot_comes_due(world)
        with world.crew.beating("steady"):
            for _ in range(4):
                with world.crew.beating("frail"):
                    pass
        world.work_until(lambda: {s.id for s in world.sealed()} - before, "the slot's snapshot")
        world.settle()
    assert len({s.id for s in world.sealed()} - before) == 1, "I6: one slot, several snapshots"
    assert_world(world, contents=[scene.before])
