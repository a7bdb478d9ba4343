"""Locks: one contract, in memory and on a real server, and what a real server does to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import pytest
from redis import Redis

from shared.errors import Unreachable
from shared.locks.base import Locks, supersedes
from shared.locks.memory import MemoryLocks
from shared.locks.redis import PREFIX, RedisLocks
from tests.contract.valkey import Valkey, lossy_wire
from tests.waiting import until

LONG = timedelta(minutes=5)
SHORT = timedelta(milliseconds=200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    locks: Locks
    elapse: Callable[[timedelta], None]


@pytest.fixture(scope="module")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One server for all: tests keep to names of their own, and do not stop it."""
    server = Valkey(tmp_path_factory.mktemp("valkey"), persistent=False)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(params=["persistent", "forgetful"])
def own_valkey(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Valkey]:
    """A server of the test's own, to kill and start again."""
    server = Valkey(tmp_path, persistent=request.param == "persistent")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def memory_locks() -> Subject:
    now = [0.0]
    locks = MemoryLocks(clock=lambda: now[0])

    def elapse(span: timedelta) -> None:
        now[0] += span.total_seconds()

    return Subject(locks=locks, elapse=elapse)


@pytest.fixture
def redis_locks(valkey_server: Valkey) -> Subject:
    locks = RedisLocks.connect(valkey_server.url)

    def elapse(span: timedelta) -> None:
        """Let the server's own clock pass `span`: a lock taken last is the last to end."""
        hourglass = f"hourglass-{uuid4().hex}"
        locks.acquire(hourglass, token="sand:1", ttl=span)
        until(lambda: locks.holder(hourglass) is None, "the hourglass has run out")

    return Subject(locks=locks, elapse=elapse)


@pytest.fixture(params=["memory", "redis"])
def subject(request: pytest.FixtureRequest) -> Subject:
    found = request.getfixturevalue(f"{request.param}_locks")
    assert isinstance(found, Subject)
    return found


@pytest.fixture
def name() -> str:
    return f"database:{uuid4().hex}"


def test_a_free_lock_is_ours_and_shows_who_holds_it(subject: Subject, name: str) -> None:
    assert subject.locks.holder(name) is None
    assert subject.locks.acquire(name, token="job-a:1", ttl=LONG) is None
    assert subject.locks.holder(name) == "job-a:1"


def test_a_second_job_is_told_the_holder_and_changes_nothing(subject: Subject, name: str) -> None:
    subject.locks.acquire(name, token="job-a:1", ttl=LONG)
    assert subject.locks.acquire(name, token="job-b:9", ttl=LONG) == "job-a:1"
    assert not subject.locks.renew(name, token="job-b:9", ttl=LONG)
    subject.locks.release(name, token="job-b:9")
    assert subject.locks.holder(name) == "job-a:1"


def test_locks_of_two_names_are_apart(subject: Subject, name: str) -> None:
    assert subject.locks.acquire(name, token="job-a:1", ttl=LONG) is None
    assert subject.locks.acquire(f"{name}-2", token="job-b:1", ttl=LONG) is None


def test_taking_it_again_starts_the_time_anew(subject: Subject, name: str) -> None:
    subject.locks.acquire(name, token="job-a:1", ttl=SHORT)
    assert subject.locks.acquire(name, token="job-a:1", ttl=LONG) is None
    subject.elapse(SHORT)
    assert subject.locks.holder(name) == "job-a:1"


def test_a_lock_ends_by_itself(subject: Subject, name: str) -> None:
    subject.locks.acquire(name, token="job-a:1", ttl=SHORT)
    subject.elapse(SHORT)
    assert subject.locks.holder(name) is None
    assert subject.locks.acquire(name, token="job-b:1", ttl=LONG) is None


def test_a_renewed_lock_outlives_its_first_time(subject: Subject, name: str) -> None:
    subject.locks.acquire(name, token="job-a:1", ttl=SHORT)
    assert subject.locks.renew(name, token="job-a:1", ttl=LONG)
    subject.elapse(SHORT)
    assert subject.locks.holder(name) == "job-a:1"


def test_renewing_sets_the_time_and_does_not_add_to_it(subject: Subject, name: str) -> None:
    subject.locks.acquire(name, token="job-a:1", ttl=LONG)
    assert subject.locks.renew(name, token="job-a:1", ttl=SHORT)
    subject.elapse(SHORT)
    assert subject.locks.holder(name) is None


