"""A source of state: asked seldom, waited for briefly, and never answered for with what was true before."""

from __future__ import annotations

import threading
from datetime import timedelta

from shared.errors import Unreachable
from shared.metrics.source import Source

NOT_LONG, LONG = timedelta(milliseconds=20), timedelta(seconds=30)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """Counts how often it is asked; fails while `broken`, hangs while `gate` is closed."""

    def __init__(self) -> None:
        self.times = 0
        self.broken = False
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self) -> int:
        self.times += 1
        assert self.gate.wait(30)
        if self.broken:
            raise Unreachable("away", code="catalog_unreachable")
        return self.times


def made(asked: Asked, clock: Clock) -> Source[int]:
    return Source("catalog", asked, fresh_for=timedelta(seconds=15), clock=clock, wall=lambda: 1_000.0)


def test_within_fifteen_seconds_it_is_asked_once() -> None:
    asked, clock = Asked(), Clock()
    source = made(asked, clock)
    assert [source.look(patience=LONG) for _ in range(3)] == [1, 1, 1]
    clock.now = 16.0
    assert source.look(patience=LONG) == 2
    assert source.standing.errors == 0
    assert source.standing.succeeded_at == 1_000.0


def test_what_was_true_before_is_not_told_once_it_cannot_be_read() -> None:
    asked, clock = Asked(), Clock()
    source = made(asked, clock)
    assert source.look(patience=LONG) == 1
    clock.now, asked.broken = 16.0, True
    assert source.look(patience=LONG) is None
    assert (source.standing.errors, source.standing.succeeded_at) == (1, 1_000.0)
    asked.broken = False
    assert source.look(patience=LONG) == 3, "a failure is not remembered"


def test_a_question_that_hangs_is_not_asked_again_beside_itself() -> None:
    asked, clock = Asked(), Clock()
    source = made(asked, clock)
    asked.gate.clear()
    assert source.look(patience=NOT_LONG) is None
    assert source.look(patience=NOT_LONG) is None
    assert (asked.times, source.standing.errors) == (1, 2)
    asked.gate.set()
    assert source.look(patience=LONG) == 1


def test_an_answer_that_came_too_late_is_not_told() -> None:
    asked, clock = Asked(), Clock()
    source = made(asked, clock)
    asked.gate.clear()
    assert source.look(patience=NOT_LONG) is None
    asking = source.begin()
    clock.now = 60.0
    asked.gate.set()
    assert asking is not None
    assert asking.wait(30)
    assert source.look(patience=LONG) == 2, "it is asked anew"
