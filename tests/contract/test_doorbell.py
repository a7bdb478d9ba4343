"""What rings on a real Redis: ids only, in the right queue, the whole way forward and the way back."""

from __future__ import annotations

import json
import threading
import time
import uuid
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery.exceptions import QueueNotFound

from embedded import ports
from shared.broker.app import KEY_PREFIX, make_app
from shared.broker.doorbell import CeleryDoorbell, Doorbell, MemoryDoorbell, RestingDoorbell
from shared.domain.job import QUEUES, SAGAS, Job, JobKind, JobState
from shared.errors import Unreachable

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PATIENCE_SECONDS = 60.0


def a_job(kind: JobKind = JobKind.SNAPSHOT, state: JobState = JobState.ACTIVE, *, next_seq: int = 1) -> Job:
    return Job(
        id=str(uuid.uuid4()),
        kind=kind,
        database="orders",
        request={"labels": {"why": "do not tell"}},
        idempotency_key="do not tell",
        state=state,
        epoch=7,
        next_seq=next_seq,
        attempts=0,
        cancel_requested=False,
        progress={},
        result={},
        error=None,
        created_at=NOW,
        not_before=NOW,
        deadline_at=NOW,
        enqueued_at=NOW,
        lease_until=None,
        lease_owner=None,
        finished_at=None,
    )


def messages(url: str) -> dict[str, list[dict[str, Any]]]:
    """What lies in each queue, the envelopes opened."""
    with redis.Redis.from_url(url) as client:
        return {
            queue: [json.loads(raw) for raw in found]
            for queue in QUEUES
            if (found := client.lrange(f"{KEY_PREFIX}{queue}", 0, -1))
        }


