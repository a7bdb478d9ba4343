"""Whatever is done to a guarded database: it ends as well as it was, or as it was."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from cli.guard import watched_over
from embedded.postgres import Postgres
from shared.domain.ids import new_snapshot_id
from shared.domain.job import Job, JobKind, JobState
from shared.domain.proof import Assertion
from shared.domain.snapshot import Reason
from shared.errors import Refused
from shared.operations.jobs import blocking
from shared.operations.restores.guard import Guard, Point
from shared.postgres.dsn import Dsn
from shared.storage.memory import MemoryStorage
from tests.actors import TESTER
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_bootstrap import on_server

Maker = Callable[..., str]
CONTENT = "select count(*), coalesce(sum(hashtext(t::text)), 0) from {} t"


@pytest.fixture
def url(database: Maker) -> str:
    made = database()
    run(
        made,
        "create table customer (id int primary key, email text not null)",
        "create table bill (id int primary key, customer int references customer, amount int)",
        "insert into customer select i, i || '@example.org' from generate_series(1, 50) i",
        "insert into bill select i, i % 50 + 1, i from generate_series(1, 200) i",
    )
    return made


def run(url: str, *statements: str) -> Any:
    with psycopg.connect(url, autocommit=True) as session:
        for statement in statements[:-1]:
            session.execute(statement.encode())
        cursor = session.execute(statements[-1].encode())
        return cursor.fetchone() if cursor.description else None


def content(url: str) -> list[Any]:
    return [run(url, CONTENT.format(table)) for table in ("customer", "bill")]


class Guarded:
    """An inline fleet, and what its guard said and asked for."""

    def __init__(self, fleet: InlineFleet, *assertions: Assertion) -> None:
        self.fleet = fleet
        self.said: list[str] = []
        self.guard = Guard(
            fleet=fleet.fleet,
            database=NAME,
            assertions=assertions,
            wait=fleet.to_its_end,
            new_id=lambda: str(uuid.uuid4()),
            new_snapshot_id=self._snapshot_id,
            say=self.said.append,
            by=TESTER,
        )

    def _snapshot_id(self) -> str:
        with self.fleet.fleet.catalog.transaction() as tx:
            return new_snapshot_id(tx.jobs.now(), uuid.uuid4())

    def jobs(self, kind: JobKind) -> list[Job]:
        with self.fleet.fleet.catalog.transaction() as tx:
            return [job for job in tx.jobs.listing() if job.kind is kind]


@pytest.fixture
def fleet(url: str, inline: Inline) -> InlineFleet:
    return inline(url, storage=MemoryStorage())


@pytest.fixture
def guarded(fleet: InlineFleet) -> Guarded:
    return Guarded(fleet)


class Broken(Exception):
    """What goes wrong in a block."""


def attempt(guarded: Guarded, *acts: Callable[[], object], fail: BaseException | None = None) -> Point:
    """A guarded block that does this, and then fails or not."""
    with watched_over(guarded.guard) as point:
        for act in acts:
            act()
        if fail is not None:
            raise fail
    return point


def test_what_does_no_harm_stays_and_its_snapshot_is_proven_and_kept(guarded: Guarded, url: str) -> None:
    """What was wrong before is not blamed on it."""
    run(url, "alter table customer add constraint at check (email like '%@%') not valid")
    point = attempt(guarded, lambda: run(url, "alter table bill add paid bool not null default false"))
    assert run(url, "select count(*) from bill where not paid") == (200,)
    assert guarded.jobs(JobKind.RESTORE) == []
    (snapshot,) = guarded.fleet.snapshots()
    assert (snapshot.id, snapshot.reason, snapshot.is_verified) == (point.snapshot_id, Reason.GUARD, True)
    assert snapshot.kept_until is not None
    assert snapshot.kept_until - snapshot.created_at > timedelta(days=6)


def test_a_block_that_raises_is_taken_back_and_that_can_be_taken_back_too(guarded: Guarded, url: str) -> None:
    before = content(url)
    with pytest.raises(Broken) as raised:
        attempt(guarded, lambda: run(url, "alter table customer drop column email"), fail=Broken())
    assert content(url) == before
    (restore,) = guarded.jobs(JobKind.RESTORE)
    safeguard, taken = guarded.fleet.snapshots()
    assert (safeguard.reason, taken.reason) == (Reason.SAFEGUARD, Reason.GUARD)
    assert raised.value.__notes__ == [
        f"snapshot {taken.id} of {NAME} was brought back; take that back: snapfleet undo {restore.id}"
    ]
    assert guarded.fleet.undo(restore).state is JobState.SUCCEEDED
    with pytest.raises(psycopg.errors.UndefinedColumn):
        run(url, "select email from customer")


def test_ctrl_c_in_the_block_is_taken_back_too(guarded: Guarded, url: str) -> None:
    before = content(url)
    with pytest.raises(KeyboardInterrupt):
        attempt(guarded, lambda: run(url, "truncate customer cascade"), fail=KeyboardInterrupt())
    assert content(url) == before


def test_harm_that_raises_nothing_is_found_and_taken_back(
    guarded: Guarded, url: str, postgres: Postgres
) -> None:
    before = content(url)

    def harm() -> None:
        admin = postgres.dsn(Dsn.parse(url).dbname)
        run(admin, "set session_replication_role = replica", "update bill set customer = 999 where id <= 3")
        run(url, "alter table customer add constraint at check (email like '%@%') not valid")

    with pytest.raises(Refused, match=r"3 rows of public\.bill refer to none.*, and 1 more") as refused:
        attempt(guarded, harm)
    assert (refused.value.code, len(refused.value.__notes__)) == ("checks_failed", 1)
    assert content(url) == before


def test_an_assertion_that_does_not_hold_afterwards_takes_it_back(fleet: InlineFleet, url: str) -> None:
    """Its own configuration's as well as those given for the occasion, which may speak of what comes."""
    total = Assertion(name="total.sql", sql="select sum(amount) > 0 from bill")
    paid = Assertion(name="paid.sql", sql="select bool_and(paid) from bill")
    fleet.configure(databases={NAME: replace(fleet.fleet.database(NAME), assertions=(total,))})
    before = content(url)
    guarded = Guarded(fleet, paid)
    with pytest.raises(Refused, match=r"assertion total\.sql does not hold, and 1 more"):
        attempt(guarded, lambda: run(url, "alter table bill add paid bool", "update bill set amount = -1"))
    assert content(url) == before


