"""What each user of Redis cannot do. That it can do what it must is seen where a whole fleet runs as them."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import redis
from redis.exceptions import NoPermissionError

from tests.contract.redis_users import USERS, GuardedValkey

QUEUE, RESTORES, LOCK = "snap:jobs", "snap:restore", "snap:lock:orders"
REQUESTS, EVENTS, DEAD = "snapfleet:requests", "snapfleet:events", "snapfleet:dead"
PIDBOX, TOLD = "snap:/0.celery.pidbox", "snap:/0.celeryev/worker.online"
NOBODY_S = (
    "flushall",
    "flushdb",
    "keys *",
    "scan 0",
    "config get *",
    "config set requirepass x",
    "acl list",
    "acl setuser pwned on nopass +@all",
    "monitor",
    "client list",
    "client kill type normal",
    "shutdown nosave",
    "module list",
    "replicaof 127.0.0.1 1",
    "save",
    "script flush",
    "function load x",
    f"dump {QUEUE}",
    f"migrate 127.0.0.1 1 {QUEUE} 0 1000",
    f"rename {QUEUE} snap:else",
    "set other x",
    "get other",
    "publish other x",
    "subscribe other",
    "select 1",
)
FORBIDDEN = {
    "worker": (f"xadd {REQUESTS} * event x", f"xread streams {EVENTS} 0", f"xtrim {EVENTS} maxlen 0"),
    "beat": (
        f"lpush {RESTORES} x",
        f"lpush {QUEUE} x",
        f"set {LOCK} x",
        "brpop snap:control 1",
        f"xadd {REQUESTS} * event x",
        f"publish {PIDBOX} x",
    ),
    "bus": (
        "lpush snap:control x",
        "lpush snap:parts x",
        f"brpop {QUEUE} 1",
        f"set {LOCK} x",
        f"del {LOCK}",
        f"publish {PIDBOX} x",
    ),
    "api": (
        "lpush snap:parts x",
        f"brpop {QUEUE} 1",
        f"set {LOCK} x",
        f"del {LOCK}",
        f"xadd {EVENTS} * event x",
        f"publish {PIDBOX} x",
    ),
    "exporter": (
        f"lpush {QUEUE} x",
        f"brpop {QUEUE} 1",
        f"del {QUEUE}",
        f"set {LOCK} x",
        f"xadd {REQUESTS} * event x",
        f"publish {TOLD} x",
    ),
    "flower": (
        f"lpush {QUEUE} x",
        f"brpop {QUEUE} 1",
        f"del {QUEUE}",
        f"set {LOCK} x",
        "hdel snap:unacked x",
        f"xadd {REQUESTS} * event x",
        f"xread streams {EVENTS} 0",
    ),
    "consciousness": (
        f"lpush {QUEUE} x",
        f"lpush {RESTORES} x",
        f"llen {QUEUE}",
        f"get {LOCK}",
        f"xread streams {REQUESTS} 0",
        f"xdel {REQUESTS} 1-1",
        f"xadd {EVENTS} * event x",
        f"xadd {DEAD} * event x",
        f"xtrim {EVENTS} maxlen 0",
        f"publish {PIDBOX} x",
        f"subscribe {TOLD}",
        "eval return 0",
        "info",
    ),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Generator[GuardedValkey]:
    server = GuardedValkey(tmp_path_factory.mktemp("guarded"))
    server.start()
    yield server
    server.stop()


def test_the_file_knows_exactly_these_users() -> None:
    assert set(USERS) == set(FORBIDDEN)


@pytest.mark.parametrize("user", USERS)
def test_a_user_can_do_nothing_that_is_not_its_business(user: str, guarded: GuardedValkey) -> None:
    done = []
    with redis.Redis.from_url(guarded.url_of(user), protocol=2) as client:
        client.ping()
        for command in (*NOBODY_S, *FORBIDDEN[user]):
            try:
                client.execute_command(*command.split())
            except NoPermissionError:
                continue
            done.append(command)
    assert done == []


@pytest.mark.parametrize("user", USERS)
def test_a_user_without_the_password_is_nobody(user: str, guarded: GuardedValkey) -> None:
    for url in (f"redis://127.0.0.1:{guarded.port}/0", f"redis://{user}:<{user}>@127.0.0.1:{guarded.port}/0"):
        with (
            redis.Redis.from_url(url, protocol=2) as client,
            pytest.raises((redis.AuthenticationError, redis.ResponseError)),
        ):
            client.ping()


def test_a_publisher_can_ask_and_hear(guarded: GuardedValkey) -> None:
    with redis.Redis.from_url(guarded.url_of("consciousness"), protocol=2) as client:
        assert client.xadd(REQUESTS, {"event": "{}"})
        assert client.xread({EVENTS: "0"}) == []
        assert client.xrevrange(EVENTS, count=1) == []