def arguments(message: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """A task's arguments, and what its worker is to send next."""
    args, kwargs, embedded = json.loads(b64decode(message["body"]))
    assert kwargs == {}
    return args, embedded


@pytest.mark.parametrize("kind", JobKind)
def test_a_job_rings_once_for_its_next_step_and_carries_the_others_and_the_way_back(
    redis_url: str, kind: JobKind
) -> None:
    job = a_job(kind)
    CeleryDoorbell(make_app(redis_url)).ring(job)
    ((queue, (message,)),) = messages(redis_url).items()
    args, embedded = arguments(message)
    steps = SAGAS[kind].steps
    assert queue == SAGAS[kind].queue
    assert (message["headers"]["task"], args) == (f"{kind}.{steps[0]}", [job.id, 7, 1])
    later = [(signature["task"], signature["args"]) for signature in reversed(embedded["chain"] or [])]
    assert later == [
        (f"{kind}.{name}", [job.id, 7, seq]) for seq, name in enumerate(steps, start=1) if seq > 1
    ]
    (back,) = embedded["errbacks"]
    assert (back["task"], back["args"], back["options"]["queue"]) == (f"{kind}.rollback", [job.id, 7], queue)


def test_a_job_that_went_some_way_rings_for_the_rest_only(redis_url: str) -> None:
    job = a_job(JobKind.RESTORE, next_seq=7)
    CeleryDoorbell(make_app(redis_url)).ring(job)
    ((message,),) = messages(redis_url).values()
    args, embedded = arguments(message)
    assert (message["headers"]["task"], args) == ("restore.swap", [job.id, 7, 7])
    assert [signature["task"] for signature in embedded["chain"]] == ["restore.settle"]


def test_a_job_that_turned_round_rings_for_its_rollback_alone(redis_url: str) -> None:
    job = a_job(JobKind.RESTORE, JobState.ROLLING_BACK, next_seq=4)
    CeleryDoorbell(make_app(redis_url)).ring(job)
    ((message,),) = messages(redis_url).values()
    args, embedded = arguments(message)
    assert (message["headers"]["task"], args) == ("restore.rollback", [job.id, 7])
    assert not embedded["chain"]


@pytest.mark.parametrize(
    ("kind", "queue"),
    [
        (JobKind.SNAPSHOT, "parts"),
        (JobKind.VERIFY, "proof-parts"),
        (JobKind.RESTORE, "restore-parts"),
        (JobKind.TABLES, "restore-parts"),
    ],
)
def test_hands_are_called_one_message_each_in_a_queue_of_those_with_the_same_rights(
    redis_url: str, kind: JobKind, queue: str
) -> None:
    job = a_job(kind)
    CeleryDoorbell(make_app(redis_url)).ring_hands(job, 3)
    found = messages(redis_url)
    assert list(found) == [queue]
    assert [arguments(message)[0] for message in found[queue]] == [[job.id, 7]] * 3


def test_a_message_holds_ids_and_nothing_else_of_the_job(redis_url: str) -> None:
    doorbell = CeleryDoorbell(make_app(redis_url))
    doorbell.ring(a_job())
    doorbell.ring_hands(a_job(), 1)
    for queue in messages(redis_url).values():
        for message in queue:
            assert "do not tell" not in json.dumps(message)
            assert b"do not tell" not in b64decode(message["body"])


def test_a_queue_that_nobody_reads_is_refused(redis_url: str) -> None:
    with pytest.raises(QueueNotFound):
        make_app(redis_url).send_task("snapshot.copy", queue="job")


@pytest.mark.parametrize(
    "ring",
    [lambda bell, job: bell.ring(job), lambda bell, job: bell.ring_hands(job, 1)],
    ids=["job", "hands"],
)
def test_without_redis_ringing_fails_soon_and_says_so(ring: Callable[[Doorbell, Job], None]) -> None:
    (closed,) = ports.free(1)
    doorbell = CeleryDoorbell(make_app(f"redis://127.0.0.1:{closed}/0"))
    began = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        ring(doorbell, a_job())
    assert caught.value.code == "redis_unreachable"
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_where_redis_ends_our_connections_ringing_says_so_and_goes_on(redis_url: str) -> None:
    """In the middle of a statement, between two, while it connects: whenever that is, and whatever the client makes of it."""
    doorbell, job = CeleryDoorbell(make_app(redis_url)), a_job()
    ended = threading.Event()

    def end_connections() -> None:
        with redis.Redis.from_url(redis_url) as client:
            while not ended.wait(0.003):
                client.client_kill_filter(_type="normal", skipme=True)

    killer = threading.Thread(target=end_connections)
    killer.start()
    failed, deadline = 0, time.monotonic() + PATIENCE_SECONDS
    try:
        while failed < 20:
            assert time.monotonic() < deadline, "nothing has ended a connection"
            try:
                doorbell.ring_hands(job, 1)
            except Unreachable:
                failed += 1
    finally:
        ended.set()
        killer.join()
    doorbell.ring_hands(job, 1)


def test_the_twin_in_memory_keeps_what_was_rung_in_order() -> None:
    bell, first, second = MemoryDoorbell(), a_job(), a_job()
    for job in (first, second):
        bell.ring(job)
    bell.ring_hands(first, 2)
    assert (bell.rung, bell.hands) == ([first, second], [(first, 2)])


class Failing(MemoryDoorbell):
    """Redis is away."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away, self.tries = True, 0

    def ring(self, job: Job) -> None:
        self.tries += 1
        if self.is_away:
            raise Unreachable("away", code="redis_unreachable")
        super().ring(job)


def test_a_redis_that_has_just_failed_is_left_alone_for_a_while_and_then_tried_again() -> None:
    now = [100.0]
    inner = Failing()
    bell = RestingDoorbell(inner, rest=timedelta(seconds=5), clock=lambda: now[0])
    for _ in range(3):
        with pytest.raises(Unreachable):
            bell.ring(a_job())
    assert inner.tries == 1
    inner.is_away = False
    with pytest.raises(Unreachable):
        bell.ring_hands(a_job(), 2)
    now[0] += 5
    bell.ring(a_job())
    bell.ring_hands(a_job(), 2)
    assert (len(inner.rung), len(inner.hands)) == (1, 1)
