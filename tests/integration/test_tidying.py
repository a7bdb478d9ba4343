"""What is ours goes when its time has come, also where it is subscribed to something; a plan is good for once."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from embedded.postgres import Postgres
from shared.domain.job import Job, JobKind, JobState
from shared.errors import Refused
from shared.operations.upkeep import check, schedule, tidying
from shared.postgres import databases
from shared.postgres.dsn import Dsn
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet

Maker = Callable[..., str]

SUBSCRIBE = "create subscription {} connection 'dbname=nowhere' publication p with (connect = false)"


def subscribe(server: Postgres, name: str) -> None:
    with psycopg.connect(server.dsn(name), autocommit=True) as admin:
        admin.execute(sql.SQL(SUBSCRIBE).format(sql.Identifier(f"news_of_{name}")))


def there(server: Postgres, name: str) -> bool:
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        return databases_like(admin, name) == [name]


def databases_like(admin: psycopg.Connection, name: str) -> list[str]:
    found = admin.execute("select datname from pg_database where datname = %s", [name])
    return [row[0] for row in found]


def as_superuser(server: Postgres, database: Maker, inline: Inline) -> InlineFleet:
    """Only such a role can have subscriptions everywhere."""
    return inline(server.dsn(Dsn.parse(database()).dbname))


def test_a_parked_database_with_a_subscription_is_dropped_when_its_window_is_over(
    postgres: Postgres, database: Maker, inline: Inline
) -> None:
    fleet = as_superuser(postgres, database, inline)
    subscribe(postgres, fleet.fleet.dsn(NAME).dbname)
    reset = fleet.run(JobKind.RESET, {})
    assert reset.state is JobState.SUCCEEDED, reset.error
    parked = databases.parked_name(reset.id)
    schedule.housekeeping(fleet.fleet)
    assert there(postgres, parked)
    with fleet.fleet.catalog.engine.begin() as catalog:
        catalog.execute(text("update parked set expires_at = now() - interval '1 s'"))
    schedule.housekeeping(fleet.fleet)
    assert not there(postgres, parked)
    with fleet.fleet.catalog.transaction() as tx:
        noted = tx.parked.get(reset.id)
    assert noted is not None
    assert noted.dropped_at is not None


def test_a_side_database_with_a_subscription_is_tidied_up(
    postgres: Postgres, database: Maker, inline: Inline
) -> None:
    fleet = as_superuser(postgres, database, inline)
    left = databases.side_name(fleet.run(JobKind.PRUNE, {}).id, 9)
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(left)))
    subscribe(postgres, left)
    done = apply(fleet, look(fleet))
    assert (done.state, done.result.get("fixed")) == (JobState.SUCCEEDED, {"side_database": 1}), done.error
    assert not there(postgres, left)


def look(fleet: InlineFleet) -> Job:
    return fleet.run(JobKind.CHECK, check.request())


def apply(fleet: InlineFleet, plan: Job) -> Job:
    return fleet.run(JobKind.CHECK, check.request(apply=plan.id), key=tidying.key_of(plan.id))


def test_a_plan_that_came_to_nothing_is_spent(database: Maker, inline: Inline) -> None:
    fleet = inline(database())
    ended = fleet.run(JobKind.PRUNE, {}).id
    names = [databases.side_name(ended, epoch) for epoch in (7, 8)]
    with psycopg.connect(fleet.fleet.database(NAME).url, autocommit=True) as owner:
        owner.execute(sql.SQL("create database {}").format(sql.Identifier(names[0])))
        plan = look(fleet)
        tidying.refuse_spent(fleet.fleet, plan.id)
        owner.execute(sql.SQL("create database {}").format(sql.Identifier(names[1])))
        assert apply(fleet, plan).error is not None
        with pytest.raises(Refused, match="is spent: what is to be fixed is not what check") as refusal:
            tidying.refuse_spent(fleet.fleet, plan.id)
        assert (refusal.value.code, "check --fix" in str(refusal.value.hint)) == ("plan_spent", True)
        anew = look(fleet)
        assert apply(fleet, anew).result["fixed"] == {"side_database": 2}
        tidying.refuse_spent(fleet.fleet, anew.id)
