"""The whole of the trade on a database of our own: taken, proven, lost, brought back, deleted.

Everything about it is apart: a scratch database beside the protected one, a scratch catalog beside that, and a
folder of probes in the repository. Server, role, tools, storage and keys are the real ones. Workers are not: every
step runs here, one after another. What a trial that was killed has left is removed by a later one.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from shared.broker.doorbell import MemoryDoorbell
from shared.catalog import catalog
from shared.catalog.migration import migrate
from shared.domain.access import Actor
from shared.domain.database import Database
from shared.domain.ids import moment_of, new_snapshot_id
from shared.domain.job import Job, JobKind, JobState, NewJob
from shared.domain.proof import Digests, VerifyPolicy
from shared.domain.retention import Policy
from shared.domain.schedule import Every
from shared.domain.snapshot import SnapshotState
from shared.errors import Damaged, SnapfleetError
from shared.locks.memory import MemoryLocks
from shared.operations import steps
from shared.operations.databases import source
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests, saga
from shared.operations.proofs import verify
from shared.operations.upkeep import deleting
from shared.postgres import databases, scratch
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected
from shared.storage import keys
from shared.storage.base import Storage
from shared.storage.below import BelowStorage

NAME = "doctor"
BY = Actor(name="doctor", origin="doctor")
SETTINGS = {
    "schedule": Every(every=timedelta(days=1), phase=timedelta()),
    "policy": Policy(last=1),
    "part_bytes": 1024 * 1024,
    "compression_level": 1,
    "parallelism": 1,
    "undo_window": timedelta(hours=1),
    "digests": Digests.ALL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a trial has done, with the seconds of each."""

    rows: int
    seconds: dict[str, float]

    def __str__(self) -> str:
        took = ", ".join(f"{what} in {seconds:.1f} s" for what, seconds in self.seconds.items())
        return f"{self.rows} rows: {took}"


def run(fleet: Fleet, dsn: Dsn, *, now: datetime, random: uuid.UUID) -> Trial:
    """Try it on the server, and as the role, of `dsn`. Leaves nothing behind.

    Raises what the first step that failed raised, and Damaged where something else came back.
    """
    trial_id = new_snapshot_id(now, random)
    folder = f"{keys.PROBES}/{NAME}/{trial_id}"
    sweep(fleet.repository.storage, now)
    try:
        with source.maintenance(dsn, "snapfleet:doctor") as session, emptied(session, trial_id, now) as names:
            for name in names:
                scratch.create(session, name)
            app, ours = (dsn.for_database(name) for name in names)
            storage = BelowStorage(fleet.repository.storage, folder)
            with apart(fleet, app, ours, storage) as own:
                try:
                    return play(own, app)
                finally:
                    drop_made(own, session)
    finally:
        remove(fleet.repository.storage, folder)


@contextmanager
def emptied(session: Session, trial_id: str, now: datetime) -> Generator[tuple[str, str]]:
    """Names for the scratch databases; afterwards neither they nor what the trial made of them is there."""
    for name in scratch.left(session, now):
        databases.drop(session, name)
    names = (scratch.name_of(trial_id, "app"), scratch.name_of(trial_id, "catalog"))
    try:
        yield names
    finally:
        for name in names:
            databases.drop(session, name)


@contextmanager
def apart(fleet: Fleet, app: Dsn, ours: Dsn, storage: Storage) -> Generator[Fleet]:
    """The same fleet, for the scratch database and with a catalog that knows nothing else."""
    own = catalog.connect(ours.text)
    try:
        migrate(own)
        yield replace(
            fleet,
            catalog=own,
            repository=fleet.repository.elsewhere(storage),
            locks=MemoryLocks(clock=time.monotonic),
            doorbell=MemoryDoorbell(),
            databases={
                NAME: Database(name=NAME, url=app.text, verify=VerifyPolicy.NEVER, **SETTINGS)  # type: ignore[arg-type] # each is what its name says
            },
            # Nobody else's code is in it.
            restore_as_superuser=True,
        )
    finally:
        own.close()