def test_a_vanished_lock_is_taken_again_by_renewing(subject: Subject, name: str) -> None:
    subject.locks.acquire(name, token="job-a:1", ttl=SHORT)
    subject.elapse(SHORT)
    assert subject.locks.renew(name, token="job-a:1", ttl=LONG)
    assert subject.locks.holder(name) == "job-a:1"


def test_a_vanished_lock_that_somebody_else_took_stays_theirs(subject: Subject, name: str) -> None:
    subject.locks.acquire(name, token="job-a:1", ttl=SHORT)
    subject.elapse(SHORT)
    subject.locks.acquire(name, token="job-b:1", ttl=LONG)
    assert not subject.locks.renew(name, token="job-a:1", ttl=LONG)
    subject.locks.release(name, token="job-a:1")
    assert subject.locks.holder(name) == "job-b:1"


def test_letting_go_frees_it_and_may_be_repeated(subject: Subject, name: str) -> None:
    subject.locks.acquire(name, token="job-a:1", ttl=LONG)
    subject.locks.release(name, token="job-a:1")
    subject.locks.release(name, token="job-a:1")
    assert subject.locks.holder(name) is None
    assert subject.locks.acquire(name, token="job-b:1", ttl=LONG) is None


def test_a_later_epoch_takes_over_and_the_earlier_is_shut_out(subject: Subject, name: str) -> None:
    subject.locks.acquire(name, token="job-a:9", ttl=SHORT)
    assert subject.locks.acquire(name, token="job-a:10", ttl=LONG) is None
    assert subject.locks.holder(name) == "job-a:10"
    assert subject.locks.acquire(name, token="job-a:9", ttl=LONG) == "job-a:10"
    assert not subject.locks.renew(name, token="job-a:9", ttl=LONG)
    subject.locks.release(name, token="job-a:9")
    subject.elapse(SHORT)
    assert subject.locks.holder(name) == "job-a:10"


def test_renewing_takes_over_from_an_earlier_epoch(subject: Subject, name: str) -> None:
    subject.locks.acquire(name, token="job-a:1", ttl=LONG)
    assert subject.locks.renew(name, token="job-a:2", ttl=LONG)
    assert subject.locks.holder(name) == "job-a:2"


def test_of_many_racers_one_wins_and_the_rest_hear_its_name(subject: Subject, name: str) -> None:
    for round_ in range(20):
        start = Barrier(8)

        def race(racer: int, lock: str, start: Barrier = start) -> str | None:
            start.wait()
            return subject.locks.acquire(lock, token=f"job-{racer}:1", ttl=LONG)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(race, range(8), [f"{name}-{round_}"] * 8))
        winner = f"job-{answers.index(None)}:1"
        assert sorted(answers, key=str) == sorted([None, *[winner] * 7], key=str)
        assert subject.locks.holder(f"{name}-{round_}") == winner


def test_of_many_epochs_that_race_the_latest_holds_it(subject: Subject, name: str) -> None:
    start = Barrier(8)

    def race(epoch: int) -> str | None:
        start.wait()
        return subject.locks.acquire(name, token=f"job-a:{epoch}", ttl=LONG)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(race, range(8)))
    assert subject.locks.holder(name) == "job-a:7"
    assert answers[7] is None


@pytest.mark.parametrize("ttl", [timedelta(), timedelta(seconds=-1), timedelta(microseconds=999)])
def test_a_lock_that_would_never_end_or_never_begin_is_refused(
    subject: Subject, name: str, ttl: timedelta
) -> None:
    with pytest.raises(ValueError, match="cannot be held"):
        subject.locks.acquire(name, token="job-a:1", ttl=ttl)
    with pytest.raises(ValueError, match="cannot be held"):
        subject.locks.renew(name, token="job-a:1", ttl=ttl)
    assert subject.locks.holder(name) is None


@pytest.mark.parametrize(
    ("token", "holder", "expected"),
    [
        ("a:2", "a:1", True),
        ("a:10", "a:9", True),
        ("a:b:2", "a:b:1", True),
        ("a:1", "a:1", False),
        ("a:1", "a:2", False),
        ("b:2", "a:1", False),
        ("a:2", "a", False),
        ("2", "1", False),
        (":2", ":1", False),
        ("a:x", "a:1", False),
        ("a:2", "a:-1", False),
        ("a:2", "a:\u0661", False),
    ],
)
def test_only_a_later_epoch_of_the_same_job_supersedes(token: str, holder: str, *, expected: bool) -> None:
    assert supersedes(token, holder) is expected


