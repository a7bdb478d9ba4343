"""Publish what the outbox holds: at least once, those of one database in their order.

    lead? ─► the oldest unpublished ─► append to the stream ─► mark published ─► commit

Whoever dies before the commit publishes the same events again, under the same ids. One process leads at a
time, by a lock of the catalog that ends with its transaction; the others stand by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from shared.catalog.catalog import Catalog, Transaction
from shared.domain import envelope
from shared.domain.events import KEEP_EVENTS, Told
from shared.domain.job import SAGAS
from shared.streams.base import BODY, EVENTS, Fields, Streams

log = structlog.get_logger(__name__)

BATCH = 200
CEILING = 10
"""A stream that grew to so many times what is kept waits: some group does not read. Nothing is dropped,
and Redis is not filled: the events stay in the catalog."""
TRIM_AT_MOST = 1_000
PROGRESS_EVERY = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    catalog: Catalog
    streams: Streams
    keep: int = KEEP_EVENTS

    def publish(self, *, limit: int = BATCH) -> int:
        """Publish the next events; how many. 0 too where another process leads, or the stream is full.

        Raises Unreachable while catalog or Redis are away.
        """
        with self.catalog.singly() as tx:
            if not tx.outbox.is_waiting():  # asked several times a second, and hardly ever so
                return 0
        with self.catalog.transaction() as tx:
            if not tx.outbox.lead():
                return 0
            waiting = tx.outbox.unpublished(limit=limit)
            if not waiting or self.is_full():
                return 0
            self.streams.append(EVENTS, [entry_of(told) for told in waiting])
            tx.outbox.published([told.number for told in waiting])
        self.trim()
        return len(waiting)

    def is_full(self) -> bool:
        if self.streams.length(EVENTS) < CEILING * self.keep:
            return False
        behind = [each.group for each in self.streams.unread(EVENTS) if each.oldest is not None]
        log.error("events_wait_for_readers", groups=behind, kept=CEILING * self.keep)
        return self.trim() == 0

    def trim(self) -> int:
        """Drop events beyond those that are kept, as far as every group has settled them; how many."""
        return self.streams.trim(EVENTS, keep=self.keep, at_most=TRIM_AT_MOST)

    def tell_progress(self) -> int:
        """Write a `progress` event for each running job that got on since the last; how many.

        Of one job at most one in PROGRESS_EVERY, whoever calls this how often.
        """
        with self.catalog.singly() as tx:
            if not tx.outbox.quiet_jobs(for_=PROGRESS_EVERY):
                return 0
        with self.catalog.transaction() as tx:
            if not tx.outbox.lead():
                return 0
            quiet = tx.outbox.quiet_jobs(for_=PROGRESS_EVERY)
            return sum(self._tell(tx, job_id, last_told) for job_id, last_told in quiet)

    def _tell(self, tx: Transaction, job_id: str, last_told: Mapping[str, Any] | None) -> bool:
        job = tx.jobs.get(job_id)
        if job is None or job.step is None:
            return False
        parts = tx.parts.progress(job_id)
        steps = SAGAS[job.kind].steps
        data = {
            "kind": str(job.kind),
            "state": str(job.state),
            "request": {"snapshot_id": job.request.get("snapshot_id")},
            "step": job.step,
            "step_number": job.next_seq,
            "steps": len(steps),
            "parts": parts.total,
            "done_parts": parts.done,
            "done_bytes": parts.done_bytes + int(job.progress.get("archive_bytes", 0)),
            "expected_bytes": parts.expected_bytes,
        }
        if data == last_told:
            return False
        tx.outbox.add(f"{job.kind}.progress", database=job.database, job_id=job.id, data=data)
        return True


def entry_of(told: Told) -> Fields:
    body = json.dumps(envelope.of(told), ensure_ascii=False, separators=(",", ":"))
    return {BODY: body.encode(errors="replace")}
