"""The step `prove` of every kind of job that restores a snapshot: compare, keep what it showed, judge.

A difference is a result and no accident: it is written down, the snapshot is refuted, an event says so, and
only then does the job fail. A restore that proves its side database proves the snapshot as well.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from shared import failpoints
from shared.catalog.catalog import Transaction
from shared.domain.job import JobKind, StepState
from shared.domain.manifest import Manifest
from shared.errors import Damaged
from shared.operations import proof, side
from shared.operations.lease import LeaseLost
from shared.operations.saga import Outcome, StepRun
from shared.postgres.session import connected

LOADING = ("create", "load", "build")

HINTS: Mapping[JobKind, str] = {
    JobKind.RESTORE: "the live database was not touched; restore another snapshot",
}
HINT = "`snapfleet snapshot show` lists every difference; take and verify another snapshot"


def prove(run: StepRun) -> Outcome:
    """Compare the side database with what was recorded inside the snapshot's own transaction.

    Raises Damaged (`not_proven`) once every difference is kept.
    """
    manifest = side.manifest_of(run.fleet, run.job.request["snapshot_id"])
    began = time.monotonic()
    with connected(side.side_dsn(run), application_name=run.name) as session:
        found, differences = proof.compare(session, manifest)
    seconds = time.monotonic() - began
    failpoints.reach("prove.compared")
    compared = {"tables": len(found), "rows": sum(found.values()), "sequences": len(manifest.sequences)}
    if differences:
        refute(run, manifest, compared=compared, differences=differences, seconds=seconds)
        failpoints.reach("prove.refuted")
        raise Damaged(
            f"what was restored is not the snapshot: {differences[0]}"
            + (f", and {len(differences) - 1} more differences" if len(differences) > 1 else ""),
            code="not_proven",
            hint=HINTS.get(run.job.kind, HINT),
        )

    def confirm(tx: Transaction) -> None:
        keep(tx, run, manifest, compared=compared, differences=(), seconds=seconds)

    return Outcome(result={"tables": len(found), "row_count": sum(found.values())}, record=confirm)


def refute(
    run: StepRun,
    manifest: Manifest,
    *,
    compared: Mapping[str, Any],
    differences: Sequence[str],
    seconds: float,
) -> None:
    """Keep the differences in a transaction of their own: the step that found them does not end well."""
    with run.fleet.catalog.transaction() as tx:
        told = tx.jobs.step(run.job.id, run.job.next_seq).data.get("refuted")
        if not tx.jobs.record(run.claim, {"refuted": True}):
            raise LeaseLost("superseded")
        keep(tx, run, manifest, compared=compared, differences=differences, seconds=seconds)
        if not told:
            data = {"snapshot_id": manifest.id, "differences": list(differences)}
            tx.outbox.add("verify.refuted", database=run.job.database, job_id=run.job.id, data=data)


def keep(
    tx: Transaction,
    run: StepRun,
    manifest: Manifest,
    *,
    compared: Mapping[str, Any],
    differences: Sequence[str],
    seconds: float,
) -> None:
    tx.snapshots.judge(manifest.id, matched=not differences)
    tx.verifications.record(
        job_id=run.job.id,
        snapshot_id=manifest.id,
        database=run.job.database,
        matched=not differences,
        restore_seconds=restore_seconds(tx, run),
        prove_seconds=seconds,
        raw_bytes=manifest.raw_bytes,
        compared=compared,
        differences=differences,
    )


def restore_seconds(tx: Transaction, run: StepRun) -> float:
    """How long this job took to build the side database up, by the catalog's clock."""
    return sum(
        (step.finished_at - step.started_at).total_seconds()
        for step in tx.jobs.steps(run.job.id)
        if step.name in LOADING and step.state is StepState.DONE and step.started_at and step.finished_at
    )