@pytest.fixture
def raw(valkey_server: Valkey) -> Redis:
    return Redis.from_url(valkey_server.url)


def test_the_key_is_what_an_operator_looks_for(redis_locks: Subject, name: str, raw: Redis) -> None:
    redis_locks.locks.acquire(name, token="job-a:1", ttl=LONG)
    assert raw.get(f"snap:lock:{name}") == b"job-a:1"
    assert 0 < raw.pttl(f"snap:lock:{name}") <= LONG.total_seconds() * 1000


def test_a_foreign_tools_token_is_respected_whatever_it_looks_like(
    redis_locks: Subject, name: str, raw: Redis
) -> None:
    raw.set(PREFIX + name, b"\xff\xfe")
    assert redis_locks.locks.acquire(name, token="job-a:1", ttl=LONG) == "\ufffd\ufffd"
    redis_locks.locks.release(name, token="job-a:1")
    assert raw.get(PREFIX + name) == b"\xff\xfe"


def test_a_lost_reply_does_not_lock_us_out(valkey_server: Valkey, name: str) -> None:
    """The server has set the key, the client asks again and finds it taken: by ourselves."""
    with lossy_wire(valkey_server) as (wire, url):
        locks = RedisLocks.connect(url)
        assert locks.holder(name) is None  # the connection stands
        wire.lose_reply_to = b"SET\r\n"
        assert locks.acquire(name, token="job-a:1", ttl=LONG) is None
        assert wire.lost == 1
        assert locks.holder(name) == "job-a:1"


@pytest.mark.parametrize("command", [b"EVALSHA\r\n", b"GET\r\n"])
def test_a_lost_reply_to_renewal_or_question_is_asked_for_again(
    valkey_server: Valkey, name: str, command: bytes
) -> None:
    with lossy_wire(valkey_server) as (wire, url):
        locks = RedisLocks.connect(url)
        locks.acquire(name, token="job-a:1", ttl=LONG)
        wire.lose_reply_to = command
        assert locks.renew(name, token="job-a:1", ttl=LONG)
        assert locks.holder(name) == "job-a:1"
        assert wire.lost == 1


def test_a_release_whose_reply_is_lost_has_happened(valkey_server: Valkey, name: str) -> None:
    with lossy_wire(valkey_server) as (wire, url):
        locks = RedisLocks.connect(url)
        locks.acquire(name, token="job-a:1", ttl=LONG)
        locks.acquire(f"{name}-2", token="job-a:1", ttl=LONG)
        locks.release(f"{name}-2", token="job-a:1")  # from here on the server knows the script
        wire.lose_reply_to = b"EVALSHA\r\n"
        locks.release(name, token="job-a:1")
        assert wire.lost == 1
        assert locks.holder(name) is None


def test_a_server_that_is_down_is_unreachable_and_back_again(own_valkey: Valkey, name: str) -> None:
    """Whether or not the server remembers, the holder renews and goes on, over the same client."""
    locks = RedisLocks.connect(own_valkey.url)
    assert locks.acquire(name, token="job-a:1", ttl=LONG) is None
    own_valkey.kill()
    questions: list[Callable[[], object]] = [
        lambda: locks.acquire(name, token="job-a:1", ttl=LONG),
        lambda: locks.renew(name, token="job-a:1", ttl=LONG),
        lambda: locks.release(name, token="job-a:1"),
        lambda: locks.holder(name),
    ]
    for ask in questions:
        with pytest.raises(Unreachable) as caught:
            ask()
        assert caught.value.code == "redis_unreachable"
    own_valkey.start()
    assert locks.renew(name, token="job-a:1", ttl=LONG)
    assert locks.acquire(name, token="job-b:1", ttl=LONG) == "job-a:1"


def test_a_server_that_restarts_between_two_questions_is_not_noticed(own_valkey: Valkey, name: str) -> None:
    locks = RedisLocks.connect(own_valkey.url)
    locks.acquire(name, token="job-a:1", ttl=LONG)
    own_valkey.kill()
    own_valkey.start()
    assert locks.renew(name, token="job-a:1", ttl=LONG)
    assert locks.holder(name) == "job-a:1"


def test_a_wrong_password_is_unreachable_and_not_told(valkey_server: Valkey, name: str) -> None:
    locks = RedisLocks.connect(valkey_server.url.replace("only-for-tests", "guessed"))
    with pytest.raises(Unreachable) as caught:
        locks.acquire(name, token="job-a:1", ttl=LONG)
    assert "guessed" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
