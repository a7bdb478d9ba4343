"""The job protocol's statements: everything that may ever change a job's row.

Time is always the catalog server's `now()`. A statement that finds nothing to change says so by
answering None (or an empty list): the caller was superseded, and what it wanted must not happen.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, text, update

from shared.catalog.mapping import is_among, table
from shared.catalog.models import JobRow, JobStepRow
from shared.catalog.rows import to_job, to_step
from shared.catalog.statements import statement
from shared.domain.job import (
    FINAL,
    LANES,
    MAX_ATTEMPTS,
    SAGAS,
    Job,
    JobKind,
    JobState,
    Lane,
    NewJob,
    Step,
    StepState,
)

JOB = table(JobRow)
STEP = table(JobStepRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to run one step: what every later statement of its worker must prove."""

    job: Job
    owner: str

    def key(self) -> dict[str, Any]:
        return {
            "id": self.job.id,
            "epoch": self.job.epoch,
            "seq": self.job.next_seq,
            "owner": self.owner,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    cancel_requested: bool
    overdue: bool


class Jobs:
    """Jobs and their steps, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def submit(self, new: NewJob) -> tuple[Job, bool]:
        """Accept a request once: the job, and whether it is new or was already there under its key."""
        ((job, is_new),) = self.submit_all([new])
        return job, is_new

    def submit_all(self, new: Sequence[NewJob]) -> list[tuple[Job, bool]]:
        """The same for several, whose keys differ; in their order."""
        made = {job.idempotency_key: job for job in self._jobs("submit", submission(new))}
        before = [each.idempotency_key for each in new if each.idempotency_key not in made]
        found = {job.idempotency_key: job for job in self.by_keys(before)}
        return [(made.get(key) or found[key], key in made) for key in (each.idempotency_key for each in new)]

    def activate(self, database: str | None = None) -> list[Job]:
        """Start what waits, one job per database that has no live one; they are to be rung now.

        Raises sqlalchemy.exc.IntegrityError when another process was quicker; the catalog turns that
        into Busy, and whoever was quicker rings.
        """
        return self._jobs("activate", {"database": database})

    def claim(self, job_id: str, *, epoch: int, seq: int, owner: str, ttl: timedelta) -> Claim | None:
        key = {"id": job_id, "epoch": epoch, "seq": seq, "owner": owner, "ttl": ttl}
        job = self._job("claim", key)
        return Claim(job=job, owner=owner) if job else None

    def claim_rollback(self, job_id: str, *, epoch: int, owner: str, ttl: timedelta) -> Claim | None:
        job = self._job("claim_rollback", {"id": job_id, "epoch": epoch, "owner": owner, "ttl": ttl})
        return Claim(job=job, owner=owner) if job else None

    def renew(self, claim: Claim, *, ttl: timedelta, progress: Mapping[str, Any] | None) -> Renewal | None:
        values = claim.key() | {
            "ttl": ttl,
            "progress": None if progress is None else json.dumps(dict(progress)),
        }
        row = self._db.execute(statement("renew"), values).mappings().one_or_none()
        return Renewal(**row) if row else None

    def begin_step(self, claim: Claim) -> StepState:
        """Mark the claimed step `doing`; what it was: `doing` where a former worker died in it."""
        key = {"id": claim.job.id, "seq": claim.job.next_seq}
        return StepState(self._db.execute(statement("begin_step"), key).scalar_one())

    def record(self, claim: Claim, data: Mapping[str, Any]) -> bool:
        """Merge into what the claimed step knows of itself; False when superseded.

        Called before the side effect that the data tells of, so that its undo finds it.
        """
        key = claim.key() | {"data": json.dumps(dict(data))}
        result = self._db.execute(
            text("""
                update job_step set data = data || cast(:data as jsonb)
                 where job_id = :id and seq = :seq
                   and exists (select 1 from job
                                where id = :id and epoch = :epoch and lease_owner = :owner
                                  and lease_until is not null)"""),
            key,
        )
        return result.rowcount == 1

    def fence(self, claim: Claim) -> bool:
        """Keep the job's row as it is until the commit; False when superseded."""
        query = select(JOB.c.id).where(
            JOB.c.id == claim.job.id,
            JOB.c.epoch == claim.job.epoch,
            JOB.c.lease_owner == claim.owner,
            JOB.c.lease_until.is_not(None),
        )
        return self._db.execute(query.with_for_update(read=True)).one_or_none() is not None

    def finish(self, claim: Claim, *, result: Mapping[str, Any]) -> Job | None:
        """End the claimed step. The caller rolls its transaction back on None."""
        last = claim.job.next_seq == len(SAGAS[claim.job.kind].steps)
        values = claim.key() | {"last": last, "result": json.dumps(dict(result))}
        return self._job("finish", values)

    def rewind(self, claim: Claim, *, to_seq: int) -> Job | None:
        """Start over from an earlier step: its successors are new again, what they recorded is kept."""
        job = self._job("rewind", claim.key() | {"to_seq": to_seq})
        if job is not None:
            steps = update(STEP).where(STEP.c.job_id == job.id, STEP.c.seq > to_seq)
            self._db.execute(steps.values(state=StepState.NEW))
        return job

    def release(self, claim: Claim, *, error: Mapping[str, str | None], give_up: bool) -> Job | None:
        """Give a failed step or rollback back: for another try later, or to be rolled back."""
        key = {"id": claim.job.id, "epoch": claim.job.epoch, "owner": claim.owner}
        values = {"error": json.dumps(dict(error)), "give_up": give_up, "max_attempts": MAX_ATTEMPTS}
        return self._job("release", key | values)

    def undone(self, claim: Claim, seq: int) -> bool:
        """Note that one step is undone; False when superseded."""
        key = {"id": claim.job.id, "epoch": claim.job.epoch, "owner": claim.owner, "seq": seq}
        result = self._db.execute(
            text("""
                update job_step set state = 'undone', finished_at = now()
                 where job_id = :id and seq = :seq
                   and exists (select 1 from job
                                where id = :id and epoch = :epoch and lease_owner = :owner
                                  and lease_until is not null)"""),
            key,
        )
        return result.rowcount == 1

    def end_rollback(self, claim: Claim) -> Job | None:
        ends_undone = SAGAS[claim.job.kind].ends_undone
        key = {"id": claim.job.id, "epoch": claim.job.epoch, "owner": claim.owner}
        return self._job("end_rollback", key | {"ends_undone": ends_undone})

    def reap(self, job_id: str | None = None) -> list[Job]:
        """Make ready every live job that does not move (or that one); they are to be rung now."""
        return self._jobs("reap", {"max_attempts": MAX_ATTEMPTS, "only": job_id})

    def not_rung(self, job: Job) -> None:
        """Note that no message left for a job that `activate` or `reap` answered."""
        key = {"id": job.id, "epoch": job.epoch, "enqueued_at": job.enqueued_at}
        self._db.execute(statement("not_rung"), key)

    def expire(self) -> list[Job]:
        """End what waited past its deadline or was cancelled before it began."""
        return self._jobs("expire", {})

    def request_cancel(self, job_id: str) -> Job | None:
        """Ask an unfinished job to stop; None when it has ended already or rolls back anyway."""
        change = (
            update(JOB)
            .where(JOB.c.id == job_id, JOB.c.state.in_([JobState.PENDING, JobState.ACTIVE]))
            .values(
                cancel_requested=True,
                error={"code": "cancelled", "message": "cancelled by request", "hint": None},
            )
            .returning(JOB)
        )
        row = self._db.execute(change).mappings().one_or_none()
        return to_job(row) if row else None

    def get(self, job_id: str) -> Job | None:
        row = self._db.execute(select(JOB).where(JOB.c.id == job_id)).mappings().one_or_none()
        return to_job(row) if row else None

    def by_key(self, idempotency_key: str) -> Job | None:
        query = select(JOB).where(JOB.c.idempotency_key == idempotency_key)
        row = self._db.execute(query).mappings().one_or_none()
        return to_job(row) if row else None

    def waiting(self, prefix: str, *, most: int) -> int:
        """How many jobs with keys of this beginning have not begun; counted up to `most`."""
        query = select(JOB.c.id).where(JOB.c.state == JobState.PENDING)
        query = query.where(func.starts_with(JOB.c.idempotency_key, prefix)).limit(most)
        return self._db.execute(select(func.count()).select_from(query.subquery())).scalar_one()

    def by_keys(self, idempotency_keys: Sequence[str]) -> list[Job]:
        """Those of them that are there."""
        if not idempotency_keys:
            return []
        query = select(JOB).where(is_among(JOB.c.idempotency_key, idempotency_keys))
        return [to_job(row) for row in self._db.execute(query).mappings()]

    def known_keys(self, idempotency_keys: Collection[str]) -> frozenset[str]:
        """Those of them that a job was made for."""
        query = select(JOB.c.idempotency_key).where(is_among(JOB.c.idempotency_key, idempotency_keys))
        return frozenset(self._db.execute(query).scalars())

    def find(self, prefix: str) -> list[Job]:
        """Jobs whose id starts with what a user typed, in whichever case."""
        query = select(JOB).where(func.starts_with(func.cast(JOB.c.id, JobRow.kind.type), prefix.lower()))
        return [to_job(row) for row in self._db.execute(query.limit(2)).mappings()]

    def listing(self, *, database: str | None = None, limit: int = 50) -> Sequence[Job]:
        """The newest first."""
        query = select(JOB).order_by(JOB.c.created_at.desc(), JOB.c.id).limit(limit)
        if database is not None:
            query = query.where(JOB.c.database == database)
        return [to_job(row) for row in self._db.execute(query).mappings()]

    def ahead(self, database: str) -> Sequence[Job]:
        """Unfinished jobs that a new one which changes this database would wait for, in their order."""
        kinds = [kind for kind, lane in LANES.items() if lane is Lane.CHANGES]
        query = select(JOB).where(JOB.c.database == database, JOB.c.kind.in_(kinds))
        query = query.where(JOB.c.state.not_in(list(FINAL))).order_by(JOB.c.created_at, JOB.c.id)
        return [to_job(row) for row in self._db.execute(query).mappings()]

    def newest_success(self, database: str, *, kinds: Collection[JobKind]) -> str | None:
        """The id of the job of these kinds that succeeded last."""
        query = select(JOB.c.id).where(JOB.c.database == database, JOB.c.kind.in_(kinds))
        query = query.where(JOB.c.state == JobState.SUCCEEDED)
        return self._db.execute(query.order_by(JOB.c.finished_at.desc()).limit(1)).scalar_one_or_none()

    def live(self, database: str) -> Job | None:
        """The one job that may change this database now."""
        states = (JobState.ACTIVE, JobState.ROLLING_BACK)
        kinds = [kind for kind, lane in LANES.items() if lane is Lane.CHANGES]
        query = select(JOB).where(JOB.c.database == database, JOB.c.state.in_(states), JOB.c.kind.in_(kinds))
        row = self._db.execute(query).mappings().one_or_none()
        return to_job(row) if row else None

    def step(self, job_id: str, seq: int) -> Step:
        query = select(STEP).where(STEP.c.job_id == job_id, STEP.c.seq == seq)
        return to_step(self._db.execute(query).mappings().one())

    def steps(self, job_id: str) -> Sequence[Step]:
        query = select(STEP).where(STEP.c.job_id == job_id).order_by(STEP.c.seq)
        return [to_step(row) for row in self._db.execute(query).mappings()]

    def restore_durations(self, database: str, *, limit: int = 5) -> Sequence[tuple[int, float]]:
        """(raw bytes, seconds) of the newest restores that succeeded."""
        values = {"database": database, "limit": limit}
        return [
            (row.raw_bytes, row.seconds) for row in self._db.execute(statement("restore_durations"), values)
        ]

    def now(self) -> datetime:
        """The catalog server's clock: the only one that leases and slots go by."""
        return self._db.execute(select(func.now())).scalar_one()

    def _job(self, name: str, values: Mapping[str, Any]) -> Job | None:
        row = self._db.execute(statement(name), dict(values)).mappings().one_or_none()
        return to_job(row) if row else None

    def _jobs(self, name: str, values: Mapping[str, Any]) -> list[Job]:
        return [to_job(row) for row in self._db.execute(statement(name), dict(values)).mappings()]


def submission(new: Sequence[NewJob]) -> dict[str, Any]:
    """New jobs by columns, and the steps of their kinds."""
    steps = [
        (kind, seq, name)
        for kind in sorted({each.kind for each in new})
        for seq, name in enumerate(SAGAS[kind].steps, start=1)
    ]
    return {
        "ids": [each.id for each in new],
        "kinds": [str(each.kind) for each in new],
        "databases": [each.database for each in new],
        "requests": [json.dumps(dict(each.request)) for each in new],
        "keys": [each.idempotency_key for each in new],
        "digests": [each.request_digest for each in new],
        "deadlines": [SAGAS[each.kind].deadline for each in new],
        "step_kinds": [str(kind) for kind, _, _ in steps],
        "step_seqs": [seq for _, seq, _ in steps],
        "step_names": [name for _, _, name in steps],
    }
