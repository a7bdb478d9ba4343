"""What happens in the demo: each method is one phase, with its line on the screen."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from rich.filesize import decimal

from embedded import fingerprint, journal
from embedded.fingerprint import Fingerprint
from embedded.process import Child
from embedded.screen import Phase, Screen
from embedded.stack import Stack
from shared.catalog.migration import migrate
from shared.domain.access import Actor
from shared.domain.ids import new_snapshot_id
from shared.domain.job import Job, JobKind, JobState, NewJob
from shared.domain.proof import VerifyPolicy
from shared.errors import SnapfleetError
from shared.operations.fleet import Fleet
from shared.operations.jobs import following, requests

WORKERS = ("worker-1", "worker-2")
_DAMAGE = Path(__file__).with_name("damage.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A job that succeeded, and how long it took from asking to the end."""

    job: Job
    seconds: float

    def figure(self, name: str) -> int:
        """A number of the job's result."""
        return int(self.job.result[name])


class Story:
    """The processes of the fleet, and what is done with them. Raises SnapfleetError where that fails."""

    def __init__(self, stack: Stack, fleet: Fleet, screen: Screen) -> None:
        self._stack = stack
        self._fleet = fleet
        self._screen = screen
        self._dsn = stack.environment["DATABASE_URL"]
        self._processes: list[Child] = []

    def start_fleet(self) -> None:
        with self._screen.phase("Fleet") as phase:
            migrate(self._fleet.catalog)
            for name in WORKERS:
                argv = [sys.executable, "-m", "workers", "--concurrency", "1", "--name", name]
                self._processes.append(self._stack.spawn(name, argv))
            self._processes.append(self._stack.spawn("beat", [sys.executable, "-m", "beat"]))
            phase.outcome = "two workers, one task at a time each, and beat"

    def write_journal(self, thoughts: int) -> None:
        with self._screen.phase("Sample journal") as phase:
            for share in journal.fill(self._dsn, thoughts=thoughts):
                phase.show(fraction=share)
            phase.outcome = f"{decimal(journal.size_bytes(self._dsn))}: thoughts, signals, moments, dreams"

    def take_fingerprint(self) -> Fingerprint:
        with self._screen.phase("Fingerprint") as phase:
            found = fingerprint.take(self._dsn)
            phase.outcome = f"{found}  {found.rows:,} rows, all definitions"
        return found

    def take_snapshot(self, title: str, database: str, *, verify: VerifyPolicy) -> Done:
        with self._screen.phase(title) as phase:
            request = requests.manual_snapshot_request(
                now=datetime.now(UTC), new_uuid=uuid.uuid4, verify=verify
            )
            done = self._finished(phase, JobKind.SNAPSHOT, database, request)
            read, new = (decimal(done.figure(name)) for name in ("raw_bytes", "new_bytes"))
            phase.outcome = f"{read} read, {new} stored"
        return done

    def see_proven(self, snapshot: Done) -> Done:
        """Wait for the proof that follows a snapshot by itself."""
        with self._screen.phase("Proof") as phase:
            job = self._succeeded(self._followed(phase, str(snapshot.job.request["verify_job_id"])))
            phase.outcome = "restored into a scratch database, compared, dropped"
        return Done(job=job, seconds=phase.seconds)

    def do_damage(self) -> None:
        with self._screen.phase("Damage") as phase, psycopg.connect(self._dsn) as session:
            for statement in _DAMAGE.read_text().split("\n\n"):
                session.execute(statement)
            phase.outcome = "a table dropped, one truncated, one rewritten, …"

    def restore_newest(self, database: str) -> Done:
        with self._screen.phase("Restore") as phase:
            newest = requests.choose_snapshot(self._fleet, database, snapshot_id=None, at=None)
            request = requests.restore_request(
                snapshot_id=newest.id, safeguard_id=new_snapshot_id(datetime.now(UTC), uuid.uuid4())
            )
            done = self._finished(phase, JobKind.RESTORE, database, request)
            phase.outcome = "damage kept as a snapshot; loaded beside, compared, swapped in"
        return done

    def _finished(self, phase: Phase, kind: JobKind, database: str, request: Mapping[str, object]) -> Done:
        new = NewJob(
            id=str(uuid.uuid4()),
            kind=kind,
            database=database,
            request=request,
            idempotency_key=str(uuid.uuid4()),
        )
        requests.submit(self._fleet, new, by=Actor(name="demo", origin="demo"))
        job = self._succeeded(self._followed(phase, new.id))
        return Done(job=job, seconds=phase.seconds)

    def _succeeded(self, job: Job) -> Job:
        if job.state is not JobState.SUCCEEDED:
            error = job.error or {}
            raise SnapfleetError(
                f"the {job.kind} {job.state}: {error.get('message')}",
                hint="; ".join(
                    filter(None, (error.get("hint"), f"the logs are in {self._stack.folder / 'log'}"))
                ),
            )
        return job

    def _followed(self, phase: Phase, job_id: str) -> Job:
        for progress in following.follow(self._fleet, job_id):
            phase.follow(progress)
            if progress.job.state.is_final:
                break
            for process in self._processes:
                if not process.alive:
                    raise SnapfleetError(
                        f"{process.name} ended with status {process.returncode}: {process.last_words()}",
                        hint=f"its log is {process.log}",
                    )
        return progress.job
