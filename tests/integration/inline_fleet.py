"""A whole fleet in this process: real PostgreSQL and storage, no broker, steps driven one after another.

What a worker would do on a doorbell, `drain` does at once, in the order in which the bells were rung.
Waiting times between attempts pass at once too. So a test sees every job at its end.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from shared.broker.doorbell import MemoryDoorbell
from shared.catalog import catalog
from shared.catalog.migration import migrate
from shared.domain.database import Database
from shared.domain.ids import new_snapshot_id
from shared.domain.job import MAX_ATTEMPTS, SAGAS, Job, JobKind, JobState, NewJob
from shared.domain.manifest import Manifest
from shared.domain.proof import Digests, VerifyPolicy
from shared.domain.retention import Policy
from shared.domain.schedule import Every
from shared.domain.snapshot import Snapshot
from shared.locks.memory import MemoryLocks
from shared.operations import steps
from shared.operations.databases import side
from shared.operations.fleet import Fleet
from shared.operations.jobs import dispatch, requests, saga
from shared.operations.proofs import verify
from shared.storage.base import Storage
from shared.storage.repository import Repository
from tests.actors import TESTER

NAME = "src"
MIB = 1024 * 1024

Hook = Callable[[Job, str], None]


class InlineFleet:
    """One configured database, `NAME`. `before` is called before each step, with the job and its name."""

    def __init__(self, url: str, *, catalog_url: str, storage: Storage, **database: Any) -> None:
        self.bell = MemoryDoorbell()
        self.before: Hook = lambda _job, _step: None
        self.catalog_url = catalog_url
        ours = catalog.connect(catalog_url)
        migrate(ours)
        settings: dict[str, Any] = {
            "schedule": Every(every=timedelta(hours=6), phase=timedelta(0)),
            "policy": Policy(last=10),
            "part_bytes": MIB,
            "compression_level": 1,
            "parallelism": 2,
            "undo_window": timedelta(hours=24),
            "verify": VerifyPolicy.NEVER,
        }
        self.fleet = Fleet(
            catalog=ours,
            repository=Repository(storage),
            locks=MemoryLocks(clock=time.monotonic),
            doorbell=self.bell,
            databases={NAME: Database(name=NAME, url=url, **(settings | database))},
            bin_dir=None,
            lease=timedelta(seconds=20),
            restore_as_superuser=False,
            allow_old_tools=True,  # of the machine's packages, which are none of our making
            owner="inline",
        )

    def close(self) -> None:
        self.fleet.catalog.close()

    def configure(self, **changes: Any) -> None:
        """Change what the fleet is composed of, as another configuration file would."""
        self.fleet = replace(self.fleet, **changes)

    def point_at(self, url: str) -> None:
        """The same database under another URL."""
        self.configure(databases={NAME: replace(self.fleet.database(NAME), url=url)})

    def snapshot(self) -> Job:
        request = requests.manual_snapshot_request(now=datetime.now(UTC), new_uuid=uuid.uuid4)
        return self.run(JobKind.SNAPSHOT, request)

    def restore(
        self,
        *,
        snapshot_id: str | None = None,
        to: str | None = None,
        as_superuser: bool = False,
        safeguard: bool = False,
        **more: Any,
    ) -> Job:
        chosen = requests.choose_snapshot(self.fleet, NAME, snapshot_id=snapshot_id, at=None)
        request = requests.restore_request(
            snapshot_id=chosen.id,
            to=to,
            as_superuser=as_superuser,
            safeguard_id=new_snapshot_id(datetime.now(UTC), uuid.uuid4()) if safeguard else None,
            **more,
        )
        return self.run(JobKind.RESTORE, request)

    def verify(self, snapshot_id: str, *, digests: Digests = Digests.SAMPLE) -> Job:
        """As by hand: retention does not follow."""
        return self.run(JobKind.VERIFY, verify.request(snapshot_id, digests=digests, prune_job_id=None))

    def undo(self, restored: Job) -> Job:
        key = str(uuid.uuid4())
        accepted = requests.undo(self.fleet, restored.id, job_id=key, idempotency_key=key, by=TESTER)
        return self.to_its_end(accepted.job.id)

    def job(self, job_id: str) -> Job:
        return requests.find_job(self.fleet, job_id)

    def snapshots(self) -> list[Snapshot]:
        with self.fleet.catalog.transaction() as tx:
            return list(tx.snapshots.listing(database=NAME, with_hidden=True))

    def manifest(self, job: Job) -> Manifest:
        """Of the snapshot that this job sealed."""
        return side.manifest_of(self.fleet, str(job.request["snapshot_id"]))

    def step_data(self, job: Job, step: str) -> dict[str, Any]:
        with self.fleet.catalog.transaction() as tx:
            return dict(tx.jobs.step(job.id, SAGAS[job.kind].steps.index(step) + 1).data)

    def unfinished(self) -> list[Job]:
        with self.fleet.catalog.transaction() as tx:
            return [job for job in tx.jobs.listing() if not job.state.is_final]

    def run(self, kind: JobKind, request: Mapping[str, object], *, key: str | None = None) -> Job:
        """A job of any kind, at its end."""
        return self.to_its_end(self.submit(kind, request, key=key).id)

    def submit(
        self, kind: JobKind, request: Mapping[str, object], *, key: str | None = None, database: str = NAME
    ) -> Job:
        """A job of any kind, asked for: as it stands once its doorbell was rung."""
        job_id = str(uuid.uuid4())
        new = NewJob(id=job_id, kind=kind, database=database, request=request, idempotency_key=key or job_id)
        return self.job(requests.submit(self.fleet, new, by=TESTER).job.id)

    def to_its_end(self, job_id: str) -> Job:
        """Drive a job until it has ended; AssertionError if it does not within twice its attempts."""
        for _ in range(2 * MAX_ATTEMPTS):
            self.drain()
            job = self.job(job_id)
            if job.state.is_final:
                return job
            self.let_time_pass()
        raise AssertionError(f"{job.kind} is still {job.state} in step {job.step}: {job.error}")

    def drain(self) -> None:
        """Answer every doorbell that was rung, and those that this makes ring."""
        while self.bell.rung:
            job = self.bell.rung.pop(0)
            if job.state is JobState.ROLLING_BACK:
                self._roll_back(job)
                continue
            try:
                for seq, name in job.remaining:
                    self.before(job, name)
                    if not saga.run_step(steps.STEPS, job.id, epoch=job.epoch, seq=seq, fleet=self.fleet):
                        break
            except Exception:  # noqa: BLE001 - whatever it was stands in the job's row; the errback undoes
                self._roll_back(job)

    def let_time_pass(self) -> None:
        """Every waiting time between two attempts is over; whatever waits for the reaper is rung."""
        with self.fleet.catalog.engine.begin() as connection:
            waiting = "lease_until is null and enqueued_at is null and state in ('active', 'rolling_back')"
            connection.execute(text(f"update job set not_before = now() where {waiting}"))
        dispatch.reap(self.fleet)

    def _roll_back(self, job: Job) -> None:
        with suppress(saga.Told):  # written down in its row, and tried again by the reaper
            saga.roll_back(steps.STEPS, job.id, epoch=job.epoch, fleet=self.fleet)


def refused(job: Job, code: str, *said: str) -> None:
    """The job has ended without having done anything, and one line with a hint says why."""
    assert job.state in (JobState.FAILED, JobState.ROLLED_BACK), (job.state, job.step)
    assert job.error is not None
    message, hint = str(job.error["message"]), job.error["hint"]
    assert (job.error["code"], bool(hint)) == (code, True), job.error
    assert "\n" not in message
    assert "secret" not in f"{message} {hint}"
    for words in said:
        assert words in message, message


def files(folder: Path) -> dict[str, int]:
    """Every object in a folder storage with its size."""
    return {
        str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()
    }