def test_without_a_proof_nothing_is_begun(guarded: Guarded, url: str, postgres: Postgres) -> None:
    began: list[bool] = []
    on_server(postgres, "alter role {} nocreatedb", Dsn.parse(url).user)
    with pytest.raises(Refused, match=r"is not proven: .* may not create") as refused:
        attempt(guarded, lambda: began.append(True))
    assert (refused.value.code, refused.value.hint is not None) == ("insufficient_rights", True)
    blocking.block(guarded.fleet.fleet, NAME, why="a test", by=TESTER)
    with pytest.raises(Refused, match=r"no snapshot of src is taken"):
        attempt(guarded, lambda: began.append(True))
    assert began == []


def test_a_database_that_cannot_be_read_any_more_is_brought_back_without_a_safeguard(
    guarded: Guarded, url: str, postgres: Postgres
) -> None:
    before = content(url)
    admin = postgres.dsn(Dsn.parse(url).dbname)
    with pytest.raises(Broken):
        attempt(guarded, lambda: run(admin, "create table not_yours (id int)"), fail=Broken())
    second, first = guarded.jobs(JobKind.RESTORE)
    assert (first.state, second.state) == (JobState.ROLLED_BACK, JobState.SUCCEEDED)
    assert (first.request["safeguard"], second.request["safeguard"]) == (True, False)
    assert "no safety snapshot" in guarded.said[0]
    assert content(url) == before


def test_where_it_cannot_be_brought_back_it_is_said_what_to_do_by_hand(
    guarded: Guarded, url: str, postgres: Postgres
) -> None:
    def harm() -> None:
        run(url, "delete from bill")
        on_server(postgres, "alter role {} nocreatedb", Dsn.parse(url).user)

    with pytest.raises(Broken) as raised:
        attempt(guarded, harm, fail=Broken())
    (note,) = raised.value.__notes__
    (taken,) = guarded.fleet.snapshots()
    assert f"snapshot {taken.id} was not brought back: the role in" in note
    assert f"{NAME} is as it was left; by hand: snapfleet restore {NAME} --snapshot {taken.id}" in note
    assert run(url, "select count(*) from bill") == (0,)
