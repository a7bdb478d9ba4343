"""SIGKILL and SIGSTOP around a swap: the live name means exactly the old content or exactly the new.

Killed at each of its moments and finished by the next worker it is in the fault run (`make faults`).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from embedded.postgres import Postgres
from shared.domain.job import Job, JobState
from shared.operations.jobs import requests
from shared.operations.upkeep import schedule
from shared.postgres import databases
from shared.postgres.dsn import Dsn
from shared.storage.folder import FolderStorage
from tests.actors import TESTER
from tests.integration import dying
from tests.integration.inline_fleet import InlineFleet

SIGNALLED = -signal.SIGKILL
OLD, NEW = "before the restore", "from the snapshot"
PATIENCE_SECONDS = 90.0
CLOSED, RENAMED = 2, 3
"""Looks at the lease: with both databases closed and their sessions cut; with both renamed, before `done`."""


class Interrupted(Exception):
    """Raised before the step that a test wants to run elsewhere."""


class Scene:
    """A database whose snapshot is NEW and whose content is OLD, with everything that goes with a name."""

    def __init__(self, url: str, catalog_url: str, folder: Path) -> None:
        self.url, self.catalog_url, self.folder = url, catalog_url, folder
        self.name = Dsn.parse(url).dbname
        self.inlined = InlineFleet(url, catalog_url=catalog_url, storage=FolderStorage(folder))
        with self.session() as session:
            session.execute("create table t (what text)")
            session.execute("insert into t values (%s)", [NEW])
            session.execute(f"comment on database {self.name} is 'ours'")
            session.execute(f"alter database {self.name} set work_mem = '5MB'")
            session.execute(f"revoke all on database {self.name} from public")
        assert self.inlined.snapshot().state is JobState.SUCCEEDED
        with self.session() as session:
            session.execute("update t set what = %s", [OLD])
        self.properties = self.look()

    @contextmanager
    def session(self, name: str | None = None) -> Generator[psycopg.Connection]:
        dsn = Dsn.parse(self.url).for_database(name or self.name)
        with psycopg.connect(dsn.conninfo("test"), autocommit=True) as session:
            yield session

    def content(self) -> str:
        with self.session() as session:
            (what,) = session.execute("select what from t").fetchone() or ("nothing",)
        return str(what)

    def look(self) -> Any:
        with self.session("postgres") as session:
            return session.execute(
                "select pg_get_userbyid(datdba), datacl::text, shobj_description(oid, 'pg_database'), datallowconn,"
                " (select setconfig from pg_db_role_setting where setdatabase = d.oid)"
                " from pg_database d where datname = %s",
                [self.name],
            ).fetchone()

    def oid(self, name: str | None = None) -> int | None:
        with self.session("postgres") as session:
            found = session.execute("select oid from pg_database where datname = %s", [name or self.name])
            return next((int(row[0]) for row in found), None)

    def until(self, step: str, act: Callable[[], Job]) -> Job:
        """Run a job up to this step, which nobody has claimed yet."""
        reached: list[str] = []

        def stop(job: Job, name: str) -> None:
            if name == step:
                reached.append(job.id)
                raise Interrupted

        self.inlined.before = stop
        with pytest.raises(AssertionError):
            act()
        self.inlined.before = lambda _job, _step: None
        return self.inlined.job(reached[0])

    def start(self, job: Job, **how: Any) -> Any:
        return dying.start(
            job, source_url=self.url, catalog_url=self.catalog_url, repository=self.folder, **how
        )

    def killed(self, job: Job, *, nth: int, rollback: bool = False) -> None:
        process = self.start(job, nth=nth, rollback=rollback)
        assert process.wait(PATIENCE_SECONDS) == SIGNALLED

    def time_passes(self) -> None:
        """Leases of the dead end, and messages that nobody took count as lost."""
        with self.inlined.fleet.catalog.engine.begin() as connection:
            connection.execute(text("update job set enqueued_at = null where finished_at is null"))
            connection.execute(
                text("update job set lease_until = now() - interval '1 s' where lease_until is not null")
            )
        self.inlined.let_time_pass()

    def to_its_end(self, job: Job) -> Job:
        self.time_passes()
        return self.inlined.to_its_end(job.id)

    def assert_settled(self, content: str) -> None:
        """The live name means this, as it was; beside it lies only what is parked on purpose."""
        assert self.content() == content
        assert self.look() == self.properties
        with self.inlined.fleet.catalog.engine.connect() as connection:
            parked = connection.execute(
                text("select parked_name, parked_oid from parked where dropped_at is null")
            )
            expected = {(row.parked_name, row.parked_oid) for row in parked}
        with self.session("postgres") as session:
            mine = session.execute(
                r"select datname, oid from pg_database where datname like 'snapfleet\_%' and pg_get_userbyid(datdba) = current_user"
            )
            assert {(name, oid) for name, oid in mine} == expected
            ours = session.execute(
                "select application_name from pg_stat_activity where application_name like 'snapfleet:%'"
                " and usename = current_user"
            )
            assert ours.fetchall() == []


@pytest.fixture
def scene(database: Callable[..., str], tmp_path: Path) -> Generator[Scene]:
    made = Scene(database(), database(), tmp_path / "repository")
    yield made
    made.inlined.close()


def wait_for(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not claim():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


@contextmanager
def comments_locked(postgres: Postgres) -> Generator[None]:
    """Inside it whoever gives a database its comment waits: in a swap that is between rename and commit."""
    with psycopg.connect(postgres.dsn()) as admin:
        admin.execute("lock table pg_catalog.pg_shdescription in share mode")
        yield


def waits(scene: Scene) -> bool:
    with scene.session("postgres") as session:
        found = session.execute(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
            " and application_name like 'snapfleet:%' and usename = current_user"
        )
        return found.fetchone() is not None


def test_a_swap_killed_between_its_renames_and_their_commit_has_changed_nothing(
    scene: Scene, postgres: Postgres
) -> None:
    old = scene.oid()
    job = scene.until("swap", scene.inlined.restore)
    with comments_locked(postgres):
        process = scene.start(job)
        wait_for(lambda: waits(scene))
        process.kill()
        process.wait(PATIENCE_SECONDS)
        assert scene.oid() == old
    assert scene.to_its_end(job).state is JobState.SUCCEEDED
    scene.assert_settled(NEW)


@pytest.mark.parametrize("nth", [CLOSED, RENAMED])
def test_a_job_cancelled_after_its_swap_was_killed_gives_the_old_content_back(scene: Scene, nth: int) -> None:
    job = scene.until("swap", scene.inlined.restore)
    scene.killed(job, nth=nth)
    requests.cancel(scene.inlined.fleet, job.id, by=TESTER)
    assert scene.to_its_end(job).state is JobState.CANCELLED
    scene.assert_settled(OLD)


def test_an_undo_killed_before_it_tidied_the_parked_name_tidies_it_when_it_goes_on(scene: Scene) -> None:
    restored = scene.inlined.restore()
    undoing = scene.until("swap", lambda: scene.inlined.undo(restored))
    scene.killed(undoing, nth=RENAMED)
    with scene.session("postgres") as session:
        spare = f"{databases.parked_name(restored.id)}_back"
        found = session.execute("select 1 from pg_database where datname = %s", [spare])
        assert found.fetchone() is not None
    assert scene.to_its_end(undoing).state is JobState.SUCCEEDED
    scene.assert_settled(OLD)


def test_an_undo_brings_the_name_back_that_somebody_dropped(scene: Scene) -> None:
    restored = scene.inlined.restore()
    with scene.session("postgres") as session:
        session.execute(f"drop database {scene.name}")
    assert scene.inlined.undo(restored).state is JobState.SUCCEEDED
    scene.assert_settled(OLD)


def test_a_parked_database_is_dropped_when_its_window_has_passed_but_not_before_an_undo_that_waits(
    scene: Scene,
) -> None:
    restored = scene.inlined.restore()
    undoing = scene.until("swap", lambda: scene.inlined.undo(restored))
    window_passes(scene)
    schedule.housekeeping(scene.inlined.fleet)
    assert scene.to_its_end(undoing).state is JobState.SUCCEEDED
    scene.assert_settled(OLD)
    window_passes(scene)
    schedule.housekeeping(scene.inlined.fleet)
    scene.assert_settled(OLD)
    assert scene.oid(databases.parked_name(restored.id)) is None


def window_passes(scene: Scene) -> None:
    with scene.inlined.fleet.catalog.engine.begin() as connection:
        connection.execute(text("update parked set expires_at = now() - interval '1 s'"))


def test_an_undo_that_is_taken_back_can_be_asked_for_again(scene: Scene) -> None:
    """What is parked after it is what was parked before it."""
    restored = scene.inlined.restore()
    undoing = scene.until("settle", lambda: scene.inlined.undo(restored))
    assert scene.content() == OLD
    with scene.inlined.fleet.catalog.transaction() as tx:
        tx.jobs.request_cancel(undoing.id)
    assert scene.to_its_end(undoing).state is JobState.CANCELLED
    scene.assert_settled(NEW)
    assert scene.inlined.undo(restored).state is JobState.SUCCEEDED
    scene.assert_settled(OLD)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_worker_that_falls_asleep_in_the_middle_of_a_swap_neither_blocks_it_nor_ends_it_later(
    scene: Scene, postgres: Postgres, cancelled: bool
) -> None:
    """It sleeps with the names renamed and not committed, the guard in its hands and the name closed."""
    job = scene.until("swap", scene.inlined.restore)
    with comments_locked(postgres):
        process = scene.start(job)
        wait_for(lambda: waits(scene))
        process.send_signal(signal.SIGSTOP)
    try:
        if cancelled:
            requests.cancel(scene.inlined.fleet, job.id, by=TESTER)
        ended = scene.to_its_end(job)
        assert ended.state is (JobState.CANCELLED if cancelled else JobState.SUCCEEDED)
        scene.assert_settled(OLD if cancelled else NEW)
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.wait(PATIENCE_SECONDS) == os.EX_OK
    scene.assert_settled(OLD if cancelled else NEW)
    assert scene.inlined.job(job.id) == ended
