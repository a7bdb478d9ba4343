"""The moment of the swap: sessions that hold on, come back, or may not be cut, and names that are odd."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager

import psycopg
import pytest

from embedded.postgres import Postgres
from shared.domain.job import Job, JobState
from shared.operations.jobs import requests
from shared.postgres.dsn import Dsn
from tests.actors import TESTER
from tests.integration.comparison import assert_same, connect, fingerprint, names
from tests.integration.conftest import Inline, RoleMaker
from tests.integration.inline_fleet import InlineFleet
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]
OLD, NEW = ("old",) * 3, ("new",) * 3
THREE = "".join(f"create table t{n} (v text); insert into t{n} values ('{{0}}');" for n in range(3))
SELECT = "select t0.v, t1.v, t2.v from t0, t1, t2"
CLIENTS = 20


class Clients:
    """Sessions that begin again whenever they are cut, and note what they saw."""

    def __init__(self, url: str) -> None:
        self.seen: Counter[tuple[str, ...]] = Counter()
        self.refusals: Counter[str] = Counter()
        self._url = url
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True) as session:
                    while not self._over.is_set():
                        self.seen[tuple(session.execute(SELECT).fetchone() or ())] += 1
                        self._over.wait(0.005)
            except psycopg.OperationalError as exc:
                self.refusals[str(exc).strip().rpartition("FATAL:")[2].strip()] += 1


@contextmanager
def clients(url: str) -> Generator[Clients]:
    running = Clients(url)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def old_and_new(fleet: InlineFleet, url: str) -> None:
    """The snapshot holds the new state, the live database the old one."""
    fill(url, THREE.replace("{0}", "new"))
    succeeded(fleet.snapshot())
    fill(url, "update t0 set v = 'old'; update t1 set v = 'old'; update t2 set v = 'old'")


def test_clients_that_come_back_all_the_time_stop_no_swap_and_never_see_a_mix(
    database: Maker, inline: Inline
) -> None:
    url = database()
    fleet = inline(url)
    old_and_new(fleet, url)
    with clients(url) as running:
        restored = succeeded(fleet.restore())
        in_between = running.seen.copy()
        succeeded(fleet.undo(restored))
    assert running.seen.keys() == {OLD, NEW}
    assert in_between[OLD] > CLIENTS
    # Nobody was told that there is no such database at all.
    name = Dsn.parse(url).dbname
    missing = [said for said in running.refusals if said == f'database "{name}" does not exist']
    assert not missing
    with psycopg.connect(url) as session:
        assert session.execute(SELECT).fetchone() == OLD


def test_sessions_of_other_roles_are_cut(
    role: RoleMaker, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    dsn = Dsn.parse(url)
    other = role(postgres, "login password 'secret'")
    with connect(postgres, "postgres") as admin:
        admin.execute(f"grant pg_signal_backend to {dsn.user}")
    fleet = inline(url)
    old_and_new(fleet, url)
    with psycopg.connect(postgres.dsn(dsn.dbname, user=other, password="secret")) as idle:
        idle.execute("select 1")
        succeeded(fleet.restore())
        with pytest.raises(psycopg.OperationalError):
            idle.execute("select 1")


@pytest.mark.parametrize("whose", ["of a role", "of a superuser"])
def test_sessions_that_may_not_be_cut_are_told_before_anything_is_loaded(
    whose: str, role: RoleMaker, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    dsn = Dsn.parse(url)
    fleet = inline(url)
    old_and_new(fleet, url)
    before, there = fingerprint(postgres, dsn.dbname), names(postgres)
    other = role(postgres, "login password 'secret'")
    login = postgres.dsn(dsn.dbname, user=other, password="secret")
    with psycopg.connect(login if whose == "of a role" else postgres.dsn(dsn.dbname)) as session:
        session.execute("select 1")
        job = fleet.restore()
        assert job.state is JobState.ROLLED_BACK
        assert job.error is not None
        assert job.error["code"] == "insufficient_rights"
        assert "pg_signal_backend" in str(job.error["hint"])
        assert (other if whose == "of a role" else "postgres") in str(job.error["message"])
        assert job.next_seq == 1
        session.execute("select 1")
    assert_same(fingerprint(postgres, dsn.dbname), before)
    assert names(postgres) == there


def test_a_session_that_appears_late_and_may_not_be_cut_undoes_everything(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    name = Dsn.parse(url).dbname
    fleet = inline(url)
    old_and_new(fleet, url)
    before, there = fingerprint(postgres, name), names(postgres)
    late: list[psycopg.Connection] = []

    def appear(_job: object, step: str) -> None:
        if step == "swap":
            late.append(psycopg.connect(postgres.dsn(name)))

    fleet.before = appear
    job = fleet.restore()
    assert (job.state, job.step) == (JobState.ROLLED_BACK, "swap")
    assert job.error is not None
    assert job.error["code"] == "insufficient_rights"
    late[0].execute("select 1")
    late[0].close()
    assert_same(fingerprint(postgres, name), before)
    assert names(postgres) == there


def test_a_database_that_was_dropped_comes_back_under_its_name(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    name = Dsn.parse(url).dbname
    fleet = inline(url)
    old_and_new(fleet, url)
    fill(url, "update t0 set v = 'new'; update t1 set v = 'new'; update t2 set v = 'new'")
    before = fingerprint(postgres, name)
    with psycopg.connect(url.replace(name, "postgres"), autocommit=True) as owner:
        owner.execute(f"drop database {name}")
    there = names(postgres)
    job = succeeded(fleet.restore())
    assert job.result["parked"] is None
    assert_same(fingerprint(postgres, name), before)
    assert names(postgres) == there | {name: True}


def test_the_database_that_others_are_maintained_from_can_be_restored(
    own_postgres: Postgres, database: Maker, inline: Inline
) -> None:
    url = database(own_postgres)
    owner = Dsn.parse(url).user
    with connect(own_postgres, "template1") as admin:
        admin.execute(f"alter database postgres owner to {owner}")
    live = own_postgres.dsn("postgres", user=owner, password="secret")
    fleet = inline(live)
    old_and_new(fleet, live)
    restored = succeeded(fleet.restore())
    with psycopg.connect(live) as session:
        assert session.execute(SELECT).fetchone() == NEW
    succeeded(fleet.undo(restored))
    with psycopg.connect(live) as session:
        assert session.execute(SELECT).fetchone() == OLD
    with connect(own_postgres, "template1") as admin:
        admin.execute("alter database postgres owner to postgres")


def test_an_undo_that_is_taken_back_where_nothing_was_live_can_be_asked_for_again(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    name = Dsn.parse(url).dbname
    fleet = inline(url)
    old_and_new(fleet, url)
    restored = succeeded(fleet.restore())
    with psycopg.connect(url.replace(name, "postgres"), autocommit=True) as owner:
        owner.execute(f"drop database {name} with (force)")
    there = names(postgres)

    def cancel(job: Job, step: str) -> None:
        if step == "settle":
            requests.cancel(fleet.fleet, job.id, by=TESTER)

    fleet.before = cancel
    assert fleet.undo(restored).state is JobState.CANCELLED
    assert names(postgres) == there
    fleet.before = lambda _job, _step: None
    succeeded(fleet.undo(restored))
    with psycopg.connect(url) as session:
        assert session.execute(SELECT).fetchone() == OLD
