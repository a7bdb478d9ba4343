"""Two hundred stories of thirty events each, in this process: the real operations against a model.

Each of these changes to what is tested makes it fail (they were made by hand, one at a time):

    retention ignores pins                     what would go in a month is looked at after each event
    hiding ignores pins, or what jobs hold     they are given between the plan and the act
    the newest verified one is not kept        the same, and where proofs are made by hand only
    a step is claimed though it is leased      the message of a step comes again while somebody is at it
    sealing looks at no chunk                  one is damaged, or lost, between copy and seal
    a rollback undoes in order                 the server refuses an act after the swap
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import create_engine

from shared.catalog.catalog import Catalog
from shared.catalog.migration import migrate
from tests.model.machine import Machine

STORIES, PARTS = 200, 8


@pytest.fixture
def ours(database: Callable[..., str]) -> Generator[Catalog]:
    """A migrated catalog of its own, whose connections are not asked each time whether they still stand."""
    url = database()
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    made = Catalog(engine)
    migrate(made)
    yield made
    made.close()


@pytest.fixture
def quiet() -> None:
    """Thousands of steps fail here as they should; to tell of each costs more than the steps."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[drop])


def drop(*_: object) -> dict[str, object]:
    raise structlog.DropEvent


@pytest.mark.usefixtures("quiet")
@pytest.mark.timeout(900)  # a machine that others use as well may take ten times as long
@pytest.mark.parametrize("stories", range(PARTS))
def test_no_order_of_events_breaks_an_invariant(ours: Catalog, stories: int) -> None:
    # Each by itself: what may come next depends on a server and a clock, so that two that began alike
    # need not go on alike. The first of the two that are asked for is always the shortest possible.
    for story in range(stories * STORIES // PARTS, (stories + 1) * STORIES // PARTS):

        @seed(story)
        class OnThisCatalog(Machine):
            def __init__(self) -> None:
                super().__init__(ours)

        run_state_machine_as_test(
            OnThisCatalog,
            settings=settings(
                max_examples=2,
                stateful_step_count=30,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
