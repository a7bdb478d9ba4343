"""A warm copy about which anything is in doubt is not swapped in, and stops nobody."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from embedded.postgres import Postgres
from shared.catalog.warm import WarmCopy
from shared.domain.job import Job, JobKind, JobState
from shared.domain.proof import Assertion
from shared.operations.upkeep import schedule
from shared.postgres.dsn import Dsn
from tests.integration.conftest import Inline
from tests.integration.holding import held_at
from tests.integration.inline_fleet import InlineFleet
from tests.integration.test_round_trip import fill
from tests.integration.warm_home import (
    SCHEMA,
    cold,
    configure,
    fleet_oid,
    on_server,
    ours,
    readied,
    seen,
    there,
    url_of,
    warmed,
)
from tests.waiting import until

Maker = Callable[..., str]


@pytest.fixture
def url(home: InlineFleet) -> str:
    return url_of(home)


@pytest.fixture
def fleet(home: InlineFleet) -> InlineFleet:
    return readied(home)


def touch(url: str, copy: WarmCopy) -> None:
    """As if nobody had been there."""
    on_server(url, f"alter database {copy.name} allow_connections true")
    on_server(url, "delete from small", copy.name)
    on_server(url, f"alter database {copy.name} allow_connections false")


def test_one_that_was_written_to_is_not_used_but_goes(fleet: InlineFleet, url: str) -> None:
    [copy] = there(fleet)
    touch(url, copy)
    assert seen(fleet).warm is None
    assert cold(fleet.restore())
    assert on_server(url, "select what from small", Dsn.parse(url).dbname) == [("as in the snapshot",)]
    schedule.housekeeping(fleet.fleet)
    assert (there(fleet), ours(url)) == ([], ["parked"])


def test_what_has_another_name_by_now_or_only_its_name_is_not_dropped(fleet: InlineFleet, url: str) -> None:
    [copy] = there(fleet)
    on_server(url, f"alter database {copy.name} rename to mine_{copy.oid}")
    on_server(url, f"create database {copy.name}")
    schedule.housekeeping(fleet.fleet)
    assert (there(fleet), ours(url)) == ([], ["warm"])
    assert fleet_oid(url, f"mine_{copy.oid}") == copy.oid
    on_server(url, f"drop database {copy.name}")


def test_one_that_is_touched_after_it_was_reserved_is_not_used_either(fleet: InlineFleet, url: str) -> None:
    [copy] = there(fleet)

    def spoil(_: Job, step: str) -> None:
        if step == "create" and fleet_oid(url, copy.name) == copy.oid:
            touch(url, copy)

    fleet.before = spoil
    assert cold(fleet.restore())
    assert on_server(url, "select what from small", Dsn.parse(url).dbname) == [("as in the snapshot",)]
    assert there(fleet) == []
    assert ours(url) == ["parked"]


@pytest.fixture
def given_away(postgres: Postgres, url: str) -> Generator[Callable[[WarmCopy], None]]:
    """Give a copy to a superuser, so that its drop is refused; what was given away comes back in the end."""
    given: list[str] = []

    def give(copy: WarmCopy) -> None:
        given.append(copy.name)
        on_server(postgres.dsn(), f"alter database {copy.name} owner to current_user")

    yield give
    for name in given:
        if fleet_oid(url, name) is not None:
            on_server(postgres.dsn(), f"alter database {name} owner to {Dsn.parse(url).user}")


def test_one_that_cannot_be_dropped_stops_no_proof_and_goes_once_it_can_be(
    fleet: InlineFleet, url: str, postgres: Postgres, given_away: Callable[[WarmCopy], None]
) -> None:
    [copy] = there(fleet)
    given_away(copy)
    warmed(fleet)
    newer, older = there(fleet)
    assert (older.job_id, older.let_go_at is None, newer.let_go_at) == (copy.job_id, False, None)
    plan = seen(fleet)
    assert plan.warm == newer
    assert plan.warm_bytes == newer.size_bytes, "what cannot be dropped makes no room"
    schedule.housekeeping(fleet.fleet)
    assert fleet_oid(url, copy.name) == copy.oid
    on_server(postgres.dsn(), f"alter database {copy.name} owner to {Dsn.parse(url).user}")
    schedule.housekeeping(fleet.fleet)
    assert (there(fleet), fleet_oid(url, copy.name)) == ([newer], None)


@pytest.mark.parametrize("cancelled", [False, True])
def test_nor_does_it_stop_the_restore_that_relies_on_it(
    cancelled: bool, fleet: InlineFleet, url: str, given_away: Callable[[WarmCopy], None]
) -> None:
    [copy] = there(fleet)
    given: list[Job] = []

    def give(job: Job, step: str) -> None:
        if step == "create" and not given:
            given.append(job)
            given_away(copy)
            if cancelled:
                with fleet.fleet.catalog.transaction() as tx:
                    tx.jobs.request_cancel(job.id)

    fleet.before = give
    restored = fleet.restore()
    assert given
    if cancelled:
        assert restored.state is JobState.CANCELLED
    else:
        assert cold(restored)
    [left] = there(fleet)
    assert (left.job_id, left.let_go_at is None) == (copy.job_id, False)
    on_server(url, "select 1", Dsn.parse(url).dbname)


def test_nor_does_one_that_is_given_away_between_the_last_look_and_its_rename(
    fleet: InlineFleet, url: str, tmp_path: Path, given_away: Callable[[WarmCopy], None]
) -> None:
    [copy] = there(fleet)
    with ThreadPoolExecutor(max_workers=1) as beside, held_at("warm.taking", tmp_path) as held:
        restored = beside.submit(fleet.restore)
        until(held.exists)
        given_away(copy)
        held.unlink()
        assert cold(restored.result())
    [left] = there(fleet)
    assert (left.job_id, fleet_oid(url, copy.name)) == (copy.job_id, copy.oid)


def test_one_of_a_server_that_was_restarted_is_used_and_one_of_a_server_that_has_crashed_is_not(
    own_postgres: Postgres, database: Maker, inline: Inline
) -> None:
    """What was unlogged in it is gone."""
    url = database(own_postgres)
    fill(url, SCHEMA)
    fleet = inline(url, warm=True)
    warmed(fleet)
    own_postgres.stop()
    own_postgres.start()
    assert seen(fleet).warm is not None
    own_postgres.kill()
    own_postgres.start()
    assert seen(fleet).warm is None
    assert cold(fleet.restore())
    assert on_server(url, "select one from quick", Dsn.parse(url).dbname) == [(1,)]
    schedule.housekeeping(fleet.fleet)
    assert ours(url) == ["parked"]


def test_what_was_asked_between_proof_and_keeping_was_not_proven(fleet: InlineFleet) -> None:
    def ask(job: Job, step: str) -> None:
        if (job.kind, step) == (JobKind.VERIFY, "drop"):
            configure(fleet, assertions=(Assertion(name="a.sql", sql="select false"),))

    fleet.before = ask
    warmed(fleet)
    assert seen(fleet).warm is None


def test_one_that_was_proven_by_other_assertions_is_not_used(fleet: InlineFleet) -> None:
    configure(fleet, assertions=(Assertion(name="a.sql", sql="select count(*) = 1 from small"),))
    assert seen(fleet).warm is None
