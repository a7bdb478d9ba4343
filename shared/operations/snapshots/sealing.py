"""Make a snapshot count: ask storage for every chunk, write the manifest, and only then say so."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from shared import failpoints
from shared.catalog.catalog import Transaction
from shared.domain.cover import Link
from shared.domain.evidence import Evidence
from shared.domain.increments import Increment, Origin
from shared.domain.manifest import (
    FORMAT,
    Chunk,
    Manifest,
    Part,
    Properties,
    SequencePosition,
    Source,
    TableCount,
    parse,
)
from shared.domain.parts import PartSpec
from shared.errors import Damaged, NotFound, Refused
from shared.operations.databases import stored
from shared.operations.jobs.saga import Outcome, StartOver, StepRun
from shared.operations.proofs import verify
from shared.operations.snapshots import suspecting
from shared.operations.snapshots.taking import Taking
from shared.postgres import floors

log = structlog.get_logger(__name__)


MENDED_AT_MOST = 2
"""How often one snapshot copies again what storage has lost of it; a storage that goes on losing is not trusted."""


class ChunksLost(Damaged):
    """Storage does not hold what was put there. It is distrusted by now: a second copy stores it again."""


def seal(run: StepRun) -> Outcome:
    """Make a snapshot job's snapshot count, and ask for what comes after it."""
    taking = Taking.asked_for(run.job)
    try:
        sealed = close(run, taking)
    except ChunksLost as exc:
        mended = int(run.data("seal").get("mended", 0))
        if mended >= MENDED_AT_MOST:
            raise
        log.warning("chunks_lost", error=exc.message)
        run.record(mended=mended + 1)
        # A former run may have written it, and a second copy makes another one.
        take_back(run, taking)
        raise StartOver(taking.step) from exc

    def record(tx: Transaction) -> None:
        sealed.record(tx)
        verify.follow(tx, run, sealed.manifest)

    return Outcome(result=sealed.facts, record=record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """A manifest that is written: `record`, called in the step's last commit, makes it count."""

    manifest: Manifest
    facts: Mapping[str, Any]
    record: Callable[[Transaction], None]


def close(run: StepRun, taking: Taking) -> Sealing:
    """Compare every chunk with what storage says, and write the manifest. The same again if repeated.

    Raises ChunksLost before it has written anything.
    """
    manifest, new_bytes, seconds = assemble(run, taking)
    began = time.monotonic()
    wrong = not_stored(run, manifest)
    if wrong:
        with run.fleet.catalog.transaction() as tx:
            tx.chunks.distrust(run.job.database, wrong)
        sha256, trouble = next(iter(wrong.items()))
        raise ChunksLost(
            f"{len(wrong)} stored objects are not as they were put; chunk {sha256} {trouble}",
            code="chunk_damaged",
            hint="does the storage keep what it is given? another snapshot stores them again",
        )
    failpoints.reach("seal.checked")
    suspicion = suspecting.of(run.fleet, manifest)
    run.check()
    manifest_sha256 = run.fleet.repository.put_manifest(manifest, previous=previous_link(run))
    failpoints.reach("seal.manifest_put")

    def record(tx: Transaction) -> None:
        sealed = tx.snapshots.seal(
            manifest,
            manifest_sha256=manifest_sha256,
            new_bytes=new_bytes,
            duration_seconds=seconds + time.monotonic() - began,
            suspicions=suspicion.sentences,
            kept_for=taking.kept_for,
        )
        if not sealed:
            raise NotFound(f"snapshot {manifest.id} is not being copied", code="snapshot_unknown")
        # The copy's notes are in the manifest now.
        tx.parts.clear(run.job.id)
        suspecting.alert(tx, suspicion, database=run.job.database, job_id=run.job.id)

    facts = {
        "snapshot_id": manifest.id,
        "raw_bytes": manifest.raw_bytes,
        "stored_bytes": manifest.stored_bytes,
        "new_bytes": new_bytes,
        "objects": len(manifest.distinct_chunks) + 1,
        "row_count": manifest.row_count,
        "increment": taken_over(manifest) | {"compared": run.data(taking.step).get("compared", 0)},
        "suspicions": list(suspicion.sentences),
        "warnings": list(
            floors.warnings(
                tool_version=manifest.source.tool_version, server_version=manifest.source.server_version
            )
        ),
    }
    return Sealing(manifest=manifest, facts=facts, record=record)


def not_stored(run: StepRun, manifest: Manifest) -> Mapping[str, str]:
    """What is wrong with which chunk.

    Of those that nobody has read name and size are enough: they were sealed once. What somebody has found damaged since
    they were taken over is read to its last byte.
    """
    read = [chunk for part in manifest.parts if part.origin is not Origin.UNREAD for chunk in part.chunks]
    asked_for = {chunk.sha256: chunk for chunk in (*manifest.archive, *read)}
    wrong: dict[str, str] = {}
    for number, chunk in enumerate(asked_for.values(), start=1):
        run.check()
        trouble = run.fleet.repository.check_chunk(run.job.database, chunk)
        if trouble is not None:
            wrong[chunk.sha256] = trouble
        run.report(checked_objects=number)
    others = [chunk for name, chunk in manifest.distinct_chunks.items() if name not in asked_for]
    with run.fleet.catalog.singly() as tx:
        trusted = tx.chunks.known(run.job.database, [chunk.sha256 for chunk in others])
    doubtful = [chunk for chunk in others if chunk.sha256 not in trusted]
    wrong |= stored.troubles_of(run.fleet, run.job.database, doubtful, deep=True, each=lambda _: run.check())
    run.check()
    lost = run.fleet.repository.lost_on_any_side(run.job.database, others)
    run.report(checked_objects=len(asked_for) + len(others))
    return wrong | {chunk.sha256: "missing, or not whole" for chunk in lost}


def undo(run: StepRun) -> None:
    take_back(run, Taking.asked_for(run.job))


def take_back(run: StepRun, taking: Taking) -> None:
    """A manifest that was written and never counted must not make a failed snapshot look real.

    A worker whose key may not delete leaves that to retention, which looks for such manifests.
    """
    try:
        run.fleet.repository.delete_manifest(run.job.database, taking.snapshot_id)
    except Refused as exc:
        if exc.code != "access_denied":
            raise
        log.info("manifest_left_to_retention", snapshot=taking.snapshot_id)
    failpoints.reach("seal.manifest_taken_back")


def assemble(run: StepRun, taking: Taking) -> tuple[Manifest, int, float]:
    """The manifest from what the copy and its parts recorded; bytes that were new; seconds of the copy."""
    noted = run.data(taking.step)
    refuse_other_keys(run, noted.get("keys", []))
    results = handed_in(run)
    parts = copied_parts(results)
    manifest = Manifest(
        format=FORMAT,
        id=taking.snapshot_id,
        database=run.job.database,
        taken_at=datetime.fromisoformat(noted["taken_at"]),
        source=parse(noted["source"], Source),
        properties=parse(noted["properties"], Properties),
        roles=tuple(noted["roles"]),
        extensions=tuple(noted["extensions"]),
        archive=parse(noted["archive"], tuple[Chunk, ...]),
        parts=parts,
        tables=all_counts(parse(noted["counts"], tuple[TableCount, ...]), parts),
        sequences=parse(noted["sequences"], tuple[SequencePosition, ...]),
        evidence=parse(noted["evidence"], Evidence) if "evidence" in noted else None,
        increment=parse(noted["increment"], Increment) if "increment" in noted else None,
    )
    new_bytes = noted["archive_new_bytes"] + sum(result["new_bytes"] for _, result in results)
    return manifest, new_bytes, noted["seconds"]


def taken_over(manifest: Manifest) -> dict[str, int]:
    """How many parts came into the snapshot in which way."""
    return {str(origin): sum(part.origin is origin for part in manifest.parts) for origin in Origin}


Results = Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]


