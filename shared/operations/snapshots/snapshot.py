"""Take a snapshot: `copy` here (archive and parts, one moment), `seal` in `sealing`.

The lead holds one exported snapshot open until the last part is stored. If the lead dies, that moment is
gone with it: whoever resumes plans anew, under a new epoch, in a new moment. What was stored until then
is found by its hash and not stored again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from shared import failpoints
from shared.domain import parts as partition
from shared.domain.evidence import METHOD, Evidence
from shared.domain.increments import Increment
from shared.domain.job import Job, JobKind
from shared.domain.manifest import (
    Chunk,
    Properties,
    SequencePosition,
    Source,
    TableCount,
    parse,
    plain,
)
from shared.domain.parts import PartSpec, Table
from shared.domain.proof import Digests
from shared.domain.snapshot import Reason
from shared.errors import Refused, SnapfleetError, Transient
from shared.operations.databases import source
from shared.operations.fleet import Fleet
from shared.operations.jobs import blocking, hands
from shared.operations.jobs.hands import PartRun
from shared.operations.jobs.saga import Outcome, StepActions, StepRun
from shared.operations.snapshots import increments, sealing
from shared.operations.snapshots.chunking import ARCHIVE_HEAD_BYTES, ChunkStore, ChunkWriter
from shared.operations.snapshots.taking import Taking
from shared.postgres import backends, copying, digests, dump, evidence, inspection
from shared.postgres.copying import Reader
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected, consistent
from shared.postgres.tools import Tools

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One exported snapshot of the source, held open, and what is true in it."""

    session: Session
    dsn: Dsn
    tools: Tools
    exported: str
    taken_at: datetime
    tables: tuple[Table, ...]
    start: increments.Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    chunks: tuple[Chunk, ...]
    new_bytes: int


def copy(run: StepRun) -> Outcome:
    with run.fleet.catalog.singly() as tx:
        blocking.refuse_blocked(tx, run.job.database)
    take(run, Taking.asked_for(run.job))
    return Outcome()


def take(run: StepRun, taking: Taking) -> None:
    """Read the whole database at one moment and store it; nobody sees it before it is sealed."""
    began = time.monotonic()
    run.fleet.repository.signing.refuse_unable("a snapshot")
    with held_moment(run) as moment:
        facts = describe(moment, run.database.digests)
        expressions = digests.expressions(moment.session, method=METHOD)
        specs = partition.split(moment.tables, part_bytes=run.database.part_bytes)
        plan = increments.plan(
            run,
            moment.start,
            dsn=moment.dsn,
            session=moment.session,
            tables=moment.tables,
            specs=specs,
            digestible=expressions,
            # What a safeguard precedes is not to fail because of what earlier snapshots hold.
            may_compare=taking.reason is not Reason.SAFEGUARD,
        )
        share_out(run, taking, moment, specs, expressions, plan=plan)
        split = sorted({spec.key for spec in specs})
        archive = copy_archive(run, moment, without_data_of=split)
        failpoints.reach("copy.archive_stored")
        unsplit = [t for t in moment.tables if not partition.is_split(t)]
        choice = run.database.digests
        wanted = {key: expressions[key] for key in partition.digested(unsplit, choice) if key in expressions}
        counts = digests.count(moment.session, unsplit, wanted)
        # Most databases are small: a session that nothing is read in costs more than their rows.
        if len(specs) > len(plan.taken_over):
            reading = copying.reading(moment.dsn, snapshot=moment.exported, application_name=run.name)
            with reading as reader:
                hands.lead(run, copy_work(run.fleet, run.job.database, reader))
        if plan.compared:
            increments.compare(run, plan, sealing.copied_parts(sealing.handed_in(run)))
    run.record(
        **facts,
        archive=[plain(chunk, Chunk) for chunk in archive.chunks],
        archive_new_bytes=archive.new_bytes,
        counts=[plain(count, TableCount) for count in counts],
        increment=plain(plan.increment, Increment),
        compared=len(plan.compared),
        seconds=time.monotonic() - began,
    )


