"""Who did what: written with what was done, in one transaction; read, and examined, by whoever must know.

A job has two entries: that it was asked for, in the transaction that makes it, and how it ended, in the one that
ends it. A job that another one asks for names that one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.catalog.catalog import Transaction
from shared.domain.access import Actor, Principal
from shared.domain.audit import Act, Entry, Examination, Fault, Finding, Head
from shared.domain.job import Job
from shared.operations.fleet import Fleet

BATCH = 1_000
MOST_FINDINGS = 1_000
"""An audit of which nothing is right needs no million of sentences."""

SCHEDULE = Actor(name="schedule", origin="beat")


def of_job(job_id: str) -> Actor:
    """Who asks for what follows from a job."""
    return Actor(name="snapfleet", origin=f"job:{job_id}")


def of_worker(owner: str) -> Actor:
    """Who says how a job ended."""
    return Actor(name="snapfleet", origin=f"worker:{owner}")


def requested(tx: Transaction, job: Job, *, by: Actor) -> None:
    details = {"request": dict(job.request), "idempotency_key": job.idempotency_key}
    tx.audit.add(
        Act(
            by=by,
            action=f"{job.kind}.requested",
            outcome="accepted",
            database=job.database,
            job_id=job.id,
            details=details,
        )
    )


def ended(tx: Transaction, job: Job, *, by: Actor) -> None:
    """How a job ended. Of an error only its code: the rest may quote what is nobody's business here."""
    code = (job.error or {}).get("code")
    tx.audit.add(
        Act(
            by=by,
            action=f"{job.kind}.ended",
            outcome=str(job.state),
            database=job.database,
            job_id=job.id,
            details={} if code is None else {"error": code},
        )
    )


def did(
    tx: Transaction,
    action: str,
    *,
    by: Actor,
    outcome: str = "done",
    database: str | None = None,
    job_id: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """What is done at once, and is no job."""
    act = Act(by=by, action=action, outcome=outcome, database=database, job_id=job_id, details=details or {})
    tx.audit.add(act)


def listing(
    fleet: Fleet,
    *,
    to: Principal | None = None,
    database: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    job_id: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Entry]:
    """The newest first. To a principal that is bound to databases only what was done to one of these is shown."""
    reach = None if to is None else to.databases
    if database is not None:
        reach = frozenset({database}) if reach is None else reach & {database}
    with fleet.catalog.transaction() as tx:
        found = tx.audit.listing(
            databases=reach, actor=actor, action=action, job_id=job_id, before=before, limit=limit
        )
    return list(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What an examination of the whole audit has shown. `findings` are the first ones."""

    count: int
    head: Head
    findings: tuple[Finding, ...]


def examine(fleet: Fleet, *, kept: Collection[Head] = ()) -> Examined:
    """Read the whole chain, and look for jobs that it does not tell of.

    Finds an entry that was changed, removed, inserted or moved, and a tail that is cut off where a job that is
    still known, or a head that was `kept` elsewhere, tells of it. Whoever owns the catalog can write all of it
    anew, jobs and all: then only a kept head shows it.
    """
    examination = Examination(kept)
    findings = list[Finding]()
    for entries in batches(fleet):
        findings += _at_most(examination.read(entries), MOST_FINDINGS - len(findings))
    findings += _at_most(examination.end(), MOST_FINDINGS - len(findings))
    findings += _at_most(unrecorded(fleet), MOST_FINDINGS - len(findings))
    return Examined(count=examination.count, head=examination.head, findings=tuple(findings))


def batches(fleet: Fleet) -> Iterator[list[Entry]]:
    """The whole chain, a transaction each: no reader keeps the catalog from tidying up for an hour."""
    seq = 0
    while True:
        with fleet.catalog.transaction() as tx:
            entries = list(tx.audit.after(seq, limit=BATCH))
        if not entries:
            return
        yield entries
        seq = entries[-1].seq


def unrecorded(fleet: Fleet) -> Iterator[Finding]:
    with fleet.catalog.transaction() as tx:
        found = tx.audit.unrecorded(limit=MOST_FINDINGS)
    for job_id, lacks in found:
        yield Finding(
            fault=Fault.UNRECORDED, seq=None, what=f"there is no entry that job {job_id} was {lacks}"
        )


def head(fleet: Fleet) -> Head:
    with fleet.catalog.transaction() as tx:
        return tx.audit.head()


def _at_most(findings: Iterable[Finding], count: int) -> list[Finding]:
    """The first ones; the rest is looked at all the same, so that the head is reached."""
    return [finding for number, finding in enumerate(findings) if number < count]
