"""What is ours, used by nobody and safe to remove: found, planned, and removed only as it was planned.

survey ─► fixes, shown under the id of the check ─► the same survey again ─► nothing else? ─► removed
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from hashlib import sha256
from itertools import islice
from typing import Any

import structlog

from shared.domain.findings import Finding, found
from shared.domain.job import JobKind, JobState
from shared.domain.manifest import parse
from shared.domain.wording import counted
from shared.errors import Refused, SnapfleetError
from shared.operations.databases import source
from shared.operations.fleet import Fleet
from shared.operations.jobs.saga import Outcome, StepRun
from shared.operations.upkeep import inventory, remains
from shared.operations.upkeep.inventory import Inventory
from shared.operations.upkeep.prune import BATCH
from shared.operations.upkeep.remains import Remains
from shared.postgres import backends
from shared.postgres.dsn import Dsn

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One thing to remove. Of many chunks the target is a hash of all their names."""

    code: str
    target: str
    amount: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    findings: tuple[Finding, ...]
    left: tuple[tuple[Dsn, Remains], ...] = ()
    stock: Inventory = field(default_factory=lambda: Inventory(findings=()))

    @property
    def fixes(self) -> tuple[Fix, ...]:
        chunks = sorted(self.stock.chunks)
        together = sha256("\n".join(chunks).encode()).hexdigest()
        return (
            *(Fix(code="side_database", target=name) for _, r in self.left for name in r.side_databases),
            *(Fix(code="backend", target=named(b)) for _, r in self.left for b in r.backends if b.is_idle),
            *(Fix(code="upload_open", target=f"{u.key} {u.upload_id}") for u in self.stock.uploads),
            *((Fix(code="chunk_unknown", target=together, amount=len(chunks)),) if chunks else ()),
        )


def named(backend: backends.Backend) -> str:
    return f"{backend.application_name} {backend.pid} {backend.started_at.isoformat()}"


def survey(run: StepRun) -> Survey:
    """Everything that jobs of this database may have left, wherever that is. Changes nothing.

    A server, or a storage, that does not answer is a finding, and nothing of it can be fixed.
    """
    findings: list[Finding] = []
    left: list[tuple[Dsn, Remains]] = []
    run.report(section="remains")
    for dsn in remains.servers(run.fleet, run.job.database):
        try:
            with source.maintenance(dsn, run.name) as session:
                what = remains.on_server(run.fleet, run.job.database, session)
        except SnapfleetError as exc:
            run.check()
            findings.append(found("unreachable", f"remains on {dsn.where}", exc.message))
            continue
        left.append((dsn, what))
        findings += what.findings
    findings += remains.locks(run.fleet, run.job.database)
    run.report(section="repository")
    try:
        with run.fleet.catalog.transaction() as tx:
            now = tx.jobs.now().astimezone(UTC)
        stock = inventory.take(run.fleet, run.job.database, now=now, check=run.check)
    except SnapfleetError as exc:
        run.check()
        findings.append(found("repository_unreachable", run.fleet.repository.storage.location, exc.message))
        stock = Inventory(findings=())
    return Survey(findings=(*findings, *stock.findings), left=tuple(left), stock=stock)


def planned(fleet: Fleet, check_id: str, *, database: str) -> Sequence[Fix]:
    """What a check has found fixable. Refused where it is none of this database, or found nothing."""
    with fleet.catalog.transaction() as tx:
        job = tx.jobs.get(check_id)
    if job is None or job.kind is not JobKind.CHECK or job.database != database:
        raise Refused(f"{check_id} is no check of {database}", code="plan_unknown", hint=AGAIN)
    fixes = fixes_in(job.result)
    if job.state is not JobState.SUCCEEDED or not fixes:
        raise Refused(f"check {check_id} has found nothing to fix", code="nothing_to_fix", hint=AGAIN)
    return fixes


AGAIN = "look again: snapfleet check --fix"


def key_of(check_id: str) -> str:
    """The idempotency key of a job that fixes: what a check has found is fixed once, however often that is asked for."""
    return f"fix:{check_id}"


def refuse_spent(fleet: Fleet, check_id: str) -> None:
    """Refused where fixing what this check has found was tried, and came to nothing."""
    with fleet.catalog.transaction() as tx:
        job = tx.jobs.by_key(key_of(check_id))
    if job is not None and job.state.is_final and job.state is not JobState.SUCCEEDED:
        why = (job.error or {}).get("message") or f"the job was {job.state}"
        raise Refused(f"the plan of check {check_id} is spent: {why}", code="plan_spent", hint=AGAIN)


def fixes_in(result: Mapping[str, Any]) -> tuple[Fix, ...]:
    """What a check has found fixable."""
    return parse(result.get("fixes", []), tuple[Fix, ...])


def sentence(fix: Fix) -> str:
    """What would be done, for people."""
    return {
        "side_database": f"drop the database {fix.target}",
        "backend": f"end the session {fix.target}",
        "upload_open": f"end the upload of {fix.target}",
        "chunk_unknown": f"delete {counted(fix.amount, 'chunk')} that nobody knows of",
    }[fix.code]


def fix(run: StepRun) -> Outcome:
    """Remove what the check of that id has found, unless there is anything else by now.

    A second run goes on with what is left of it.
    """
    asked = run.job.request.get("apply")
    if asked is None:
        return Outcome()
    plan = planned(run.fleet, str(asked), database=run.job.database)
    seen = survey(run)
    if not run.data("fix").get("begun") and set(seen.fixes) != set(plan):
        raise Refused(
            f"what is to be fixed is not what check {asked} has found", code="plan_changed", hint=AGAIN
        )
    run.record(begun=True)
    wanted = {(each.code, each.target) for each in plan}
    removed: dict[str, int] = {}
    for dsn, what in seen.left:
        remove_left(run, dsn, what, wanted, removed)
    for upload in seen.stock.uploads:
        if ("upload_open", f"{upload.key} {upload.upload_id}") in wanted:
            run.check()
            run.fleet.repository.storage.abort(upload)
            count(removed, "upload_open")
    if any(code == "chunk_unknown" for code, _ in wanted):
        remove_chunks(run, seen.stock.chunks, removed)
    log.info("fixed", **removed)
    return Outcome(result={"fixed": removed})


def remove_left(
    run: StepRun, dsn: Dsn, what: Remains, wanted: Collection[tuple[str, str]], removed: dict[str, int]
) -> None:
    with source.maintenance(dsn, run.name) as session:
        for backend in what.backends:
            if ("backend", named(backend)) in wanted:
                run.check()
                backends.end_idle(session, backend)
                count(removed, "backend")
        for name in what.side_databases:
            if ("side_database", name) in wanted:
                run.check()
                source.drop(dsn, session, name)
                count(removed, "side_database")


def remove_chunks(run: StepRun, chunks: Mapping[str, int], removed: dict[str, int]) -> None:
    """First a row that says that it goes, so that a copy that wants one of them now stores it anew."""
    name, rest = run.job.database, iter(sorted(chunks))
    while batch := list(islice(rest, BATCH)):
        run.check()
        with run.fleet.catalog.transaction() as tx:
            tx.chunks.condemn(name, {each: chunks[each] for each in batch})
        with run.fleet.catalog.transaction() as tx:
            for each in tx.chunks.lock_dead(name, batch):
                run.check()
                run.fleet.repository.delete_chunk(name, each)
                tx.chunks.forget(name, [each])
                count(removed, "chunk_unknown")


def count(removed: dict[str, int], code: str) -> None:
    removed[code] = removed.get(code, 0) + 1
