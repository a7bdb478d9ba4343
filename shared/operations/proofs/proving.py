"""The step `prove` of every kind of job that restores a snapshot: compare, keep what it showed, judge.

A difference is a result and no accident: it is written down, the snapshot is refuted, an event says so, and
only then does the job fail. A restore that proves its side database proves the snapshot as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from shared import failpoints
from shared.catalog.catalog import Transaction
from shared.domain.job import JobKind, StepState
from shared.domain.manifest import Manifest
from shared.domain.proof import Digests
from shared.errors import Damaged, Permanent
from shared.operations.databases import side, source
from shared.operations.jobs.lease import LeaseLost
from shared.operations.jobs.saga import Outcome, StepRun
from shared.operations.proofs import keeping, proof, refreshing
from shared.operations.proofs.proof import Comparison
from shared.postgres import assertions, databases
from shared.postgres.session import consistent

LOADING = ("create", "load", "build")

UNRESTORABLE = frozenset({"constraint_violated"})
"""What an error says whose cause is the snapshot's content, beside those of damage."""

HINTS: Mapping[JobKind, str] = {
    JobKind.RESTORE: "the live database was not touched; restore another snapshot, or this one beside it:"
    " --to NAME --despite-differences",
}
HINT = "`snapfleet snapshot show` lists every difference; take and verify another snapshot"


def prove(run: StepRun) -> Outcome:
    """Compare the side database with what was recorded inside the snapshot's own transaction.

    Raises Damaged (`not_proven`) once every difference is kept, unless the job is to bear them.
    """
    began = time.monotonic()
    found = compare(run, side.manifest_of(run.fleet, run.job.request["snapshot_id"]))
    refreshed = refreshing.noted(run)
    found = found.with_remarks(refreshing.notes(refreshed), refreshing.facts(refreshed))
    seconds = time.monotonic() - began
    failpoints.reach("prove.compared")
    if found.differences:
        if refreshed:
            raise refreshing.anew(found.differences[0])
        refute(run, found, seconds=seconds)
        failpoints.reach("prove.refuted")
        if side.bears_differences(run.job):
            return Outcome(result={**facts(found), "differences": list(found.differences)})
        more = len(found.differences) - 1
        raise Damaged(
            f"what was restored is not the snapshot: {found.differences[0]}"
            + (f", and {more} more difference{'s' if more > 1 else ''}" if more else ""),
            code="not_proven",
            hint=HINTS.get(run.job.kind, HINT),
        )

    def confirm(tx: Transaction) -> None:
        keep(tx, run, found, seconds=seconds)

    return Outcome(result={**facts(found), **refreshing.facts(refreshed)}, record=confirm)


def facts(found: Comparison) -> dict[str, Any]:
    """How much was compared, for the job's result."""
    return {
        "tables": found.compared["tables"],
        "row_count": found.compared["rows"],
        "digests": found.compared["digests"],
    }


def compare(run: StepRun, manifest: Manifest) -> Comparison:
    dsn = side.side_dsn(run)
    with source.maintenance(dsn, run.name) as beside:
        properties = databases.rehearse(beside, dsn.dbname, manifest.properties)
    run.check()
    with keeping.entered(run, dsn) as session:
        with consistent(session):
            found = proof.compare(
                session,
                manifest,
                properties=properties,
                brought_by=refreshing.brought_by(run),
                choice=Digests(run.job.request.get("digests", Digests.SAMPLE)),
            )
        asked = run.database.assertions
        failed = assertions.failures(session, asked, properties=manifest.properties, check=run.check)
        left_out = run.data("build").get("left_out", ())
        return found.with_assertions(len(asked), failed).with_refusals(left_out)


def refuting(do: Callable[[StepRun], Outcome]) -> Callable[[StepRun], Outcome]:
    """A step that loads a snapshot: what cannot be loaded because of what is stored is refuted as well."""

    def act(run: StepRun) -> Outcome:
        try:
            return do(run)
        except Permanent as exc:
            if isinstance(exc, Damaged) or exc.code in UNRESTORABLE:
                found = Comparison(differences=(exc.message,), notes=(), compared={})
                refute(run, found, seconds=0.0)
            raise

    return act


def refute(run: StepRun, found: Comparison, *, seconds: float) -> None:
    """Keep the differences in a transaction of their own: the step that found them does not end well."""
    with run.fleet.catalog.transaction() as tx:
        told = tx.jobs.step(run.job.id, run.job.next_seq).data.get("refuted")
        if not tx.jobs.record(run.claim, {"refuted": True}):
            raise LeaseLost("superseded")
        keep(tx, run, found, seconds=seconds)
        if not told:
            data = {"snapshot_id": run.job.request["snapshot_id"], "differences": list(found.differences)}
            tx.outbox.add("verify.refuted", database=run.job.database, job_id=run.job.id, data=data)


def keep(tx: Transaction, run: StepRun, found: Comparison, *, seconds: float) -> None:
    snapshot_id = str(run.job.request["snapshot_id"])
    snapshot = tx.snapshots.get(snapshot_id)
    matched = not found.differences
    tx.snapshots.judge(snapshot_id, matched=matched)
    if not matched:
        # Those built on it, and what it was built on, may hold the same bad part.
        tx.snapshots.distrust_bases(run.job.database)
    tx.verifications.record(
        job_id=run.job.id,
        snapshot_id=snapshot_id,
        database=run.job.database,
        matched=matched,
        restore_seconds=restore_seconds(tx, run),
        prove_seconds=seconds,
        raw_bytes=(snapshot.raw_bytes if snapshot else None) or 0,
        compared={**found.compared, "notes": list(found.notes)},
        differences=found.differences,
    )


def restore_seconds(tx: Transaction, run: StepRun) -> float:
    """How long this job took to build the side database up, by the catalog's clock."""
    return sum(
        (step.finished_at - step.started_at).total_seconds()
        for step in tx.jobs.steps(run.job.id)
        if step.name in LOADING and step.state is StepState.DONE and step.started_at and step.finished_at
    )
