"""Snapshots of a database that lost what it held: kept, told of once, counted by nobody, until accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from shared.domain.job import Job, JobKind, JobState
from shared.domain.retention import Policy
from shared.domain.snapshot import Reason, Snapshot, SnapshotState
from shared.errors import NotFound, Refused
from shared.operations.jobs import requests
from shared.operations.snapshots import suspecting
from shared.operations.upkeep import prune
from tests.actors import TESTER
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet

Maker = Callable[..., str]

TABLES = """
    create table thoughts as select n, md5(n::text) as v from generate_series(1, 200) n;
    create table moods as select n from generate_series(1, 50) n
"""


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        for statement in statements:
            session.execute(statement.encode())


def taken(fleet: InlineFleet) -> Snapshot:
    """One more snapshot, as it stands when its job has ended."""
    job = fleet.snapshot()
    assert job.state is JobState.SUCCEEDED, job.error
    found = requests.find_snapshot(fleet.fleet, str(job.request["snapshot_id"]))
    assert list(found.suspicions) == job.result["suspicions"]
    return found


def change(fleet: InlineFleet, statement: str) -> None:
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.execute(text(statement))


def a_day_passes(fleet: InlineFleet) -> None:
    change(fleet, "update snapshot set sealed_at = sealed_at - interval '25 h'")


def alerts(fleet: InlineFleet) -> list[dict[str, Any]]:
    query = "select data from outbox where type = 'snapshot.suspect' order by sequence"
    with fleet.fleet.catalog.engine.connect() as connection:
        return list(connection.execute(text(query)).scalars())


def pruned(fleet: InlineFleet) -> Job:
    """The newest job that pruned: each snapshot is followed by one."""
    with fleet.fleet.catalog.transaction() as tx:
        return next(job for job in tx.jobs.listing() if job.kind is JobKind.PRUNE)


def test_an_emptied_database_makes_suspects_one_alert_and_no_deletion(
    database: Maker, inline: Inline
) -> None:
    url = database()
    run(url, TABLES)
    fleet = inline(url, policy=Policy(last=2))
    good = [taken(fleet).id for _ in range(3)]
    run(url, "truncate thoughts, moods")
    a_day_passes(fleet)
    suspects = [taken(fleet) for _ in range(5)]
    a_day_passes(fleet)
    assert {each.standing for each in suspects} == {"suspect"}
    assert suspects[0].suspicions[0] == (
        "public.moods (50 rows before) and public.thoughts (200 rows before) are empty"
    )
    assert "0 rows in all; before there were 250" in suspects[0].suspicions
    [alert] = alerts(fleet)
    assert alert["snapshot_id"] == suspects[0].id
    assert alert["compared_with"] == good[-1]
    assert alert["suspicions"] == list(suspects[0].suspicions)
    assert {each.state for each in fleet.snapshots()} == {SnapshotState.SEALED}
    stopped = pruned(fleet).result
    assert stopped["removed"] == []
    assert suspects[-1].id in stopped["stopped"]
    assert prune.plan(fleet.fleet, NAME).remove == ()


def test_it_is_told_of_again_when_it_gets_worse(database: Maker, inline: Inline) -> None:
    url = database()
    run(url, TABLES)
    fleet = inline(url)
    taken(fleet)
    for worse in ("truncate moods", "select 1", "drop table thoughts"):
        run(url, worse)
        taken(fleet)
    assert [len(alert["suspicions"]) for alert in alerts(fleet)] == [1, 3]


def test_a_database_that_was_empty_from_its_first_snapshot_is_no_suspect(
    database: Maker, inline: Inline
) -> None:
    fleet = inline(database())
    assert [taken(fleet).standing for _ in range(2)] == ["sealed", "sealed"]
    assert alerts(fleet) == []


def test_a_restore_passes_over_suspects_unless_one_is_named(database: Maker, inline: Inline) -> None:
    url = database()
    run(url, TABLES)
    fleet = inline(url)
    good = taken(fleet)
    run(url, "truncate thoughts, moods")
    suspect = taken(fleet)
    chosen = requests.choose_snapshot(fleet.fleet, NAME, snapshot_id=None, at=None)
    assert chosen.id == good.id
    assert [each.id for each in requests.passed_over(fleet.fleet, chosen, at=None)] == [suspect.id]
    assert fleet.restore().state is JobState.SUCCEEDED
    with psycopg.connect(url) as session:
        assert session.execute("select count(*) from thoughts").fetchone() == (200,)
    assert fleet.restore(snapshot_id=suspect.id).state is JobState.SUCCEEDED
    with psycopg.connect(url) as session:
        assert session.execute("select count(*) from thoughts").fetchone() == (0,)


def test_a_refuted_one_and_a_safeguard_are_passed_over_too(database: Maker, inline: Inline) -> None:
    url = database()
    run(url, TABLES)
    fleet = inline(url)
    good, safeguard, refuted = (taken(fleet) for _ in range(3))
    change(fleet, f"update snapshot set reason = '{Reason.SAFEGUARD}' where id = '{safeguard.id}'")
    with fleet.fleet.catalog.transaction() as tx:
        tx.snapshots.judge(refuted.id, matched=False)
    assert requests.choose_snapshot(fleet.fleet, NAME, snapshot_id=None, at=None).id == good.id
    with fleet.fleet.catalog.transaction() as tx:
        tx.snapshots.judge(good.id, matched=False)
    with pytest.raises(NotFound, match="neither suspect nor refuted"):
        requests.choose_snapshot(fleet.fleet, NAME, snapshot_id=None, at=None)


def test_an_accepted_one_counts_and_is_what_later_ones_are_compared_with(
    database: Maker, inline: Inline
) -> None:
    url = database()
    run(url, TABLES)
    fleet = inline(url, policy=Policy(last=1))
    good = taken(fleet)
    run(url, "truncate moods")
    first, second = taken(fleet), taken(fleet)
    with pytest.raises(Refused, match="nothing to accept"):
        suspecting.accept(fleet.fleet, good.id, by=TESTER)
    for _ in range(2):
        assert suspecting.accept(fleet.fleet, first.id, by=TESTER).standing == "sealed"
    standings = {each.id: each.standing for each in fleet.snapshots()}
    assert standings == {good.id: "sealed", first.id: "sealed", second.id: "sealed"}
    assert taken(fleet).standing == "sealed"
    run(url, "drop table thoughts")
    assert taken(fleet).suspicions[0] == "public.thoughts (200 rows before) is gone"
    a_day_passes(fleet)
    assert fleet.restore().request["snapshot_id"] != good.id


def test_pruning_goes_on_once_the_newest_is_good_again(database: Maker, inline: Inline) -> None:
    url = database()
    run(url, TABLES)
    fleet = inline(url, policy=Policy(last=1))
    old = taken(fleet)
    run(url, "create table saved as table moods", "truncate moods, saved")
    suspect = taken(fleet)
    run(url, "insert into moods select generate_series(1, 50)")
    newest = taken(fleet)
    assert newest.standing == "sealed"
    a_day_passes(fleet)
    fleet.configure(databases={NAME: replace(fleet.fleet.database(NAME), policy=Policy(last=1))})
    assert prune.plan(fleet.fleet, NAME).remove == (old.id, suspect.id)
