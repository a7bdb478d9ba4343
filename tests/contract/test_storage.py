"""The contract of `Storage`, kept by every place that objects can be in."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from shared.domain.ids import new_probe_id
from shared.errors import Damaged, NotFound, Refused, SnapfleetError, Transient
from shared.storage import keys
from shared.storage.base import Stat, Storage

RACERS = 12
AWKWARD_KEYS = (
    "A/x", "a-b", "a.c", "a/b", "a/b c/\"d'", "a/b-1", "a/--file=x", "a/host=evil", "a/ü%+&?#é", "a0", "ab/c",
    "a/" + "ü" * 31 + "x", "deep/er/and/deep/er", ".hidden", "trailing ./dot.",
)  # fmt: skip
NOT_KEYS = (
    "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "../a", "a\0b", "a\nb", "a\ud800", "x" * 256,
    "/".join("x" * 200 for _ in range(5)), f"{keys.SCRATCH}/x",
)  # fmt: skip


def digest_of(body: bytes | bytearray) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 70_000, 5_000_000])
def test_what_was_put_is_what_is_got_and_headed(storage: Storage, size: int) -> None:
    body = os.urandom(size)
    storage.put("orders/chunks/3f/3f9a", body)
    assert storage.get("orders/chunks/3f/3f9a", sha256=digest_of(body)) == body
    assert storage.head("orders/chunks/3f/3f9a") == Stat(
        key="orders/chunks/3f/3f9a", size_bytes=size, sha256=digest_of(body)
    )


def test_a_bytearray_is_stored_as_it_was_when_put(storage: Storage) -> None:
    body = bytearray(os.urandom(100_000))
    as_put = bytes(body)
    storage.put("a", body)
    body[:] = bytes(len(body))
    assert storage.get("a") == as_put


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 1), (0, 10), (3, 4), (9, 1), (9, 5), (3, None), (0, 99), (10, None), (10, 1), (99, 9), (4, 0)],
)
def test_a_range_is_a_slice(storage: Storage, start: int, length: int | None) -> None:
    body = b"0123456789"
    storage.put("a", body)
    end = None if length is None else start + length
    assert storage.get("a", start=start, length=length) == body[start:end]


def test_a_range_of_an_empty_object_is_empty(storage: Storage) -> None:
    storage.put("a", b"")
    assert storage.get("a", start=0, length=5) == b""


@pytest.mark.parametrize(("start", "length"), [(-1, None), (0, -1)])
def test_a_negative_range_is_a_mistake_of_the_caller(
    storage: Storage, start: int, length: int | None
) -> None:
    storage.put("a", b"0123456789")
    with pytest.raises(ValueError, match="no range"):
        storage.get("a", start=start, length=length)


def test_a_digest_with_a_range_is_a_mistake_of_the_caller(storage: Storage) -> None:
    storage.put("a", b"0123456789")
    with pytest.raises(ValueError, match="whole object"):
        storage.get("a", start=1, sha256=digest_of(b"123456789"))


def test_bytes_with_another_digest_are_damaged(storage: Storage) -> None:
    storage.put("a", b"these")
    with pytest.raises(Damaged) as raised:
        storage.get("a", sha256=digest_of(b"those"))
    assert raised.value.code == "object_damaged"


def test_what_is_missing_is_said_to_be_missing(storage: Storage) -> None:
    storage.put("there", b"x")
    for read in (storage.get, storage.head, lambda key: storage.get(key, start=2, length=3)):
        with pytest.raises(NotFound) as raised:
            read("not/there")
        assert raised.value.code == "object_missing"


def test_a_put_replaces(storage: Storage) -> None:
    storage.put("a", b"first, and longer")
    storage.put("a", b"second")
    assert storage.get("a") == b"second"
    assert storage.head("a").sha256 == digest_of(b"second")


def test_create_only_refuses_an_existing_object_and_leaves_it(storage: Storage) -> None:
    storage.put("a", b"first", create_only=True)
    with pytest.raises(Refused) as raised:
        storage.put("a", b"second", create_only=True)
    assert raised.value.code == "object_exists"
    assert storage.get("a") == b"first"


def test_create_only_works_again_after_a_delete(storage: Storage) -> None:
    storage.put("a", b"first", create_only=True)
    storage.delete("a")
    storage.put("a", b"second", create_only=True)
    assert storage.get("a") == b"second"


def test_of_twelve_racers_one_creates_the_object_or_check_says_otherwise(storage: Storage) -> None:
    start = threading.Barrier(RACERS)

    def race(racer: int) -> str:
        start.wait()
        try:
            storage.put("race", f"racer {racer}".encode(), create_only=True)
        except Transient as exc:
            return exc.code
        except Refused as exc:
            return exc.code
        return "won"

    with ThreadPoolExecutor(RACERS) as racers:
        outcomes = list(racers.map(race, range(RACERS)))
    able = storage.check()
    if able.create_only:
        winner = outcomes.index("won")
        assert sorted(outcomes) == ["object_exists"] * (RACERS - 1) + ["won"]
        assert storage.get("race") == f"racer {winner}".encode()
        assert able.warning is None
    else:
        assert "won" in outcomes
        assert able.warning is not None
        assert "conditional writes" in able.warning


def test_a_list_has_every_object_once_in_order(storage: Storage) -> None:
    for key in AWKWARD_KEYS:
        storage.put(key, key.encode())
    expected = [Stat(key=key, size_bytes=len(key.encode()), sha256=None) for key in sorted(AWKWARD_KEYS)]
    assert list(storage.list("")) == expected
    for key in AWKWARD_KEYS:
        assert storage.get(key, sha256=digest_of(key.encode())) == key.encode()


@pytest.mark.parametrize(
    "prefix_listed", ["a", "a/", "a/b", "a/b ", "deep/er/", "deep/er/a", "none", "a/none"]
)
def test_a_prefix_is_characters_not_a_folder(storage: Storage, prefix_listed: str) -> None:
    for key in AWKWARD_KEYS:
        storage.put(key, b"")
    expected = [key for key in sorted(AWKWARD_KEYS) if key.startswith(prefix_listed)]
    assert [stat.key for stat in storage.list(prefix_listed)] == expected


def test_a_list_tells_when_each_object_was_put_or_that_nobody_knows(storage: Storage) -> None:
    storage.put("a", b"")
    (stat,) = storage.list("")
    if stat.modified_at is not None:
        assert abs(datetime.now(UTC) - stat.modified_at) < timedelta(minutes=1)


def test_no_upload_is_ever_left_open(storage: Storage) -> None:
    storage.put("a", b"x" * 100)
    with suppress(Refused):  # there are servers that cannot list them
        assert list(storage.uploads("")) == []


def test_an_empty_storage_lists_nothing(storage: Storage) -> None:
    assert list(storage.list("")) == []
    assert list(storage.list("a/b")) == []


def test_folders_are_the_next_segments_of_the_keys(storage: Storage) -> None:
    for key in AWKWARD_KEYS:
        storage.put(key, b"")
    assert list(storage.folders("")) == ["A", "a", "ab", "deep", "trailing ."]
    assert list(storage.folders("a/")) == ["b c"]
    assert list(storage.folders("deep/")) == ["er"]
    assert list(storage.folders("deep/er/")) == ["and"]
    assert list(storage.folders("none/")) == []


def test_a_delete_removes_and_may_be_repeated(storage: Storage) -> None:
    storage.put("a/b", b"x")
    storage.put("a/c", b"x")
    storage.delete("a/b")
    storage.delete("a/b")
    storage.delete("never/was")
    with pytest.raises(NotFound):
        storage.get("a/b")
    assert [stat.key for stat in storage.list("")] == ["a/c"]


def test_each_side_has_what_was_put_and_lists_what_it_has_itself(storage: Storage) -> None:
    sides = storage.sides()
    storage.put("a/b", b"1")
    for robbed in sides:
        robbed.delete("a/b")
        assert [[stat.key for stat in side.list("")] for side in sides] == [
            [] if side is robbed else ["a/b"] for side in sides
        ]
        storage.put("a/b", b"1")
        assert [side.get("a/b") for side in sides] == [b"1"] * len(sides)
    storage.delete("a/b")
    assert not any(list(side.list("")) for side in sides)


def test_what_is_no_key_is_refused_by_every_method(storage: Storage) -> None:
    for key in NOT_KEYS:
        for use in (storage.get, storage.head, storage.delete, lambda key: storage.put(key, b"x")):
            with pytest.raises(Refused) as raised:
                use(key)
            assert raised.value.code == "bad_key", repr(key)
    assert list(storage.list("")) == []


def test_a_check_passes_and_leaves_nothing(storage: Storage) -> None:
    storage.check()
    storage.check(probe_id="given")
    assert list(storage.list("")) == []


def test_a_check_removes_what_a_killed_one_left_and_leaves_those_that_may_still_run(storage: Storage) -> None:
    killed, running = "20261122T000000Z-aa", "20261122T013000Z-bb"
    for probe in (killed, running, "of-nobody-knows-when"):
        storage.put(f"{keys.PROBES}/{probe}", b"x")
    storage.check(probe_id=new_probe_id(datetime(2026, 11, 22, 2, 0, tzinfo=UTC), uuid4()))
    left = [stat.key.rpartition("/")[2] for stat in storage.list("")]
    assert left == [running, "of-nobody-knows-when"]


def test_a_reader_that_knows_the_digest_gets_no_mixture_while_a_writer_replaces(storage: Storage) -> None:
    """Bodies of different lengths. rclone does answer with mixtures; whoever gives the digest hears of it."""
    versions = [bytes([number]) * (200_000 + 50_000 * number) for number in range(4)]
    digests = itertools.cycle(map(digest_of, versions))
    storage.put("a", versions[0])
    done = threading.Event()

    def read_on() -> list[bytes]:
        seen: list[bytes] = []
        while not done.is_set() or not seen:
            with suppress(Damaged):
                wanted = next(digests)
                body = storage.get("a", sha256=wanted)
                assert digest_of(body) == wanted
                seen.append(body)
        return seen

    with ThreadPoolExecutor(1) as readers:
        reading = readers.submit(read_on)
        try:
            for version in versions * 3:
                storage.put("a", version)
        finally:
            done.set()
    assert set(reading.result()) <= set(versions)


def test_threads_share_one_storage(storage: Storage) -> None:
    bodies = {f"shared/{number}": os.urandom(20_000) for number in range(40)}
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: storage.put(key, bodies[key]), bodies))
        assert dict(zip(bodies, threads.map(storage.get, bodies), strict=True)) == bodies


def test_no_error_holds_the_secret(storage: Storage) -> None:
    with pytest.raises(SnapfleetError) as raised:
        storage.get("not/there")
    assert "fleet-secret-key" not in f"{raised.value.facts()} {storage.location}"
