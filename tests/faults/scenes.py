"""What each kind of job is asked for, and what may be true when it is over: one function per kind.

A kind without a function here fails the run: so none lands without being broken at every point.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import text

from shared.domain import table_names
from shared.domain.ids import new_snapshot_id
from shared.domain.job import SAGAS, Job, JobKind, JobState, NewJob
from shared.domain.snapshot import Reason
from shared.operations.jobs import requests
from shared.operations.proofs import verify
from shared.operations.restores import tables
from shared.operations.snapshots import suspecting
from shared.operations.upkeep import check, schedule
from shared.operations.upkeep import prune as retention
from shared.postgres import databases
from tests.actors import TESTER
from tests.faults.promises import assert_world
from tests.faults.shop import BROUGHT_BACK, EMPTY, Content, with_table
from tests.faults.world import NAME, World, new_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A world made ready for one job: what is live now, and what will be if it succeeds."""

    world: World
    kind: JobKind
    before: Content
    after: Content
    ask: Callable[[], str] = field(repr=False)
    otherwise: Callable[[], None] = field(default=lambda: None, repr=False)
    """Takes away what only a success takes away."""

    def assert_over(self, job: Job, *, expected: JobState = JobState.SUCCEEDED) -> None:
        """It ended so, the content is the one that this means, and every promise holds."""
        assert job.state is expected, (job.state, job.error, job.attempts)
        content = self.after if expected is JobState.SUCCEEDED else self.before
        if expected is not JobState.SUCCEEDED:
            self.otherwise()
        assert_world(self.world, contents=[content])

    def assert_either(self, job: Job) -> None:
        """It ended, as this or that; the content is the one that its end means."""
        undone = {JobState.CANCELLED, SAGAS[self.kind].ends_undone}
        assert job.state in undone | {JobState.SUCCEEDED}, (job.state, job.error)
        self.assert_over(job, expected=job.state)


def submit(world: World, kind: JobKind, request: Mapping[str, Any], *, key: str | None = None) -> str:
    job_id = new_key()
    new = NewJob(id=job_id, kind=kind, database=NAME, request=request, idempotency_key=key or job_id)
    return requests.submit(world.fleet, new, by=TESTER).job.id


def ask_snapshot(world: World) -> str:
    request = requests.manual_snapshot_request(now=datetime.now(UTC), new_uuid=uuid.uuid4)
    return submit(world, JobKind.SNAPSHOT, request)


def ask_restore(world: World, snapshot_id: str | None = None) -> str:
    safeguard_id = new_snapshot_id(datetime.now(UTC), uuid.uuid4()) if world.safeguarded else None
    request = requests.restore_request(snapshot_id=snapshot_id or world.golden_id, safeguard_id=safeguard_id)
    return submit(world, JobKind.RESTORE, request)


def ask_verify(world: World, snapshot_id: str) -> str:
    return submit(world, JobKind.VERIFY, verify.request(snapshot_id, prune_job_id=None))


def ask_undo(world: World, restored: str) -> str:
    key = new_key()
    return requests.undo(world.fleet, restored, job_id=key, idempotency_key=key, by=TESTER).job.id


def golden(world: World) -> None:
    """The snapshot that every restore brings back; pinned, so that no retention takes it."""
    world.golden = world.shop.write()
    job = world.ended(ask_snapshot(world))
    assert job.state is JobState.SUCCEEDED, job.error
    world.golden_job = job.id
    world.golden_id = str(job.request["snapshot_id"])
    requests.pin(world.fleet, world.golden_id, pinned=True, by=TESTER)
    world.restored = None


def parked_goes(world: World) -> None:
    """The undo windows of former cases are over."""
    with world.fleet.catalog.engine.begin() as connection:
        connection.execute(text("update parked set expires_at = now() - interval '1 s'"))
    schedule.housekeeping(world.fleet)
    world.restored = None


def slot_comes_due(world: World) -> None:
    """Of a schedule of 366 days: the one slot that lies in them, whatever former cases have had it decided."""
    with world.fleet.catalog.engine.begin() as connection:
        connection.execute(text("delete from slot"))
        connection.execute(
            text("update job set idempotency_key = 'former:' || id where idempotency_key like 'slot:%'")
        )
        connection.execute(text("update database set slots_until = now() - interval '367 days'"))


def snapshot(world: World) -> Scene:
    content = world.shop.refill()
    return Scene(
        world=world, kind=JobKind.SNAPSHOT, before=content, after=content, ask=lambda: ask_snapshot(world)
    )


def restore(world: World) -> Scene:
    parked_goes(world)
    before = world.shop.write()
    return Scene(
        world=world, kind=JobKind.RESTORE, before=before, after=world.golden, ask=lambda: ask_restore(world)
    )


