"""What if the server's record is wrong? Every so often what could be taken over is read all the same, and compared.

A change that no log tells of is made by telling the server for a moment that the table is not logged.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from embedded.postgres import Postgres
from shared.domain.access import Actor
from shared.domain.increments import Origin
from shared.domain.job import JobState
from shared.domain.manifest import Manifest
from shared.domain.suspicion import STALE
from shared.operations.snapshots import suspecting
from shared.postgres.dsn import Dsn
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME
from tests.integration.test_incremental import PAGES, PARTS, origins, ready, sealed

Maker = Callable[..., str]


def change_behind_the_log(server: Postgres, url: str, statement: str) -> None:
    persistence = "update pg_class set relpersistence = %s where oid = 't'::regclass"
    with psycopg.connect(server.dsn(Dsn.parse(url).dbname), autocommit=True) as admin:
        admin.execute("set allow_system_table_mods = on")
        admin.execute(persistence, ["u"])
        admin.execute(statement.encode())
        admin.execute(persistence, ["p"])


def built_on(manifest: Manifest) -> str | None:
    assert manifest.increment is not None
    return manifest.increment.built_on


def test_every_so_often_what_could_be_taken_over_is_read(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    _, fleet = ready(postgres, database, inline, verify_incremental=3)
    found = [sealed(fleet) for _ in range(5)]
    assert [origins(manifest) for manifest in found] == [
        {Origin.NEW: PARTS},
        {Origin.UNREAD: PARTS},
        {Origin.UNREAD: PARTS},
        {Origin.KNOWN: PARTS},
        {Origin.UNREAD: PARTS},
    ]
    assert [m.increment.unchecked for m in found if m.increment] == [0, 1, 2, 0, 1]


def test_a_change_that_the_log_does_not_tell_of_is_found_and_nothing_is_built_on_what_was_believed(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url, fleet = ready(postgres, database, inline, verify_incremental=2)
    first = sealed(fleet)
    change_behind_the_log(postgres, url, f"delete from t where n = {3 * PAGES + 1}")
    believed = sealed(fleet)
    assert [part.row_count for part in believed.parts] == [PAGES] * PARTS
    assert built_on(believed) == first.id

    compared = fleet.snapshot()
    assert compared.state is not JobState.SUCCEEDED
    assert compared.error is not None
    assert compared.error["code"] == "incremental_wrong"
    assert "1 part " in str(compared.error["message"])
    assert {each.id: each.standing for each in fleet.snapshots() if each.sealed_at} == {
        first.id: "sealed",
        believed.id: "suspect",
    }

    read = sealed(fleet)
    assert built_on(read) is None
    assert read.row_count == PARTS * PAGES - 1
    after = sealed(fleet)
    assert built_on(after) == read.id
    assert after.row_count == PARTS * PAGES - 1


TESTER = Actor(name="tester", origin="test")


def test_whatever_may_hold_old_rows_is_suspect_and_stays_so_when_another_is_accepted(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url, fleet = ready(postgres, database, inline, verify_incremental=4)
    sealed(fleet)
    change_behind_the_log(postgres, url, f"delete from t where n = {3 * PAGES + 1}")
    one, two, three = sealed(fleet), sealed(fleet), sealed(fleet)
    with fleet.fleet.catalog.transaction() as tx:
        tx.snapshots.suspect(two.id, ["it had looked wrong"])
        tx.snapshots.accept(two.id)
    assert fleet.snapshot().state is not JobState.SUCCEEDED
    suspicions = {each.id: each.suspicions for each in fleet.snapshots() if each.is_suspect}
    assert suspicions == {one.id: (STALE,), two.id: ("it had looked wrong", STALE), three.id: (STALE,)}

    suspecting.accept(fleet.fleet, one.id, by=TESTER)
    assert {each.id for each in fleet.snapshots() if each.is_suspect} == {two.id, three.id}
    read = sealed(fleet)
    with fleet.fleet.catalog.transaction() as tx:
        good = tx.snapshots.newest_good(NAME)
    assert good is not None
    assert good.id == read.id
