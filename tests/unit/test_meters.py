"""What work tells of itself: storage calls, lease renewals, and how far it is in words."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from shared.domain import wording
from shared.domain.meters import NoMeters
from shared.errors import NotFound, Unreachable
from shared.operations.jobs.lease import Lease, LeaseLost
from shared.storage.memory import MemoryStorage
from shared.storage.metered import MeteredStorage


class Heard(NoMeters):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, int, int, str | None]] = []
        self.renewals: list[str] = []
        self.enough = threading.Event()

    def storage_called(
        self, place: str, operation: str, *, seconds: float, put_bytes: int, got_bytes: int, code: str | None
    ) -> None:
        assert seconds >= 0
        self.calls.append((place, operation, put_bytes, got_bytes, code))

    def lease_renewed(self, outcome: str, *, seconds: float) -> None:
        assert seconds >= 0
        self.renewals.append(outcome)
        if len(self.renewals) == 3:
            self.enough.set()


def test_a_storage_tells_of_each_call_what_it_moved_and_how_it_ended() -> None:
    heard = Heard()
    storage = MeteredStorage(MemoryStorage(), place="folder", meters=heard)
    storage.put("a/b", b"12345")
    assert storage.get("a/b", start=1, length=3) == b"234"
    assert [stat.key for stat in storage.list("a/")] == ["a/b"]
    assert list(storage.folders("")) == ["a"]
    with pytest.raises(NotFound):
        storage.get("a/c")
    assert heard.calls == [
        ("folder", "put", 5, 0, None),
        ("folder", "get", 0, 3, None),
        ("folder", "list", 0, 0, None),
        ("folder", "folders", 0, 0, None),
        ("folder", "get", 0, 0, "object_missing"),
    ]


def test_a_lease_tells_of_each_renewal() -> None:
    heard = Heard()
    answers: list[Exception | None] = [None, Unreachable("away", code="x"), LeaseLost("gone")]

    def renew() -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    with Lease(renew, ttl=timedelta(milliseconds=40), taken_at=time.monotonic(), meters=heard):
        assert heard.enough.wait(10)
    assert heard.renewals == ["renewed", "failed", "lost"]


@pytest.mark.parametrize(
    ("done", "of", "done_parts", "parts", "text"),
    [
        (1_200_000_000, 3_400_000_000, 3, 8, "35 % · 1.20 of 3.40 GB · 3 of 8 parts"),
        (0, 3_400_000_000, 0, 1, "0 % · 0.00 of 3.40 GB · 0 of 1 part"),
        # It was expected to be less; it is not over.
        (50_000_000, 40_000_000, 1, 2, "99 % · 0.05 of 0.05 GB · 1 of 2 parts"),
        (20_000_000, 0, 0, 0, "0.02 GB"),
        (0, 0, 0, 0, ""),
    ],
)
def test_progress_in_one_line(done: int, of: int, done_parts: int, parts: int, text: str) -> None:
    said = wording.progress(done_parts=done_parts, parts=parts, done_bytes=done, expected_bytes=of)
    assert said == text
