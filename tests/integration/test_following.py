"""Whoever waits for a job goes on waiting through a restart of the catalog's server, and not for ever."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator

import pytest

from embedded.postgres import Postgres
from shared.domain.job import JobKind, NewJob
from shared.errors import SnapfleetError, Unreachable
from shared.operations.jobs import following, requests
from shared.operations.jobs.following import Progress
from shared.storage.memory import MemoryStorage
from tests.actors import TESTER
from tests.integration.inline_fleet import NAME, InlineFleet

Maker = Callable[..., str]
A_LOOK_SECONDS = 5.0


class Following:
    """A job that nobody runs, followed by a clock that only waiting moves."""

    def __init__(self, fleet: InlineFleet) -> None:
        self.now = 0.0
        self.heard: list[SnapfleetError] = []
        job_id = str(uuid.uuid4())
        new = NewJob(id=job_id, kind=JobKind.PRUNE, database=NAME, request={}, idempotency_key=job_id)
        requests.submit(fleet.fleet, new, by=TESTER)
        self._seen = following.follow(
            fleet.fleet, job_id, away=self.heard.append, clock=lambda: self.now, sleep=self._sleep
        )
        self.when_away: Callable[[], None] = lambda: None

    def _sleep(self, _seconds: float) -> None:
        self.now += A_LOOK_SECONDS
        if self.heard:
            self.when_away()

    def look(self) -> Progress:
        return next(self._seen)


@pytest.fixture
def followed(own_postgres: Postgres, database: Maker) -> Generator[Following]:
    """Its catalog is on a server of its own."""
    fleet = InlineFleet(database(), catalog_url=database(own_postgres), storage=MemoryStorage())
    yield Following(fleet)
    fleet.close()


def test_it_gives_up_when_the_catalog_has_been_away_for_a_minute(
    followed: Following, own_postgres: Postgres
) -> None:
    followed.look()
    own_postgres.kill()
    with pytest.raises(Unreachable) as raised:
        followed.look()
    own_postgres.start()
    assert raised.value.code == "catalog_unreachable"
    patience = following.PATIENCE.total_seconds()
    assert patience == 60
    assert patience < followed.now <= patience + 2 * A_LOOK_SECONDS
    assert len(followed.heard) == patience / A_LOOK_SECONDS


def test_it_goes_on_where_the_catalog_is_back_in_time_and_has_its_whole_patience_again(
    followed: Following, own_postgres: Postgres
) -> None:
    for _ in range(2):
        followed.look()
        own_postgres.kill()
        began = followed.now

        def back(began: float = began) -> None:
            if followed.now - began == following.PATIENCE.total_seconds() - A_LOOK_SECONDS:
                own_postgres.start()
                followed.heard.clear()

        followed.when_away = back
        assert not followed.look().job.state.is_final
        assert followed.now - began < following.PATIENCE.total_seconds()