@contextmanager
def held_moment(run: StepRun) -> Generator[Moment]:
    """Export a snapshot and hold it open. Until this ends every reader of it sees the same rows."""
    dsn = run.fleet.dsn(run.job.database)
    with connected(dsn, application_name=run.name) as session:
        backends.end_superseded(session, run.name)
        source.refuse_catalog(run.fleet, session)
        tools = source.choose_dumper(run.fleet, dsn, session)
        start = increments.begin(run, session)
        with consistent(session):
            tables = readable_tables(session, lock_wait=run.fleet.lock_wait)
            exported, taken_at = export(session)
            failpoints.reach("copy.exported")
            yield Moment(
                session=session,
                dsn=dsn,
                tools=tools,
                exported=exported,
                taken_at=taken_at,
                tables=tables,
                start=start,
            )


def describe(moment: Moment, choice: Digests) -> dict[str, Any]:
    """What the manifest will say of the source. Before the archive is read: sequences only move on."""
    session = moment.session
    version = moment.tools.version
    return {
        "taken_at": moment.taken_at.isoformat(),
        "source": plain(inspection.source(session, tool_version=version), Source),
        "properties": plain(inspection.properties(session, moment.dsn.dbname), Properties),
        "roles": list(inspection.roles(session)),
        "extensions": list(inspection.extensions(session)),
        "sequences": [plain(s.position, SequencePosition) for s in inspection.sequences(session)],
        "evidence": plain(evidence.read(session, large_objects=evidence.chosen(session, choice)), Evidence),
    }


def share_out(
    run: StepRun,
    taking: Taking,
    moment: Moment,
    specs: Sequence[PartSpec],
    expressions: digests.Expressions,
    *,
    plan: increments.Plan,
) -> None:
    """Write the parts down, say in which snapshot they are to be read, and call hands."""
    with run.fenced() as tx:
        if tx.snapshots.get(taking.snapshot_id) is None:
            tx.snapshots.begin(
                taking.snapshot_id,
                database=run.job.database,
                job_id=run.job.id,
                reason=taking.reason,
                labels=taking.labels,
            )
        sample = partition.sample(specs, moment.tables, run.database.digests, seed=taking.snapshot_id)
        parts = [
            (number, {**spec, **digest_of(spec, sample, expressions)}, expected)
            for number, spec, expected in planned(specs, moment.tables)
        ]
        tx.parts.plan(run.job.id, epoch=run.job.epoch, parts=parts, done=plan.results)
        # A new epoch's lead overwrites it with its own: a late hand sees that its lead is gone.
        keys = list(run.fleet.repository.encryption.keys)
        tx.jobs.record(run.claim, {"snapshot": moment.exported, "epoch": run.job.epoch, "keys": keys})
    failpoints.reach("copy.shared_out")
    if len(specs) > len(plan.taken_over):
        hands.call_hands(run)


def copy_archive(run: StepRun, moment: Moment, *, without_data_of: Sequence[tuple[str, str]]) -> Archive:
    """Store what pg_dump writes: the schema, and all data but that of the split tables."""
    level = run.database.compression_level
    store = ChunkStore(run.fleet, database=run.job.database, level=level, check=run.check)
    writer = ChunkWriter(store.store, first_bytes=ARCHIVE_HEAD_BYTES)
    with dump.dump(
        moment.tools,
        moment.dsn,
        snapshot=moment.exported,
        without_data_of=without_data_of,
        application_name=run.name,
        encoding=inspection.encoding(moment.session),
        lock_wait=run.fleet.lock_wait,
        while_running=run.check,
    ) as pieces:
        for piece in pieces:
            writer.write(piece)
            failpoints.reach("copy.archive_read")
            run.report(archive_bytes=writer.taken_bytes)
    # Only after the tool has ended well: what it wrote until then may be half an archive.
    chunks = writer.close()
    return Archive(chunks=chunks, new_bytes=store.new_bytes)


