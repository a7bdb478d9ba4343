"""Take a snapshot: `copy` (archive and parts, one moment) and `seal` (read back, manifest).

The lead holds one exported snapshot open until the last part is stored. If the lead dies, that moment is
gone with it: whoever resumes plans anew, under a new epoch, in a new moment. What was stored until then
is found by its hash and not stored again.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import structlog

from shared.catalog.catalog import Transaction
from shared.domain import parts as partition
from shared.domain.job import JobKind, NewJob
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
    plain,
)
from shared.domain.parts import PartSpec, Table
from shared.domain.snapshot import Reason
from shared.errors import Damaged, NotFound, Refused, Transient
from shared.operations import hands, source
from shared.operations.chunking import ARCHIVE_HEAD_BYTES, ChunkStore, ChunkWriter
from shared.operations.fleet import Fleet
from shared.operations.hands import PartRun
from shared.operations.saga import Outcome, StepActions, StepRun
from shared.postgres import copying, dump, inspection
from shared.postgres.copying import Reader
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected, consistent

log = structlog.get_logger(__name__)

LOCK_TIMEOUT_MS = 30_000


def copy(run: StepRun) -> Outcome:
    """Read the whole database at one moment and store it; nobody sees it before `seal`."""
    began = time.monotonic()
    fleet, dsn = run.fleet, run.fleet.dsn(run.job.database)
    request = run.job.request
    with connected(dsn, application_name=run.name) as session:
        source.refuse_catalog(fleet, session)
        tools = source.choose_tools(fleet, dsn, session)
        with consistent(session):
            tables = readable_tables(session)
            exported, taken_at = export(session)
            facts = {
                "source": plain(inspection.source(session, tool_version=tools.version), Source),
                "properties": plain(inspection.properties(session, dsn.dbname), Properties),
                "roles": list(inspection.roles(session)),
                "extensions": list(inspection.extensions(session)),
                "sequences": [plain(s.position, SequencePosition) for s in inspection.sequences(session)],
            }
            specs = partition.split(tables, part_bytes=run.database.part_bytes)
            with fleet.catalog.transaction() as tx:
                if tx.snapshots.get(request["snapshot_id"]) is None:
                    tx.snapshots.begin(
                        request["snapshot_id"],
                        database=run.job.database,
                        job_id=run.job.id,
                        reason=Reason(request["reason"]),
                        labels=request["labels"],
                    )
                tx.parts.plan(run.job.id, epoch=run.job.epoch, parts=planned(specs, tables))
            # Hands find the snapshot here; a new epoch's lead overwrites it with its own.
            run.record(snapshot=exported, epoch=run.job.epoch)
            hands.call_hands(run)
            split = sorted({(s.schema, s.table) for s in specs})
            store = chunk_store(run)
            writer = ChunkWriter(store.store, first_bytes=ARCHIVE_HEAD_BYTES)
            with dump.dump(
                tools,
                dsn,
                snapshot=exported,
                without_data_of=split,
                application_name=run.name,
                while_running=run.check,
            ) as pieces:
                for piece in pieces:
                    writer.write(piece)
                    run.report(archive_bytes=writer.taken_bytes)
            archive = writer.close()
            counts = inspection.row_counts(
                session, [(t.schema, t.name) for t in tables if (t.schema, t.name) not in set(split)]
            )
            with copying.reading(dsn, snapshot=exported, application_name=run.name) as reader:
                hands.lead(run, copy_work(fleet, run.job.database, reader))
    record = facts | {
        "taken_at": taken_at.isoformat(),
        "archive": [plain(chunk, Chunk) for chunk in archive],
        "archive_new_bytes": store.new_bytes,
        "counts": [plain(count, TableCount) for count in counts],
        "seconds": time.monotonic() - began,
    }
    run.record(**record)
    return Outcome()


def readable_tables(session: Session) -> tuple[Table, ...]:
    """All tables, locked against DDL. Refused, naming it, where one cannot be read in full."""
    found = inspection.tables(session)
    inspection.lock(session, found, timeout_ms=LOCK_TIMEOUT_MS)
    hidden = inspection.hidden_by_row_security(session)
    if hidden:
        raise Refused(
            f"row-level security hides rows of {', '.join(hidden)} from this role",
            code="insufficient_rights",
            hint="give the role BYPASSRLS, or make it the owner of these tables",
        )
    return found


def export(session: Session) -> tuple[str, datetime]:
    row = session.execute(
        "select pg_catalog.pg_export_snapshot() as snapshot, pg_catalog.now() as taken_at"
    ).fetchone()
    if row is None:
        raise Transient("the server exported no snapshot", code="snapshot_gone")
    return row["snapshot"], row["taken_at"].astimezone(UTC)


def planned(specs: Sequence[PartSpec], tables: Sequence[Table]) -> list[tuple[int, Mapping[str, Any], int]]:
    """Part rows, each with the bytes that reading it is expected to take."""
    by_name = {(t.schema, t.name): t for t in tables}

    def expected(spec: PartSpec) -> int:
        table = by_name[spec.schema, spec.table]
        end = spec.end_page if spec.end_page is not None else table.heap_pages
        share = (end - spec.first_page) / max(1, table.heap_pages)
        return int((table.heap_bytes + table.toast_bytes) * share)

    return [(spec.number, plain(spec, PartSpec), expected(spec)) for spec in specs]


def chunk_store(run: StepRun) -> ChunkStore:
    level = run.database.compression_level
    return ChunkStore(run.fleet, database=run.job.database, level=level, check=run.check)


def copy_work(fleet: Fleet, database: str, reader: Reader) -> hands.Work:
    """One part: read, cut, store. Its result is what the manifest will say of it."""

    def work(part: PartRun) -> Mapping[str, Any]:
        store = ChunkStore(
            fleet,
            database=database,
            level=fleet.database(database).compression_level,
            check=part.check,
        )
        writer = ChunkWriter(store.store)

        def write(data: bytes) -> None:
            writer.write(data)
            part.meter.done_bytes = writer.taken_bytes

        rows = reader.copy(parse(part.taken.spec, PartSpec), write)
        chunks = [plain(chunk, Chunk) for chunk in writer.close()]
        return {"row_count": rows, "new_bytes": store.new_bytes, "chunks": chunks}

    return work


def help_copy(fleet: Fleet, job_id: str, *, epoch: int) -> int:
    """A hand of a copy: read parts in the lead's snapshot while there are any; how many.

    Quietly does nothing when the lead is gone or has moved on: then the parts are not ours to read.
    """
    with fleet.catalog.transaction() as tx:
        job = tx.jobs.get(job_id)
        step = tx.jobs.step(job_id, 1) if job else None
    if job is None or step is None or job.epoch != epoch or step.data.get("epoch") != epoch:
        return 0
    with hand_reader(fleet.dsn(job.database), str(step.data["snapshot"]), job_id, epoch) as reader:
        return hands.help_out(fleet, job_id, epoch, copy_work(fleet, job.database, reader))


@contextmanager
def hand_reader(dsn: Dsn, snapshot: str, job_id: str, epoch: int) -> Generator[Reader]:
    name = f"snapfleet:{job_id[:13]}:{epoch}"
    with copying.reading(dsn, snapshot=snapshot, application_name=name) as reader:
        yield reader


def undo_copy(run: StepRun) -> None:
    """What was stored stays until retention finds it unused; the snapshot will not be."""
    with run.fleet.catalog.transaction() as tx:
        tx.snapshots.fail(run.job.request["snapshot_id"], error=run.job.error)
        tx.parts.clear(run.job.id)


def seal(run: StepRun) -> Outcome:
    """Compare every chunk with what storage says, write the manifest, and only then let it count."""
    manifest, new_bytes, seconds = assemble(run)
    began = time.monotonic()
    wrong: dict[str, str] = {}
    for number, chunk in enumerate(manifest.distinct_chunks.values(), start=1):
        run.check()
        trouble = run.fleet.repository.check_chunk(run.job.database, chunk)
        if trouble is not None:
            wrong[chunk.sha256] = trouble
        run.report(checked_objects=number)
    if wrong:
        with run.fleet.catalog.transaction() as tx:
            tx.chunks.distrust(run.job.database, wrong)
        sha256, trouble = next(iter(wrong.items()))
        raise Damaged(
            f"{len(wrong)} stored objects are not as they were put; chunk {sha256} {trouble}",
            code="chunk_damaged",
            hint="take another snapshot: it stores them again",
        )
    run.check()
    manifest_sha256 = run.fleet.repository.put_manifest(manifest)

    def record(tx: Transaction) -> None:
        sealed = tx.snapshots.seal(
            manifest,
            manifest_sha256=manifest_sha256,
            new_bytes=new_bytes,
            duration_seconds=seconds + time.monotonic() - began,
        )
        if not sealed:
            raise NotFound(f"snapshot {manifest.id} is not being copied", code="snapshot_unknown")
        tx.parts.clear(run.job.id)
        # The copy's notes are in the manifest now; a job of its own tidies up, so that a repository which
        # lets nothing be deleted never makes a good snapshot look failed.
        tx.jobs.submit(
            NewJob(
                id=run.job.request["prune_job_id"],
                kind=JobKind.PRUNE,
                database=run.job.database,
                request={"after": manifest.id},
                idempotency_key=f"prune:{manifest.id}",
            )
        )

    result = {
        "snapshot_id": manifest.id,
        "raw_bytes": manifest.raw_bytes,
        "stored_bytes": manifest.stored_bytes,
        "new_bytes": new_bytes,
        "objects": len(manifest.distinct_chunks) + 1,
        "row_count": manifest.row_count,
    }
    return Outcome(result=result, record=record)


def undo_seal(run: StepRun) -> None:
    """A manifest that was written and never counted must not make a failed snapshot look real."""
    run.fleet.repository.delete_manifest(run.job.database, run.job.request["snapshot_id"])


def assemble(run: StepRun) -> tuple[Manifest, int, float]:
    """The manifest from what `copy` and its parts recorded; bytes that were new; seconds of the copy."""
    noted = run.data("copy")
    with run.fleet.catalog.transaction() as tx:
        results = tx.parts.results(run.job.id)
    parts = tuple(
        Part(
            spec=parse(spec, PartSpec),
            row_count=result["row_count"],
            chunks=parse(result["chunks"], tuple[Chunk, ...]),
        )
        for spec, result in results
    )
    manifest = Manifest(
        format=FORMAT,
        id=run.job.request["snapshot_id"],
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
    )
    new_bytes = noted["archive_new_bytes"] + sum(result["new_bytes"] for _, result in results)
    return manifest, new_bytes, noted["seconds"]


def all_counts(counted: Sequence[TableCount], parts: Sequence[Part]) -> tuple[TableCount, ...]:
    """Rows of every table: those counted, and those that the parts added up to."""
    totals = {(c.schema, c.name): c.row_count for c in counted}
    for part in parts:
        key = (part.spec.schema, part.spec.table)
        totals[key] = totals.get(key, 0) + part.row_count
    return tuple(
        TableCount(schema=schema, name=name, row_count=rows)
        for (schema, name), rows in sorted(totals.items())
    )


STEPS = {
    (JobKind.SNAPSHOT, "copy"): StepActions(do=copy, undo=undo_copy),
    (JobKind.SNAPSHOT, "seal"): StepActions(do=seal, undo=undo_seal),
}