def play(fleet: Fleet, app: Dsn) -> Trial:
    seconds: dict[str, float] = {}
    with inside(app) as session:
        scratch.fill(session)
    first = timed(seconds, "taken", fleet, JobKind.SNAPSHOT, taking())
    with inside(app) as session:
        scratch.add(session)
        rows = scratch.rows(session)
    second = drive(fleet, JobKind.SNAPSHOT, taking())
    taken = [str(job.request["snapshot_id"]) for job in (first, second)]
    proof = verify.request(taken[1], digests=Digests.ALL, prune_job_id=None)
    timed(seconds, "proven", fleet, JobKind.VERIFY, proof)
    with inside(app) as session:
        scratch.empty(session)
    timed(seconds, "restored", fleet, JobKind.RESTORE, requests.restore_request(snapshot_id=taken[1]))
    with inside(app) as session:
        back = scratch.rows(session)
    if back != rows:
        raise Damaged(f"{back} of {rows} rows came back", code="trial_differs", hint="report it, please")
    planned = deleting.plan(fleet, taken[0])
    timed(seconds, "deleted", fleet, JobKind.PRUNE, deleting.request(taken[0], plan_id=planned.id))
    with fleet.catalog.transaction() as tx:
        deleted = tx.snapshots.get(taken[0])
    if deleted is None or deleted.state is not SnapshotState.DELETED:
        raise Damaged("a snapshot that was to be deleted is still there", code="trial_differs")
    return Trial(rows=rows, seconds=seconds)


def drop_made(fleet: Fleet, session: Session) -> None:
    """Whatever its jobs have made, however they ended."""
    with fleet.catalog.transaction() as tx:
        made = tx.jobs.listing()
    for job in made:
        for name in (*databases.side_databases(session, job.id), databases.parked_name(job.id)):
            databases.drop(session, name)


@contextmanager
def inside(app: Dsn) -> Generator[Session]:
    with connected(app, application_name="snapfleet:doctor") as session:
        yield session


def taking() -> dict[str, object]:
    return requests.manual_snapshot_request(now=datetime.now(UTC), new_uuid=uuid.uuid4)


def timed(
    seconds: dict[str, float], what: str, fleet: Fleet, kind: JobKind, request: dict[str, object]
) -> Job:
    began_at = time.monotonic()
    job = drive(fleet, kind, request)
    seconds[what] = time.monotonic() - began_at
    return job


def drive(fleet: Fleet, kind: JobKind, request: dict[str, object]) -> Job:
    """Run one job to its end, as a worker would that finds its doorbells; what goes wrong is raised, not repeated."""
    job_id = str(uuid.uuid4())
    new = NewJob(id=job_id, kind=kind, database=NAME, request=request, idempotency_key=job_id)
    requests.submit(fleet, new, by=BY)
    bell = fleet.doorbell
    if not isinstance(bell, MemoryDoorbell):
        raise TypeError("a trial rings for itself")
    while bell.rung:
        answer(fleet, bell.rung.pop(0))
    ended = requests.find_job(fleet, job_id)
    if ended.state is not JobState.SUCCEEDED:
        told = ended.error or {}
        raise SnapfleetError(
            str(told.get("message") or f"the {kind} is {ended.state}"),
            code=str(told.get("code") or "trial_failed"),
            hint=told.get("hint"),
        )
    return ended


def answer(fleet: Fleet, job: Job) -> None:
    """What a worker does for one doorbell. What it is told of stands in the job's row."""
    try:
        for seq, _ in job.remaining:
            if not saga.run_step(steps.STEPS, job.id, epoch=job.epoch, seq=seq, fleet=fleet):
                return
    except saga.Told:
        with suppress(saga.Told):
            saga.roll_back(steps.STEPS, job.id, epoch=job.epoch, fleet=fleet)


def sweep(storage: Storage, now: datetime) -> None:
    """Remove what trials have left in the repository that were killed."""
    for name in storage.folders(f"{keys.PROBES}/{NAME}/"):
        made_at = moment_of(name)
        if made_at is not None and now - made_at > scratch.LASTS:
            remove(storage, f"{keys.PROBES}/{NAME}/{name}")


def remove(storage: Storage, folder: str) -> None:
    for stat in storage.list(f"{folder}/"):
        storage.delete(stat.key)
