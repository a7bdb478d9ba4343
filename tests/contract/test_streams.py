"""Streams: one contract, in memory and on a real server, and what a real server does to it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from shared.errors import Unreachable
from shared.streams.base import EVENTS, REQUESTS, Entry, Streams
from shared.streams.memory import MemoryStreams
from shared.streams.redis import RedisStreams
from tests.contract.valkey import PASSWORD, Valkey
from tests.waiting import until

AT_ONCE = timedelta(0)
LONG = timedelta(minutes=5)
IN, OUT, GROUP = "in", "out", "group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    streams: Streams
    elapse: Callable[[timedelta], None]

    def send(self, *bodies: bytes) -> list[str]:
        return self.streams.append(IN, [{"event": body} for body in bodies])

    def take(self, reader: str = "one", count: int = 10) -> list[Entry]:
        return self.streams.take(IN, group=GROUP, reader=reader, count=count, wait=AT_ONCE)

    def take_over(self, reader: str = "two", idle: timedelta = AT_ONCE) -> Entry | None:
        return self.streams.take_over(IN, group=GROUP, reader=reader, idle=idle)

    def settle(self, entry: Entry) -> None:
        self.streams.settle(IN, group=GROUP, entry_id=entry.id)


@pytest.fixture
def in_memory() -> Subject:
    now = [1_000.0]

    def elapse(span: timedelta) -> None:
        now[0] += span.total_seconds()

    return Subject(streams=MemoryStreams(clock=lambda: now[0]), elapse=elapse)


@pytest.fixture
def in_redis(redis_url: str) -> Subject:
    return Subject(
        streams=RedisStreams.connect(redis_url), elapse=lambda span: time.sleep(span.total_seconds())
    )


@pytest.fixture(params=["in_memory", "in_redis"])
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.getfixturevalue(request.param)
    return found


def bodies(entries: list[Entry]) -> list[bytes]:
    return [entry.fields["event"] for entry in entries]


def test_a_group_begins_with_what_was_sent_before_it_was_made(subject: Subject) -> None:
    ids = subject.send(b"1", b"2", b"3")
    taken = subject.take()
    assert [entry.id for entry in taken] == ids
    assert bodies(taken) == [b"1", b"2", b"3"]
    assert {entry.deliveries for entry in taken} == {1}


def test_readers_of_a_group_share_what_is_there(subject: Subject) -> None:
    subject.send(b"1", b"2", b"3")
    assert bodies(subject.take("one", count=2)) == [b"1", b"2"]
    assert bodies(subject.take("two")) == [b"3"]
    assert subject.take("one") == []


def test_a_reader_waits_for_the_first_entry_and_no_longer(subject: Subject) -> None:
    began = time.monotonic()
    later = threading.Timer(0.2, lambda: subject.send(b"late"))
    later.start()
    taken = subject.streams.take(IN, group=GROUP, reader="one", count=10, wait=timedelta(seconds=20))
    later.join()
    assert bodies(taken) == [b"late"]
    assert time.monotonic() - began < 10


def test_an_entry_that_is_not_settled_can_be_taken_over_and_counts_as_delivered_again(
    subject: Subject,
) -> None:
    (sent,) = subject.send(b"1")
    subject.take("one")
    for times in (2, 3, 4):
        entry = subject.take_over("two")
        assert entry is not None
        assert (entry.id, entry.fields["event"], entry.deliveries) == (sent, b"1", times)


def test_what_was_handed_out_just_now_is_not_taken_over(subject: Subject) -> None:
    subject.send(b"1", b"2")
    subject.take()
    assert subject.take_over(idle=LONG) is None
    subject.elapse(timedelta(milliseconds=50))
    assert subject.take_over(idle=timedelta(milliseconds=20)) is not None
    assert subject.take_over(idle=timedelta(seconds=10)) is None


def test_taking_over_finds_the_one_that_was_left_behind_many_that_are_in_good_hands(subject: Subject) -> None:
    subject.send(*(str(n).encode() for n in range(50)))
    subject.take("one", count=50)
    subject.elapse(timedelta(milliseconds=300))
    for _ in range(49):
        assert subject.take_over("two", idle=timedelta(milliseconds=250)) is not None
    last = subject.take_over("two", idle=timedelta(milliseconds=250))
    assert last is not None
    assert last.fields["event"] == b"49"
    assert subject.take_over("two", idle=LONG) is None


def test_a_settled_entry_is_gone_from_group_and_stream(subject: Subject) -> None:
    subject.send(b"1", b"2")
    first, _ = subject.take()
    subject.settle(first)
    subject.settle(first)
    assert subject.streams.length(IN) == 1
    entry = subject.take_over()
    assert entry is not None
    assert entry.fields["event"] == b"2"


def test_a_settled_entry_can_move_to_another_stream(subject: Subject) -> None:
    subject.send(b"1")
    (entry,) = subject.take()
    subject.streams.settle(IN, group=GROUP, entry_id=entry.id, moved_to=OUT, as_={"event": b"1", "why": b"x"})
    assert subject.streams.length(IN) == 0
    assert [dict(e.fields) for e in subject.streams.before(OUT, entry_id=None, count=10)] == [
        {"event": b"1", "why": b"x"}
    ]


def test_whoever_belongs_to_no_group_reads_what_is_behind_an_entry(subject: Subject) -> None:
    ids = subject.send(b"1", b"2", b"3")

    def after(entry_id: str) -> list[bytes]:
        return bodies(subject.streams.after(IN, entry_id=entry_id, count=10, wait=AT_ONCE))

    assert after("0-0") == [b"1", b"2", b"3"]
    assert after(ids[1]) == [b"3"]
    assert after(ids[2]) == []


def test_looking_back_is_newest_first_and_page_by_page(subject: Subject) -> None:
    ids = subject.send(b"1", b"2", b"3")
    assert bodies(subject.streams.before(IN, entry_id=None, count=2)) == [b"3", b"2"]
    assert bodies(subject.streams.before(IN, entry_id=ids[1], count=2)) == [b"1"]
    assert subject.streams.before(IN, entry_id=ids[0], count=2) == []
    assert subject.streams.before("never", entry_id=None, count=2) == []


def test_deleting_says_how_many_were_there(subject: Subject) -> None:
    ids = subject.send(b"1", b"2")
    assert subject.streams.delete(IN, ids) == 2
    assert subject.streams.delete(IN, ids) == 0
    assert subject.streams.delete(IN, []) == 0


def test_a_reader_that_leaves_keeps_what_it_held_for_others(subject: Subject) -> None:
    subject.streams.leave(IN, group=GROUP, reader="one")
    subject.send(b"1")
    subject.take("one")
    subject.streams.leave(IN, group=GROUP, reader="one")
    entry = subject.take_over("two")
    assert entry is not None
    assert entry.fields["event"] == b"1"


def test_trimming_keeps_the_newest_when_nobody_belongs_to_a_group(subject: Subject) -> None:
    subject.send(*(str(n).encode() for n in range(10)))
    assert subject.streams.trim(IN, keep=20, at_most=100) == 0
    assert subject.streams.trim(IN, keep=4, at_most=2) == 2
    assert subject.streams.trim(IN, keep=4, at_most=100) == 4
    assert subject.streams.trim(IN, keep=4, at_most=100) == 0
    left = subject.streams.after(IN, entry_id="0-0", count=10, wait=AT_ONCE)
    assert bodies(left) == [b"6", b"7", b"8", b"9"]


def test_trimming_never_drops_what_a_group_has_not_settled(subject: Subject) -> None:
    subject.send(*(str(n).encode() for n in range(10)))
    assert subject.streams.unread(IN) == []
    held, done, *_ = subject.take(count=5)
    assert subject.streams.trim(IN, keep=1, at_most=100) == 0
    subject.settle(held)
    (behind,) = subject.streams.unread(IN)
    assert (behind.group, behind.oldest) == (GROUP, done.id)
    for entry in iter(subject.take_over, None):
        subject.streams.settle(IN, group=GROUP, entry_id=entry.id)
    # Five of them nobody has even seen.
    assert subject.streams.trim(IN, keep=1, at_most=100) == 0
    assert subject.streams.length(IN) == 5


def test_trimming_waits_for_the_slowest_group(subject: Subject) -> None:
    subject.send(*(str(n).encode() for n in range(6)))
    for entry in subject.streams.take(IN, group="fast", reader="r", count=6, wait=AT_ONCE):
        assert entry.deliveries == 1
    for group, read in (("fast", 6), ("slow", 2)):
        subject.streams.take(IN, group=group, reader="r", count=read, wait=AT_ONCE)
    assert {each.group for each in subject.streams.unread(IN)} == {"fast", "slow"}
    assert subject.streams.trim(IN, keep=0, at_most=100) == 0


def test_a_group_that_has_settled_everything_holds_nothing_back(subject: Subject) -> None:
    subject.send(b"1", b"2")
    for entry in subject.take():
        subject.settle(entry)
    (state,) = subject.streams.unread(IN)
    assert state.oldest is None
    subject.send(b"3")
    (state,) = subject.streams.unread(IN)
    assert state.oldest is not None


def test_the_newest_are_kept_when_a_stream_is_capped(subject: Subject) -> None:
    subject.send(*(str(n).encode() for n in range(1_000)))
    subject.streams.cap(IN, keep=10)
    # A server may keep some more: it drops whole blocks.
    assert 10 <= subject.streams.length(IN) <= 300
    assert bodies(subject.streams.before(IN, entry_id=None, count=1)) == [b"999"]


def test_a_group_is_made_again_when_the_server_has_lost_its_memory(in_redis: Subject, redis_url: str) -> None:
    in_redis.send(b"1")
    in_redis.take()
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        assert in_redis.take() == []
        client.flushdb()
        assert in_redis.take_over() is None
        client.flushdb()
        assert in_redis.streams.unread(IN) == []
        in_redis.streams.leave(IN, group=GROUP, reader="one")
        in_redis.send(b"2")
        client.xgroup_destroy(IN, GROUP)
    assert bodies(in_redis.take()) == [b"2"]


def test_an_entry_that_somebody_took_out_of_the_stream_is_not_taken_over(subject: Subject) -> None:
    ids = subject.send(b"1", b"2")
    subject.take()
    subject.streams.delete(IN, ids[:1])
    entry = subject.take_over()
    assert entry is not None
    assert entry.fields["event"] == b"2"


def test_whatever_bytes_were_sent_are_read(subject: Subject) -> None:
    body = bytes(range(256))
    subject.send(body)
    assert bodies(subject.take()) == [body]


def test_a_field_whose_name_is_no_text_harms_nobody(in_redis: Subject, redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        client.xadd(IN, {b"\xff\xfe": b"1", b"event": b"2"})
    assert bodies(in_redis.take()) == [b"2"]


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path, persistent=True)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def test_a_server_that_is_away_is_unreachable_and_one_that_returns_remembers_who_held_what(
    own_valkey: Valkey,
) -> None:
    subject = Subject(streams=RedisStreams.connect(own_valkey.url), elapse=lambda _: None)
    subject.send(b"1", b"2")
    first, _ = subject.take()
    subject.settle(first)
    own_valkey.kill()
    for ask in (subject.take, subject.take_over, lambda: subject.send(b"3"), lambda: subject.settle(first)):
        with pytest.raises(Unreachable) as caught:
            ask()
        assert caught.value.code == "redis_unreachable"
    own_valkey.start()
    until(lambda: answers(subject), "it answers")
    entry = subject.take_over()
    assert entry is not None
    assert entry.fields["event"] == b"2"


def test_a_server_without_memory_left_is_unreachable(own_valkey: Valkey) -> None:
    subject = Subject(streams=RedisStreams.connect(own_valkey.url), elapse=lambda _: None)
    with Redis.from_url(own_valkey.url) as client:
        client.config_set("maxmemory", "1mb")
    with pytest.raises(Unreachable):
        subject.send(*[b"x" * 100_000] * 50)


def test_the_rights_that_are_documented_for_a_service_are_enough_and_not_too_many(own_valkey: Valkey) -> None:
    page = (Path(__file__).parents[2] / "docs" / "event-bus.md").read_text("utf-8")
    (rules,) = re.findall(r"ACL SETUSER journal (on [^`]*)```", page)
    with Redis.from_url(own_valkey.url) as admin:
        admin.execute_command("ACL", "SETUSER", "journal", *rules.split())
        streams = RedisStreams.connect(
            own_valkey.url.replace("redis://:", "redis://journal:").replace(PASSWORD, "secret")
        )
        admin.xadd(EVENTS, {"event": b"heard"})
        assert streams.append(REQUESTS, [{"event": b"asked"}])
        assert bodies(streams.before(EVENTS, entry_id=None, count=1)) == [b"heard"]
        assert bodies(streams.after(EVENTS, entry_id="0-0", count=1, wait=AT_ONCE)) == [b"heard"]
        for too_much in (
            lambda: streams.append(EVENTS, [{"event": b"forged"}]),
            lambda: streams.append("snap:jobs", [{"event": b"task"}]),
            lambda: streams.before(REQUESTS, entry_id=None, count=1),
            lambda: streams.delete(REQUESTS, ["0-1"]),
        ):
            with pytest.raises(Unreachable, match="NoPermission"):
                too_much()


def answers(subject: Subject) -> bool:
    try:
        return subject.streams.length(IN) >= 0
    except Unreachable:
        return False
