"""Who would change the audit, and by which rights: stopped, or found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from embedded.postgres import Postgres
from shared.domain.job import JobState
from shared.operations.jobs import requests
from shared.operations.upkeep import schedule
from shared.storage.memory import MemoryStorage
from tests.actors import TESTER
from tests.integration import audited
from tests.integration.audited import ask, entries, examined, faults
from tests.integration.conftest import RoleMaker
from tests.integration.inline_fleet import InlineFleet

Maker = Callable[..., str]
RIGHTS = Path(__file__).parents[2] / "deploy" / "sql" / "catalog.sql"


@pytest.fixture
def fleet(home: InlineFleet) -> InlineFleet:
    return audited.fresh(home)


@pytest.mark.parametrize(
    "statement", ["update audit set actor = 'eve'", "delete from audit", "truncate audit"]
)
def test_not_even_the_owner_changes_or_removes_an_entry(fleet: InlineFleet, statement: str) -> None:
    ask(fleet)
    with (
        psycopg.connect(fleet.catalog_url) as owner,
        pytest.raises(psycopg.errors.RaiseException, match="neither"),
    ):
        owner.execute(statement.encode())
    assert len(entries(fleet)) == 1


TAMPERED = {
    "update audit set actor = 'eve' where seq = 3": ["changed"],
    "update audit set details = '{}' where seq = 3": ["changed"],
    "update audit set at = at + interval '1 us' where seq = 3": ["changed"],
    "delete from audit where seq = 3; update audit set seq = seq - 1 where seq > 3": [
        "broken",
        "changed",
        "unrecorded",
    ],
    "delete from audit where seq = 3": ["missing", "unrecorded"],
    "delete from audit where seq = 1": ["missing"],
    "delete from audit where seq > 4": ["unrecorded"],
    "update audit set seq = case seq when 3 then 1004 else 1003 end where seq in (3, 4);"
    "update audit set seq = seq - 1000 where seq > 1000": ["broken", "changed"],
}


def test_what_an_owner_does_without_the_trigger_is_found(fleet: InlineFleet) -> None:
    for _ in range(6):
        ask(fleet)
    whole = examined(fleet)
    assert whole.findings == ()
    with psycopg.connect(fleet.catalog_url, autocommit=True) as owner:
        owner.execute("alter table audit disable trigger append_only")
        owner.execute("create temporary table before as table audit")
        for statements, expected in TAMPERED.items():
            for statement in statements.split(";"):
                owner.execute(statement.encode())
            found = faults(fleet)
            assert sorted(set(found)) == expected, (statements, examined(fleet))
            assert faults(fleet, whole.head) != [], statements
            owner.execute("truncate audit")
            owner.execute("insert into audit table before")
        assert faults(fleet, whole.head) == []
        # The limit: whoever removes a tail, and the jobs that it tells of, is found by a kept head alone.
        owner.execute("delete from audit where seq > 4")
        owner.execute("delete from job where id not in (select job_id from audit)")
    assert faults(fleet) == []
    assert faults(fleet, whole.head) == ["truncated"]


def test_with_the_rights_that_are_documented_a_fleet_works_and_writes_but_never_changes_an_entry(
    postgres: Postgres, role: RoleMaker, database: Maker
) -> None:
    """deploy/sql/catalog.sql, with the trigger out of the way: the right alone is what stops it."""
    names = {each: role(postgres, "login password 'secret'") for each in ("owner", "fleet")}
    url, catalog_name = database(), str(psycopg.conninfo.conninfo_to_dict(database())["dbname"])
    script = RIGHTS.read_text("utf-8")
    for each, name in names.items():
        script = script.replace(f"snapfleet_{each}", name)
    owners, theirs = (postgres.dsn(catalog_name, user=name, password="secret") for name in names.values())
    with psycopg.connect(postgres.dsn(catalog_name), autocommit=True) as admin:
        admin.execute(script.encode())
        InlineFleet(url, catalog_url=owners, storage=MemoryStorage()).close()  # migrates
        admin.execute(script.encode())
    with psycopg.connect(owners, autocommit=True) as owner:
        owner.execute("alter table audit disable trigger append_only")
    fleet = InlineFleet(url, catalog_url=theirs, storage=MemoryStorage())
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("create table t as select n from generate_series(1, 20) n")
    taken = fleet.snapshot()
    assert taken.state is JobState.SUCCEEDED, taken.error
    fleet.drain()
    requests.pin(fleet.fleet, str(taken.request["snapshot_id"]), pinned=True, by=TESTER)
    schedule.housekeeping(fleet.fleet)
    assert faults(fleet) == []
    for statement in (
        "update audit set actor = 'eve'",
        "delete from audit",
        "truncate audit",
        "alter table audit disable trigger append_only",
        "alter table audit owner to current_user",
        "drop table audit",
        "update alembic_version set version_num = '0'",
    ):
        with psycopg.connect(theirs) as eve, pytest.raises(psycopg.errors.InsufficientPrivilege):
            eve.execute(statement.encode())
    fleet.close()
