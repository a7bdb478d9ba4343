"""Which statement comes next: hypothesis chooses, rule by rule, and leaves whole kinds of them out of a story."""

from __future__ import annotations

from itertools import count
from random import Random

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.incremental.world import Step, World

DICE = st.integers(0, 2**32 - 1)
STORY_STEPS = 50
SELDOM = 4
"""What has much read again is done once in so many times that it comes up; a row is changed instead."""
FORGOTTEN = 100
"""The same of what has everything read again."""


class Machine(RuleBasedStateMachine):
    """One story. Worlds outlive their stories: what one has left behind the next goes on with."""

    def __init__(self, world: World, *, is_told: bool) -> None:
        super().__init__()
        self.world = world
        self._is_told = is_told

    @rule(number=DICE)
    def change(self, number: int) -> None:
        self._step(World.change, number)

    @rule(number=DICE)
    def change_more(self, number: int) -> None:
        self._step(World.change, number)

    @rule(number=DICE)
    def begin(self, number: int) -> None:
        self._step(World.begin, number)

    @rule(number=DICE)
    def go_on(self, number: int) -> None:
        self._step(World.go_on, number)

    @rule(number=DICE)
    def go_on_more(self, number: int) -> None:
        self._step(World.go_on, number)

    @rule(number=DICE)
    def save(self, number: int) -> None:
        self._step(World.save, number)

    @rule(number=DICE)
    def end(self, number: int) -> None:
        self._step(World.end, number)

    @rule(number=DICE)
    def prepare(self, number: int) -> None:
        self._step(World.prepare, number)

    @rule(number=DICE)
    def end_prepared(self, number: int) -> None:
        self._step(World.end_prepared, number)

    @rule(number=DICE)
    def upkeep(self, number: int) -> None:
        self._step(World.upkeep, number, seldom=SELDOM)

    @rule(number=DICE)
    def define(self, number: int) -> None:
        self._step(World.define, number, seldom=SELDOM)

    @rule(number=DICE)
    def forget_summaries(self, number: int) -> None:
        self._step(World.forget_summaries, number, seldom=FORGOTTEN)

    def _step(self, step: Step, number: int, *, seldom: int = 1) -> None:
        if not self._is_told:
            return
        dice = Random(number)  # noqa: S311 - of a test, and to be had again
        self.world.step(World.change if dice.randrange(seldom) else step, dice)


def tell(world: World, number: int) -> None:
    """The story of this number. The first of two is the simplest there is, over and over: nobody listens to that."""
    examples = count()

    @seed(number)
    class InThisWorld(Machine):
        def __init__(self) -> None:
            super().__init__(world, is_told=next(examples) > 0)

    run_state_machine_as_test(
        InThisWorld,
        settings=settings(
            max_examples=2,
            stateful_step_count=STORY_STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