def handed_in(run: StepRun) -> Results:
    """(spec, result) of every part of the job, by number."""
    with run.fleet.catalog.transaction() as tx:
        return tx.parts.results(run.job.id)


def copied_parts(results: Results) -> tuple[Part, ...]:
    return tuple(
        Part(
            spec=parse(spec, PartSpec),
            row_count=result["row_count"],
            chunks=parse(result["chunks"], tuple[Chunk, ...]),
            digest=result.get("digest"),
            origin=Origin(result.get("origin", Origin.NEW if result["new_bytes"] else Origin.KNOWN)),
        )
        for spec, result in results
    )


def refuse_other_keys(run: StepRun, copied_for: Sequence[str]) -> None:
    """Whoever opens the manifest must open every chunk."""
    ours = list(run.fleet.repository.encryption.keys)
    if copied_for != ours:
        raise Refused(
            f"it was copied by a worker that encrypts for {' and '.join(copied_for) or 'nobody'}, and this one"
            f" encrypts for {' and '.join(ours) or 'nobody'}",
            code="keys_changed",
            hint="give all workers that take snapshots the same encryption.recipients, and take it again",
        )


def previous_link(run: StepRun) -> Link | None:
    """What the manifest that is about to be written comes after; the same when this is asked again after a crash."""
    with run.fleet.catalog.singly() as tx:
        noted = tx.jobs.step(run.job.id, run.job.next_seq).data
        newest = tx.snapshots.newest_sealed(run.job.database)
    if "previous" not in noted:
        found = None
        if newest is not None and newest.manifest_sha256 is not None:
            found = {"id": newest.id, "sha256": newest.manifest_sha256}
        run.record(previous=found)
        noted = {"previous": found}
    link = noted["previous"]
    return None if link is None else Link(id=link["id"], sha256=link["sha256"])


def all_counts(counted: Sequence[TableCount], parts: Sequence[Part]) -> tuple[TableCount, ...]:
    """Rows of every table: those counted, and those that the parts added up to."""
    digests = {(c.schema, c.name): c.digest for c in counted}
    totals = {(c.schema, c.name): c.row_count for c in counted}
    for part in parts:
        key = part.spec.key
        totals[key] = totals.get(key, 0) + part.row_count
    return tuple(
        TableCount(schema=schema, name=name, row_count=rows, digest=digests.get((schema, name)))
        for (schema, name), rows in sorted(totals.items())
    )
