"""A burst of requests, each sent several times, while whoever reads them is killed and Redis started anew.

Publishers, and readers that also relay, are processes of their own; SIGKILL ends a reader at random. In the
end every request must have had one job and one final event, and each database's events their order.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from typing import Any

import redis
from sqlalchemy import text

from bus.ingest import Ingest
from shared import logs
from shared.broker.doorbell import MemoryDoorbell
from shared.catalog import catalog
from shared.catalog.migration import migrate
from shared.domain.database import Database
from shared.domain.events import FINAL, Ask
from shared.domain.ids import new_snapshot_id
from shared.domain.job import JobKind, JobState
from shared.domain.retention import Policy
from shared.domain.schedule import Every
from shared.errors import Busy, Unreachable
from shared.locks.memory import MemoryLocks
from shared.operations import steps
from shared.operations.fleet import Fleet
from shared.operations.jobs import dispatch, saga
from shared.operations.jobs.saga import Outcome, StepActions
from shared.operations.messages.intake import Desk
from shared.operations.messages.relaying import Relay
from shared.storage.memory import MemoryStorage
from shared.storage.repository import Repository
from shared.streams.base import BODY, DEAD, EVENTS, INGEST, REQUESTS
from shared.streams.redis import RedisStreams
from tests.contract.valkey import Valkey

NAMES = ("a", "b", "c", "d", "e")
PUBLISHERS = 3
READERS = 2
# Steps that do nothing: what a job does is no matter here, only what is heard of it.
EMPTY = {
    (JobKind.SNAPSHOT, "copy"): StepActions(do=lambda _run: Outcome()),
    (JobKind.SNAPSHOT, "seal"): StepActions(do=lambda _run: Outcome()),
}
FORK = multiprocessing.get_context("fork")


@dataclass(slots=True)
class Outcomes:
    """What the burst came to. `problems` is empty where every promise held."""

    requests: int
    sent: int = 0
    killed: int = 0
    restarts: int = 0
    publishing_seconds: float = 0.0
    reading_seconds: float = 0.0
    telling_seconds: float = 0.0
    finals: Counter[str] = field(default_factory=Counter)
    events: int = 0
    events_sent_again: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {what}" for what, count in sorted(self.finals.items()))
        return (
            f"{self.requests} requests sent {self.sent} times in {self.publishing_seconds:.1f} s, answered after "
            f"{self.reading_seconds:.1f} s; {self.killed} readers killed, Redis restarted {self.restarts} times; "
            f"{self.events} events, {self.events_sent_again} of them sent again; final: {ends}; "
            f"{len(self.problems)} problems"
        )


def fleet_of(catalog_url: str) -> Fleet:
    """A fleet whose databases nobody ever connects to."""
    settings: dict[str, Any] = {
        "url": "postgresql://nobody@127.0.0.1:1/nothing",
        "schedule": Every(every=timedelta(days=300), phase=timedelta(0)),
        "policy": Policy(last=10),
        "part_bytes": 1 << 20,
        "compression_level": 1,
        "parallelism": 1,
        "undo_window": timedelta(hours=1),
    }
    return Fleet(
        catalog=catalog.connect(catalog_url),
        repository=Repository(MemoryStorage()),
        locks=MemoryLocks(clock=time.monotonic),
        doorbell=MemoryDoorbell(),
        databases={name: Database(name=name, **settings) for name in NAMES},
        bin_dir=None,
        lease=timedelta(seconds=30),
        restore_as_superuser=False,
        owner="burst",
    )


def request(number: int) -> bytes:
    event = {
        "specversion": "1.0",
        "id": f"request-{number}",
        "source": f"/publisher/{number % PUBLISHERS}",
        "type": Ask.SNAPSHOT.type,
        "subject": NAMES[number % len(NAMES)],
        "time": datetime.now(UTC).isoformat(),
        "data": {"labels": {"number": str(number)}},
    }
    return json.dumps(event).encode()


def publish(redis_url: str, numbers: Sequence[int], *, times: int, seed: int) -> None:
    """Send each of these so many times, in no order; again where nobody can tell whether it arrived."""
    chance = random.Random(seed)  # noqa: S311 - it is to be repeatable
    bodies = [request(number) for number in numbers for _ in range(times)]
    chance.shuffle(bodies)
    client = redis.Redis.from_url(redis_url, socket_timeout=5)
    for first in range(0, len(bodies), 50):
        while True:
            try:
                with client.pipeline(transaction=False) as pipe:
                    for body in bodies[first : first + 50]:
                        pipe.xadd(REQUESTS, {BODY: body})
                    pipe.execute()
                break
            except redis.RedisError:
                time.sleep(0.05)


def read(redis_url: str, catalog_url: str) -> None:
    """A reader and a relay in one process, until it is killed."""
    logs.configure(level="critical", style="json")
    fleet, streams = fleet_of(catalog_url), RedisStreams.connect(redis_url)
    desk = Desk(
        fleet=fleet,
        allowed=(Ask.SNAPSHOT,),
        new_job_id=lambda: str(uuid.uuid4()),
        new_snapshot_id=lambda now: new_snapshot_id(now, uuid.uuid4()),
    )
    ingest = Ingest(
        desk=desk,
        streams=streams,
        reader=str(os.getpid()),
        clock=lambda: datetime.now(UTC),
        left_after=timedelta(seconds=1),
        look_for_left_every=timedelta(seconds=0.5),
    )
    relay = Relay(catalog=fleet.catalog, streams=streams)
    while True:
        with suppress(Unreachable, Busy):
            ingest.turn(wait=timedelta(milliseconds=100))
        with suppress(Unreachable, Busy):
            relay.publish()
        if os.getppid() == 1:
            return


class Burst:
    """One burst; `run` returns what it came to."""

    def __init__(
        self,
        *,
        valkey: Valkey,
        catalog_url: str,
        requests: int,
        times: int,
        kills: int,
        restarts: int,
        seed: int,
    ) -> None:
        self.valkey = valkey
        self.catalog_url = catalog_url
        self.times = times
        self.kills = kills
        self.restarts = restarts
        self.chance = random.Random(seed)  # noqa: S311 - it is to be repeatable
        self.outcomes = Outcomes(requests=requests)
        self.readers: list[BaseProcess] = []
        self.fleet = fleet_of(catalog_url)
        migrate(self.fleet.catalog)
        # No connection of ours may be open when a process is forked.
        self.fleet.catalog.close()

    def run(self) -> Outcomes:
        try:
            self.send_and_read()
            self.end_jobs()
            self.judge()
        finally:
            for reader in self.readers:
                reader.kill()
                reader.join()
            self.fleet.catalog.close()
        return self.outcomes

    def spawn(self, target: Callable[..., None], *args: Any, **named: Any) -> BaseProcess:
        process = FORK.Process(target=target, args=args, kwargs=named, daemon=True)
        process.start()
        return process

    def send_and_read(self) -> None:
        """Until nothing is left in the stream; kills and restarts are spread over that time."""
        outcomes, began = self.outcomes, time.monotonic()
        shares = [range(n, outcomes.requests, PUBLISHERS) for n in range(PUBLISHERS)]
        senders = [
            self.spawn(publish, self.valkey.url, share, times=self.times, seed=n)
            for n, share in enumerate(shares)
        ]
        outcomes.sent = outcomes.requests * self.times
        self.readers = [self.reader() for _ in range(READERS)]
        self.fleet.catalog.close()
        faults = ["kill"] * self.kills + ["restart"] * (self.restarts - 1)
        self.chance.shuffle(faults)
        faults.append("restart")
        every = max(1, outcomes.requests // (len(faults) + 1))
        # One of them while everybody still sends.
        while faults and self.left() < outcomes.sent // 10:
            time.sleep(0.002)
        self.do(faults.pop())
        answered = 0
        while True:
            time.sleep(0.05)
            with self.fleet.catalog.engine.connect() as connection:
                answered = int(connection.execute(text("select count(*) from inbox")).scalar_one())
            self.fleet.catalog.close()
            if faults and answered >= every * (self.kills + self.restarts - len(faults) + 1):
                self.do(faults.pop())
            if any(sender.is_alive() for sender in senders):
                continue
            outcomes.publishing_seconds = outcomes.publishing_seconds or time.monotonic() - began
            if not faults and answered == outcomes.requests and self.left() == 0:
                break
        outcomes.reading_seconds = time.monotonic() - began

    def left(self) -> int:
        with redis.Redis.from_url(self.valkey.url) as client:
            return int(client.xlen(REQUESTS))

    def reader(self) -> BaseProcess:
        return self.spawn(read, self.valkey.url, self.catalog_url)

    def do(self, fault: str) -> None:
        if fault == "kill":
            number = self.chance.randrange(len(self.readers))
            victim = self.readers[number]
            if victim.pid is not None:
                os.kill(victim.pid, signal.SIGKILL)
            victim.join()
            self.readers[number] = self.reader()
            self.outcomes.killed += 1
        else:
            self.valkey.kill()
            self.valkey.start()
            self.outcomes.restarts += 1

    def end_jobs(self) -> None:
        """Some run to their end, the others are cancelled: each has its final event."""
        began = time.monotonic()
        bell = self.fleet.doorbell
        assert isinstance(bell, MemoryDoorbell)
        with self.fleet.catalog.engine.begin() as connection:
            connection.execute(text("update job set enqueued_at = now() - interval '1 day'"))
        dispatch.reap(self.fleet)
        for _ in range(min(25, self.outcomes.requests)):
            job = bell.rung.pop(0)
            for seq, _name in job.remaining:
                saga.run_step(EMPTY, job.id, epoch=job.epoch, seq=seq, fleet=self.fleet)
        error = json.dumps({"code": "cancelled", "message": "cancelled by request", "hint": None})
        with self.fleet.catalog.engine.begin() as connection:
            change = "update job set cancel_requested = true, error = :error where finished_at is null"
            connection.execute(text(change.replace(":error", "cast(:error as jsonb)")), {"error": error})
        dispatch.reap(self.fleet)
        for job in bell.rung:
            if job.state is JobState.ROLLING_BACK:
                saga.roll_back(steps.STEPS, job.id, epoch=job.epoch, fleet=self.fleet)
        relay = Relay(catalog=self.fleet.catalog, streams=RedisStreams.connect(self.valkey.url))
        while self.waiting():
            relay.publish()
        self.outcomes.telling_seconds = time.monotonic() - began

    def waiting(self) -> int:
        with self.fleet.catalog.transaction() as tx:
            return tx.outbox.waiting()

    def judge(self) -> None:
        """Compare what there is with what there must be."""
        count, problems = self.outcomes.requests, self.outcomes.problems
        wanted = {f"request-{number}" for number in range(count)}
        with self.fleet.catalog.engine.connect() as connection:
            found = connection.execute(text("select event_id, job_id, error from inbox")).all()
            keys = (
                connection.execute(text("select request -> 'labels' ->> 'number' from job")).scalars().all()
            )
        if {row.event_id for row in found} != wanted or any(row.error for row in found):
            problems.append(f"{len(found)} requests are noted, or some were refused")
        if len({row.job_id for row in found}) != count:
            problems.append("some requests share a job")
        if Counter(keys) != Counter(str(number) for number in range(count)):
            problems.append(f"{len(keys)} jobs for {count} requests")
        with redis.Redis.from_url(self.valkey.url) as client:
            entries: Any = client.xrange(EVENTS)
            pending: Any = client.xpending(REQUESTS, INGEST)
            left = {"requests": client.xlen(REQUESTS), "dead": client.xlen(DEAD), "held": pending["pending"]}
        problems.extend(f"{number} {what} are left" for what, number in left.items() if number)
        self.judge_events([json.loads(fields[BODY.encode()]) for _, fields in entries], wanted)

    def judge_events(self, heard: list[dict[str, Any]], wanted: set[str]) -> None:
        outcomes, problems = self.outcomes, self.outcomes.problems
        once = {event["id"]: event for event in heard}
        outcomes.events, outcomes.events_sent_again = len(once), len(heard) - len(once)
        finals = [event for event in once.values() if event["type"] in FINAL]
        outcomes.finals = Counter(event["type"].split(".")[3] for event in finals)
        for what, events in (
            ("final", finals),
            ("accepted", [event for event in once.values() if ".accepted." in event["type"]]),
        ):
            if Counter(event["causationid"] for event in events) != Counter(wanted):
                problems.append(f"{len(events)} {what} events for {len(wanted)} requests")
        for name in NAMES:
            # Of an event that was sent again the first time counts.
            numbers = [int(event["sequence"]) for event in once.values() if event["subject"] == name]
            if numbers != list(range(1, len(numbers) + 1)):
                problems.append(f"the events of database {name} are out of order")
