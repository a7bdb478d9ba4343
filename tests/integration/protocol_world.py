"""What the protocol's state machine knows: a catalog, and every claim that a worker was ever given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import select, text

from shared.catalog.catalog import Catalog, Transaction
from shared.catalog.jobs import STEP, Claim
from shared.catalog.rows import to_step
from shared.domain.job import Job, JobState, Step, StepState

DATABASES = ("orders", "ledger")
TTL = timedelta(minutes=5)
STARTED = (StepState.DOING, StepState.DONE)
LIVE = (JobState.ACTIVE, JobState.ROLLING_BACK)
T = TypeVar("T")
Everything = tuple[dict[str, Job], dict[str, list[Step]]]


class World:
    """Reads without a transaction, changes in one each, and remembers what it read until then."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.claims: list[Claim] = []
        self._owners = 0
        self._seen: Everything | None = None
        self._connection = catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._reader = Transaction(self._connection)
        self.change("truncate database cascade")
        with catalog.transaction() as tx:
            tx.schedules.know(DATABASES)

    def close(self) -> None:
        self._connection.close()

    def ask(self, call: Callable[[Transaction], T], *, changes: bool = True) -> T:
        """One call in a transaction of its own; where it has no right to change anything it must not."""
        before = None if changes else self.everything()
        self._seen = None
        with self.catalog.transaction() as tx:
            answer = call(tx)
        assert changes or self.everything() == before
        return answer

    def change(self, statement: str, **values: object) -> None:
        """Something befalls the catalog that no call of the protocol does."""
        self._seen = None
        with self.catalog.engine.begin() as connection:
            connection.execute(text(statement), values)

    def take(self, job: Job) -> Claim | None:
        """What the worker does to whom the right message is delivered now."""
        owner = self.owner()
        if job.state is JobState.ROLLING_BACK:
            claim = self.ask(
                lambda tx: tx.jobs.claim_rollback(job.id, epoch=job.epoch, owner=owner, ttl=TTL),
                changes=job.lease_until is None,
            )
        else:
            claim = self.ask(
                lambda tx: tx.jobs.claim(job.id, epoch=job.epoch, seq=job.next_seq, owner=owner, ttl=TTL),
                changes=job.state is JobState.ACTIVE and job.lease_until is None and self.is_wanted(job),
            )
        if claim is not None:
            self.claims.append(claim)
        return claim

    def owner(self) -> str:
        self._owners += 1
        return f"worker {self._owners}"

    def holder(self, job_id: str) -> Claim | None:
        """The claim that holds a job now."""
        return next((c for c in self.claims if c.job.id == job_id and self.holds(c)), None)

    def holds(self, claim: Claim) -> bool:
        """Whether epoch, step and owner are those in the row."""
        job = self.job(claim.job.id)
        row = (job.epoch, job.next_seq, job.lease_owner)
        return job.lease_until is not None and row == (claim.job.epoch, claim.job.next_seq, claim.owner)

    def is_wanted(self, job: Job) -> bool:
        return not job.cancel_requested and job.deadline_at > self.now()

    def now(self) -> datetime:
        return self._reader.jobs.now()

    def job(self, job_id: str) -> Job:
        return self.everything()[0][job_id]

    def jobs(self) -> list[Job]:
        return list(self.everything()[0].values())

    def live(self) -> list[Job]:
        return [job for job in self.jobs() if job.state in LIVE]

    def steps(self, job_id: str) -> list[Step]:
        return self.everything()[1][job_id]

    def everything(self) -> Everything:
        """Every job and every step as the catalog has them now."""
        if self._seen is None:
            jobs = {job.id: job for job in self._reader.jobs.listing(limit=1000)}
            steps: dict[str, list[Step]] = {job_id: [] for job_id in jobs}
            for row in self._connection.execute(select(STEP).order_by(STEP.c.seq)).mappings():
                steps[str(row["job_id"])].append(to_step(row))
            self._seen = jobs, steps
        return self._seen