def readable_tables(session: Session, *, lock_wait: timedelta) -> tuple[Table, ...]:
    """All tables, locked against DDL. Refused, naming it, where one cannot be read in full."""
    # First of all: to ask for a table's size takes a lock too.
    inspection.limit_lock_wait(session, lock_wait)
    found = inspection.tables(session)
    inspection.lock(session, found)
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
        table = by_name[spec.key]
        end = spec.end_page if spec.end_page is not None else table.heap_pages
        share = (end - spec.first_page) / max(1, table.heap_pages)
        return int((table.heap_bytes + table.toast_bytes) * share)

    return [(spec.number, plain(spec, PartSpec), expected(spec)) for spec in specs]


def digest_of(
    spec: Mapping[str, Any], sample: Collection[int], expressions: digests.Expressions
) -> Mapping[str, Any]:
    """For whoever copies the part: how to digest its rows, where they are to be."""
    expression = expressions.get((spec["schema"], spec["table"]))
    return {"digest": expression} if expression and spec["number"] in sample else {}


def copy_work(fleet: Fleet, database: str, reader: Reader) -> hands.Work:
    """One part: read, cut, store. Its result is what the manifest will say of it."""

    def work(part: PartRun) -> Mapping[str, Any]:
        store = ChunkStore(
            fleet,
            database=database,
            level=fleet.database(database).compression_level,
            check=part.check,
        )
        with store.ahead() as put_ahead:
            writer = ChunkWriter(put_ahead)

            def write(data: bytes) -> None:
                failpoints.reach("copy.part_reading")
                writer.write(data)
                part.meter.done_bytes = writer.taken_bytes

            spec = parse(part.taken.spec, PartSpec)
            rows = reader.copy(spec, write)
            chunks = [plain(chunk, Chunk) for chunk in writer.close()]
            expression = part.taken.spec.get("digest")
            part.check()
            # Right after its copy: these pages are in the server's memory now.
            digest = reader.digest(spec, expression) if expression else None
        return {"row_count": rows, "new_bytes": store.new_bytes, "chunks": chunks, "digest": digest}

    return work


def help_copy(fleet: Fleet, job: Job) -> int:
    """A hand of a copy: read parts in the lead's snapshot while there are any; how many.

    Nothing when the lead is gone or has moved on: then the parts are not ours to read. Nothing with other keys
    than the lead's: whoever opens the snapshot must open all of it.
    """
    with fleet.catalog.transaction() as tx:
        step = tx.jobs.step(job.id, job.next_seq)
    if step.data.get("epoch") != job.epoch:
        return 0
    if step.data.get("keys", []) != list(fleet.repository.encryption.keys):
        log.warning("hand_has_other_keys", job=job.id)
        return 0
    dsn = fleet.dsn(job.database)
    name = f"snapfleet:{job.id[:13]}:{job.epoch}"
    exported = str(step.data["snapshot"])
    with copying.reading(dsn, snapshot=exported, application_name=name) as reader:
        return hands.help_out(fleet, job, copy_work(fleet, job.database, reader))


def undo_copy(run: StepRun) -> None:
    give_up(run, Taking.asked_for(run.job))


def give_up(run: StepRun, taking: Taking) -> None:
    """What was stored stays until retention finds it unused; the snapshot will not be."""
    with run.fenced() as tx:
        tx.snapshots.fail(taking.snapshot_id, error=run.job.error)
        tx.parts.clear(run.job.id)
    # A lead that was paused holds its moment open. Where the source is what failed there is none to end.
    with (
        suppress(SnapfleetError),
        connected(run.fleet.dsn(run.job.database), application_name=run.name) as session,
    ):
        backends.end_superseded(session, run.name)


STEPS = {
    (JobKind.SNAPSHOT, "copy"): StepActions(do=copy, undo=undo_copy),
    (JobKind.SNAPSHOT, "seal"): StepActions(do=sealing.seal, undo=sealing.undo),
}
