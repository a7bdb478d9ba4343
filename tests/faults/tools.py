"""pg_dump and pg_restore, killed and suspended in the middle of their work.

They are caught while they wait for a lock that the case holds.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from sqlalchemy import text

from shared.domain.job import JobKind, JobState
from shared.operations.jobs import requests
from tests.actors import TESTER
from tests.faults import promises
from tests.faults.case import Case
from tests.faults.scenes import SCENES
from tests.faults.sleepers import SHORT
from tests.faults.world import World

# What the job is; where it is held until the lock is taken; and on what, so that the tool waits there.
CAUGHT = {
    "pg_dump at its beginning": (JobKind.SNAPSHOT, "copy.shared_out", "pg_catalog.pg_ts_parser"),
    "pg_dump in the middle": (JobKind.SNAPSHOT, "copy.shared_out", "pg_catalog.pg_seclabel"),
    "pg_restore of the schema": (JobKind.RESTORE, "side.created", "pg_catalog.pg_sequence"),
    "pg_restore of the data": (JobKind.RESTORE, "side.schema_restored", "public.pad"),
    "pg_restore of the constraints": (JobKind.RESTORE, "build.unmarked", "public.account"),
    "pg_restore in a proof": (JobKind.VERIFY, "side.schema_restored", "public.pad"),
}


def cases() -> Iterator[Case]:
    for number, name in enumerate(CAUGHT):
        tool = name.split()[0]
        yield struck(f"SIGKILL to {tool}", name, lambda _world, _job_id, pid: os.kill(pid, signal.SIGKILL))
        if number % 2:
            yield struck(f"SIGSTOP to {tool}, SIGCONT after the lease", name, sleep_well)
        else:
            title = f"SIGSTOP to {tool} for good, and the job is cancelled"
            yield struck(title, name, cancel, ends=JobState.CANCELLED)


def struck(
    title: str, name: str, blow: Callable[[World, str, int], None], *, ends: JobState = JobState.SUCCEEDED
) -> Case:
    kind, point, table = CAUGHT[name]

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        world.cast.changes = {"lease": SHORT}
        asked: list[str] = []
        with waiting(world, kind, point, table, lambda: asked.append(scene.ask())) as pid:
            blow(world, asked[0], pid)
        scene.assert_over(world.ended(asked[0]), expected=ends)

    return Case(kind=title, name=name, run=run)


@contextmanager
def waiting(world: World, kind: JobKind, point: str, table: str, ask: Callable[[], None]) -> Generator[int]:
    """Inside it a tool waits for a lock; its process id."""
    with world.held_at(point, ask):
        sides = [name for name in world.shop.databases() if "_side_" in name]
        database = world.shop.name if kind is JobKind.SNAPSHOT else sides[0]
        locker = world.shop.admin(database)
        session = locker.__enter__()
        session.execute("set lock_timeout = '5s'")
        session.execute("begin")
        session.execute(f"lock table {table} in access exclusive mode".encode())
    try:
        yield world.work_until(lambda: waiting_tool(world), f"a tool that waits for {table}")
    finally:
        session.close()


def waiting_tool(world: World) -> int | None:
    """The tool whose backend waits for a lock."""
    with world.shop.admin() as admin:
        found = admin.execute(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and application_name like 'snapfleet:%'"
        ).fetchone()
    running = promises.tools_running(world)
    return next(iter(running), None) if found else None


def sleep_well(world: World, job_id: str, pid: int) -> None:
    """For longer than the lease, which its worker renews meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    with world.fleet.catalog.engine.connect() as connection:
        until = connection.execute(
            text("select lease_until from job where id = :id"), {"id": job_id}
        ).scalar_one()
        world.work_until(
            lambda: connection.execute(
                text("select clock_timestamp() > :until"), {"until": until}
            ).scalar_one(),
            "the end of the lease as it was",
        )
    assert world.job(job_id).epoch == 1
    os.kill(pid, signal.SIGCONT)


def cancel(world: World, job_id: str, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    requests.cancel(world.fleet, job_id, by=TESTER)
    world.work_until(lambda: pid not in promises.tools_running(world), "the end of the tool")
