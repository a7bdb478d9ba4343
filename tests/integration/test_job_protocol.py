"""The job protocol on a real PostgreSQL: whatever the order, each message counts once or not at all."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from shared.catalog import catalog
from shared.catalog.catalog import Catalog
from shared.catalog.migration import migrate
from tests.integration.protocol_machine import ProtocolMachine


@pytest.fixture
def ours(database: Callable[..., str]) -> Generator[Catalog]:
    """A migrated catalog of its own."""
    made = catalog.connect(database())
    migrate(made)
    yield made
    made.close()


def test_no_order_of_calls_breaks_the_protocol(ours: Catalog) -> None:
    class OnThisCatalog(ProtocolMachine):
        def __init__(self) -> None:
            super().__init__(ours)

    run_state_machine_as_test(
        OnThisCatalog,
        settings=settings(
            max_examples=20,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
