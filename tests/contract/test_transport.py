"""Workers outlive whatever is pushed into their queues: it is dropped, and what is a message arrives."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from contextlib import suppress
from typing import Any

import pytest
import redis
from kombu import Exchange, Queue

from shared.broker.app import KEY_PREFIX, make_app
from shared.domain.job import QUEUES

QUEUE = QUEUES[0]
PATIENCE_SECONDS = 60.0


def message(told: object = ([], {}, {}), **changes: Any) -> dict[str, Any]:
    """As Celery writes it."""
    return {
        "body": b64encode(json.dumps(told).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": "a.task", "id": "1"},
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": "1",
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
        },
        **changes,
    }


GARBAGE = {
    "nothing": b"",
    "no JSON": b"garbage",
    "no UTF-8": b"\xff\xfe",
    "a pickle": b"\x80\x04.",
    "too deep": b"[" * 200_000,
    "a moment that is none": b'{"__type__": "datetime", "__value__": 5}',
    "a number that is none": b'{"__type__": "decimal", "__value__": "x"}',
    "bytes that are none": b'{"__type__": "bytes", "__value__": 5}',
    "a number": b"42",
    "a list": b"[]",
    "no properties": json.dumps({"body": 1}).encode(),
    "no delivery tag": json.dumps(message(properties={"delivery_info": {}})).encode(),
    "no destination": json.dumps(message(properties={"delivery_tag": "1"})).encode(),
    "half a destination": json.dumps(
        message(properties={"delivery_tag": "1", "delivery_info": {"exchange": ""}})
    ).encode(),
    "an encoding that nobody knows": json.dumps(
        message(properties=message()["properties"] | {"body_encoding": "x"})
    ).encode(),
    "a type that is no name": json.dumps(message(**{"content-type": []})).encode(),
    "no headers": json.dumps(message(headers=None)).encode(),
    "no task": json.dumps(message(headers={"id": "1"})).encode(),
    "half a time limit": json.dumps(message(headers=message()["headers"] | {"timelimit": [1]})).encode(),
    "something packed": json.dumps(message(headers=message()["headers"] | {"compression": "gzip"})).encode(),
    "no base64": json.dumps(message(body="§")).encode(),
    "a body that is no task's": json.dumps(message("x")).encode(),
    "a body that is half a task's": json.dumps(message([[], {}])).encode(),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_no_message_is_dropped_and_the_next_one_arrives(redis_url: str, garbage: bytes) -> None:
    arrived: list[Any] = []
    with redis.Redis.from_url(redis_url) as client, make_app(redis_url).connection() as connection:
        client.lpush(f"{KEY_PREFIX}{QUEUE}", garbage)
        client.lpush(f"{KEY_PREFIX}{QUEUE}", json.dumps(message([["good"], {}, {}])))
        with connection.Consumer(
            queues=[Queue(QUEUE)],
            accept=["json"],
            callbacks=[lambda body, _: arrived.append(body), lambda _, taken: taken.ack()],
        ):
            until = time.monotonic() + PATIENCE_SECONDS
            while not arrived and time.monotonic() < until:
                connection.drain_events(timeout=PATIENCE_SECONDS)
    assert arrived == [[["good"], {}, {}]]


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_published_and_is_no_message_is_dropped_and_the_next_one_arrives(
    redis_url: str, garbage: bytes
) -> None:
    """Whoever may ask workers something may publish anything there."""
    arrived: list[Any] = []
    asked = Queue("listener", Exchange("asked", type="fanout"), auto_delete=True, durable=False)
    with (
        redis.Redis.from_url(redis_url) as client,
        make_app(redis_url).connection() as connection,
        connection.Consumer(
            queues=[asked], accept=["json"], callbacks=[lambda body, _: arrived.append(body)], no_ack=True
        ),
    ):
        channel = f"{KEY_PREFIX}/{client.connection_pool.connection_kwargs['db']}.asked"
        until = time.monotonic() + PATIENCE_SECONDS
        while "good" not in arrived and time.monotonic() < until:
            # What is published before the listener listens is heard by nobody.
            client.publish(channel, garbage)
            client.publish(channel, json.dumps(message("good")))
            with suppress(TimeoutError):
                connection.drain_events(timeout=0.5)
    assert "good" in arrived
