"""What Snapfleet takes for its jobs, from the request to the end, as whoever waits for it sees it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from benchmarks.speed.measure import Cost, Trees
from embedded.process import Child
from shared.domain import table_names
from shared.domain.access import Actor
from shared.domain.ids import new_snapshot_id
from shared.domain.job import Job, JobKind, JobState, NewJob
from shared.domain.proof import Digests
from shared.operations.fleet import Fleet
from shared.operations.jobs import following, requests
from shared.operations.proofs import verify
from shared.operations.restores import tables

LOOK_EVERY = timedelta(milliseconds=50)
ME = Actor(name="benchmark", origin="benchmark")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    fleet: Fleet
    children: Sequence[Child]

    def snapshot(self, name: str) -> Cost:
        """Its bytes are those that were stored anew."""
        cost, job = self._run(lambda: self.submit_snapshot(name))
        self.rest()
        return replace(cost, bytes=int(str(job.result.get("new_bytes", 0))))

    def restore(self, name: str, *, to: str) -> Cost:
        request = self._restore(name, to=to)
        cost, _ = self._run(lambda: self.submit(JobKind.RESTORE, name, request))
        return cost

    def restore_in_place(self, name: str, *, safe: bool = False) -> tuple[Cost, Job]:
        """`safe`: with a snapshot of what is replaced, as the command line does it unless told otherwise."""
        safeguard = new_snapshot_id(datetime.now(UTC), uuid.uuid4()) if safe else None
        request = self._restore(name, to=None, safeguard_id=safeguard)
        return self._run(lambda: self.submit(JobKind.RESTORE, name, request))

    def undo(self, restore_job: str) -> Cost:
        def ask() -> str:
            id_ = str(uuid.uuid4())
            requests.undo(self.fleet, restore_job, job_id=id_, idempotency_key=id_, by=ME)
            return id_

        cost, _ = self._run(ask)
        return cost

    def verify(self, name: str) -> Cost:
        newest = requests.choose_snapshot(self.fleet, name, snapshot_id=None, at=None)
        request = verify.request(newest.id, digests=Digests.SAMPLE, prune_job_id=None)
        cost, _ = self._run(lambda: self.submit(JobKind.VERIFY, name, request))
        return cost

    def one_table(self, name: str, table: str, *, to: str) -> Cost:
        newest = requests.choose_snapshot(self.fleet, name, snapshot_id=None, at=None)
        wanted = tables.preview(
            self.fleet, name, newest.id, [table_names.wanted(table, to)], as_superuser=False
        )
        cost, _ = self._run(lambda: self.submit(JobKind.TABLES, name, tables.request(newest.id, wanted)))
        return cost

    def how_read(self, name: str) -> str:
        """What the newest snapshot has taken over without reading it, or why nothing."""
        with self.fleet.catalog.transaction() as tx:
            newest = tx.snapshots.newest_sealed(name)
        how = newest.how_read if newest is not None else None
        if how is None:
            return "nothing is known of how it was read"
        parts = sum(share.parts for share in (how.unread, how.known, how.new))
        told = f"{how.unread.parts} of {parts} parts taken over unread, {how.known.parts} read and known, {how.new.parts} new"
        return f"{told} ({how.reason})" if how.reason else told

    def submit_snapshot(self, name: str) -> str:
        request = requests.manual_snapshot_request(now=datetime.now(UTC), new_uuid=uuid.uuid4)
        return self.submit(JobKind.SNAPSHOT, name, request)

    def submit(self, kind: JobKind, name: str, request: Mapping[str, object]) -> str:
        id_ = str(uuid.uuid4())
        new = NewJob(id=id_, kind=kind, database=name, request=request, idempotency_key=id_)
        requests.submit(self.fleet, new, by=ME)
        return id_

    def rest(self) -> None:
        """Wait until nothing is left to do: a snapshot is followed by a job that prunes."""
        while unfinished := self._unfinished():
            self.ended(unfinished[0])

    def ended(self, job_id: str) -> Job:
        *_, last = following.follow(self.fleet, job_id, every=LOOK_EVERY)
        if last.job.state is not JobState.SUCCEEDED:
            raise SystemExit(f"the {last.job.kind} {last.job.state}: {last.job.error}")
        return last.job

    def steps(self, job_id: str) -> Mapping[str, float]:
        """Seconds of each step."""
        with self.fleet.catalog.transaction() as tx:
            return {
                step.name: (step.finished_at - step.started_at).total_seconds()
                for step in tx.jobs.steps(job_id)
                if step.started_at is not None and step.finished_at is not None
            }

    def _restore(self, name: str, *, to: str | None, safeguard_id: str | None = None) -> dict[str, object]:
        newest = requests.choose_snapshot(self.fleet, name, snapshot_id=None, at=None)
        return requests.restore_request(snapshot_id=newest.id, to=to, safeguard_id=safeguard_id)

    def _run(self, ask: Callable[[], str]) -> tuple[Cost, Job]:
        with Trees(child.pid for child in self.children).watching() as watched:
            job = self.ended(ask())
            return watched(0), job

    def _unfinished(self) -> list[str]:
        with self.fleet.catalog.transaction() as tx:
            return [job.id for job in tx.jobs.listing() if not job.state.is_final]