def undo(world: World) -> Scene:
    """Of a restore whose two contents change places with every undo that succeeds."""
    if world.restored is None or world.shop.content() not in world.restored[1]:
        parked_goes(world)
        before = world.shop.write()
        job = world.ended(ask_restore(world))
        assert job.state is JobState.SUCCEEDED, job.error
        world.restored = (job.id, (before, world.golden))
    restored, contents = world.restored
    live = world.shop.content()
    (other,) = [content for content in contents if content != live]
    return Scene(
        world=world, kind=JobKind.UNDO, before=live, after=other, ask=lambda: ask_undo(world, restored)
    )


def prune(world: World) -> Scene:
    """Where a snapshot goes, and chunks of its own with it, whatever former cases have left to be kept."""
    while not something_goes(world):
        world.keep = 100
        world.shop.refill()
        job = world.ended(ask_snapshot(world))
        assert job.state is JobState.SUCCEEDED, job.error
    content = world.shop.refill()
    world.note_what_stays()
    return Scene(
        world=world,
        kind=JobKind.PRUNE,
        before=content,
        after=content,
        ask=lambda: submit(world, JobKind.PRUNE, {}),
    )


def something_goes(world: World) -> bool:
    """A snapshot with chunks that no other one needs."""
    world.a_day_passes()
    world.keep = 2
    trust_all(world)
    gone = list(retention.plan(world.fleet, NAME).remove)
    query = text(
        "select exists (select from snapshot_chunk c where snapshot_id = any(:gone) and not exists"
        " (select from snapshot_chunk o where o.sha256 = c.sha256 and not o.snapshot_id = any(:gone)))"
    )
    with world.fleet.catalog.engine.connect() as connection:
        return bool(connection.execute(query, {"gone": gone}).scalar_one())


def trust_all(world: World) -> None:
    """Other cases' tables came and went: what is suspect for that must not stop retention here."""
    while waiting := [s for s in world.sealed() if s.is_suspect and s.reason is not Reason.SAFEGUARD]:
        # The oldest: those after it are compared anew, and may be suspect no more.
        suspecting.accept(world.fleet, min(waiting, key=attrgetter("sequence")).id, by=TESTER)


def prove(world: World) -> Scene:
    """Of the golden snapshot, which the live database is no more."""
    content = world.shop.write()
    return Scene(
        world=world,
        kind=JobKind.VERIFY,
        before=content,
        after=content,
        ask=lambda: ask_verify(world, world.golden_id),
    )


def bring_back(world: World) -> Scene:
    """One table of the golden snapshot, beside the live one; nothing else changes."""
    before = world.shop.write()
    wanted = [table_names.wanted("public.big", BROUGHT_BACK)]
    return Scene(
        world=world,
        kind=JobKind.TABLES,
        before=before,
        after=with_table(before, BROUGHT_BACK),
        ask=lambda: submit(world, JobKind.TABLES, tables.request(world.golden_id, wanted)),
    )


def reset(world: World) -> Scene:
    """Live is an empty database then, until `put_back`."""
    parked_goes(world)
    before = world.shop.write()
    return Scene(
        world=world,
        kind=JobKind.RESET,
        before=before,
        after=EMPTY,
        ask=lambda: submit(world, JobKind.RESET, {}),
    )


def put_back(world: World) -> None:
    """After a reset: undo it, which brings back what was there."""
    if world.shop.content() == EMPTY:
        with world.fleet.catalog.transaction() as tx:
            resets = [job for job in tx.jobs.listing() if job.kind is JobKind.RESET]
        job = world.ended(ask_undo(world, next(j.id for j in resets if j.state is JobState.SUCCEEDED)))
        assert job.state is JobState.SUCCEEDED, job.error


def tidy_up(world: World) -> Scene:
    """A check that is told to fix what one before it has found: a side database of a job that is over."""
    content = world.shop.write()
    orphan = databases.side_name(world.golden_job, 99)
    with world.shop.session("postgres") as session:
        session.execute(f"create database {orphan}")
    looked = world.ended(submit(world, JobKind.CHECK, check.request()))
    assert looked.state is JobState.SUCCEEDED, looked.error

    def drop() -> None:
        with world.shop.session("postgres") as session:
            session.execute(f"drop database if exists {orphan} with (force)")

    return Scene(
        world=world,
        kind=JobKind.CHECK,
        before=content,
        after=content,
        ask=lambda: submit(world, JobKind.CHECK, check.request(apply=looked.id)),
        otherwise=drop,
    )


SCENES: Mapping[JobKind, Callable[[World], Scene]] = {
    JobKind.SNAPSHOT: snapshot,
    JobKind.VERIFY: prove,
    JobKind.RESTORE: restore,
    JobKind.TABLES: bring_back,
    JobKind.UNDO: undo,
    JobKind.RESET: reset,
    JobKind.PRUNE: prune,
    JobKind.CHECK: tidy_up,
}


def tidy(world: World) -> None:
    """Retention takes all but two, so that a long run does not fill the world with snapshots."""
    world.a_day_passes()
    world.keep = 2
    trust_all(world)
    world.note_what_stays()
    job = world.ended(submit(world, JobKind.PRUNE, {}))
    assert job.state is JobState.SUCCEEDED, job.error
