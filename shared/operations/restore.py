"""Bring a snapshot back: always into a side database, and only at the end by one atomic swap.

    plan ─► create ─► load ─► build ─► prove ─► swap ─► settle
            side db   parts   indexes  counts   names   undo window opens

Until `swap` the live database is only looked at. Undoing `create` drops what is ours; undoing `swap`
gives the name back. With a target of its own (`to`), the name is new and nothing is parked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any

import structlog

from shared.catalog.catalog import Transaction
from shared.domain.job import JobKind
from shared.domain.manifest import Manifest, Part, parse, plain
from shared.errors import Damaged, NotFound
from shared.operations import hands, preflight, proof, source
from shared.operations.archive import spooled
from shared.operations.fleet import Fleet
from shared.operations.hands import PartRun
from shared.operations.saga import Outcome, StartOver, StepActions, StepRun
from shared.postgres import databases, dump, inspection, loading
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected
from shared.postgres.tools import Tools

log = structlog.get_logger(__name__)


def manifest_of(fleet: Fleet, snapshot_id: str) -> Manifest:
    """A sealed snapshot's manifest, exactly as it was sealed."""
    with fleet.catalog.transaction() as tx:
        snapshot = tx.snapshots.get(snapshot_id)
    if snapshot is None or snapshot.manifest_sha256 is None:
        raise NotFound(f"snapshot {snapshot_id} was never sealed", code="snapshot_unknown")
    return fleet.repository.get_manifest(snapshot.database, snapshot_id, sha256=snapshot.manifest_sha256)


def plan(run: StepRun) -> Outcome:
    """Look before anything is touched: the snapshot is held and readable, the target can take it."""
    request = run.job.request
    with run.fleet.catalog.transaction() as tx:
        if not tx.snapshots.hold(request["snapshot_id"], job_id=run.job.id):
            raise NotFound(
                f"snapshot {request['snapshot_id']} is gone, or was never sealed",
                code="snapshot_unknown",
                hint="`snapfleet snapshot list` shows what there is",
            )
    manifest = manifest_of(run.fleet, request["snapshot_id"])
    dsn = run.fleet.dsn(run.job.database)
    target = dsn.for_database(request["to"] or dsn.dbname).dbname
    with source.maintenance(dsn, run.name) as session:
        source.choose_tools(run.fleet, dsn, session)
        source.refuse_catalog_target(run.fleet, session, target)
        preflight.refuse_superuser(run.fleet, session, as_superuser=request["as_superuser"])
        preflight.refuse_older(session, manifest)
        preflight.refuse_missing_roles(session, manifest)
        if request["to"] is not None:
            preflight.refuse_target(session, target)
        preflight.refuse_without_rights(session, target)
    return Outcome(result={"snapshot_id": manifest.id, "target": target})


def create(run: StepRun) -> Outcome:
    """A new side database with the archive's share in it: schema, small tables, large objects.

    A second run starts over in a database of its own epoch, and drops what the first one left.
    """
    manifest = manifest_of(run.fleet, run.job.request["snapshot_id"])
    dsn = run.fleet.dsn(run.job.database)
    side = databases.side_name(run.job.id, run.job.epoch)
    run.record(side=side)
    with source.taken_over(dsn, run.name) as session:
        for leftover in databases.side_databases(session, run.job.id):
            run.check()
            databases.drop(session, leftover)
        tools = source.choose_tools(run.fleet, dsn, session)
        run.check()
        databases.create(session, side, like=manifest.source, owner=manifest.properties.owner)
        databases.rehearse(session, side, manifest.properties)
    side_dsn = dsn.for_database(side)
    with connected(side_dsn, application_name=run.name) as session:
        loading.prepare(session)
    with spooled(run, manifest) as archive:
        restore_section(run, tools, side_dsn, archive, "pre-data")
        restore_section(run, tools, side_dsn, archive, "data")
    with run.fleet.catalog.transaction() as tx:
        parts = [
            (part.spec.number, plain(part, Part), sum(c.raw_bytes for c in part.chunks))
            for part in manifest.parts
        ]
        tx.parts.plan(run.job.id, epoch=run.job.epoch, parts=parts)
    return Outcome()


def restore_section(
    run: StepRun, tools: Tools, dsn: Dsn, archive: IO[bytes], section: Any, *, jobs: int = 1
) -> None:
    run.report(section=section)
    dump.restore(
        tools,
        dsn,
        archive_fd=archive.fileno(),
        section=section,
        jobs=jobs,
        application_name=run.name,
        while_running=run.check,
    )


def side_dsn(run: StepRun) -> Dsn:
    return run.fleet.dsn(run.job.database).for_database(str(run.data("create")["side"]))


def load(run: StepRun) -> Outcome:
    """Every part, once each, by lead and hands. Goes on from where a dead lead stopped."""
    with run.fleet.catalog.transaction() as tx:
        tx.parts.adopt(run.job.id, epoch=run.job.epoch)
    hands.call_hands(run)
    with connected(side_dsn(run), application_name=run.name) as session:
        hands.lead(run, load_work(run.fleet, run.job.database, session))
    return Outcome()


def load_work(fleet: Fleet, database: str, session: Session) -> hands.Work:
    def work(part: PartRun) -> Mapping[str, Any]:
        spec = parse(part.taken.spec, Part)

        def pieces() -> Iterator[bytes]:
            for chunk in spec.chunks:
                part.check()
                for piece in fleet.repository.read_chunk(database, chunk):
                    yield piece
                    part.meter.done_bytes += len(piece)

        part.check()
        loaded = loading.load(session, spec, pieces())
        part.meter.done_bytes = sum(chunk.raw_bytes for chunk in spec.chunks)
        return {"loaded": loaded}

    return work


def help_load(fleet: Fleet, job_id: str, *, epoch: int) -> int:
    """A hand of a load: load parts while there are any; how many. Nothing, once the lead has moved on."""
    with fleet.catalog.transaction() as tx:
        job = tx.jobs.get(job_id)
        steps = {s.name: s for s in tx.jobs.steps(job_id)}
    if job is None or job.epoch != epoch or job.step != "load":
        return 0
    dsn = fleet.dsn(job.database).for_database(str(steps["create"].data["side"]))
    with connected(dsn, application_name=f"snapfleet:{job_id[:13]}:{epoch}") as session:
        return hands.help_out(fleet, job_id, epoch, load_work(fleet, job.database, session))


def build(run: StepRun) -> Outcome:
    """Indexes, constraints, triggers, statistics. A half-built one is not mended but made anew."""
    if run.resumed:
        raise StartOver("create")
    manifest = manifest_of(run.fleet, run.job.request["snapshot_id"])
    dsn = side_dsn(run)
    with connected(dsn, application_name=run.name) as session:
        loading.finish(session)
        tools = source.choose_tools(run.fleet, dsn, session)
    with spooled(run, manifest) as archive:
        restore_section(run, tools, dsn, archive, "post-data", jobs=run.database.parallelism)
    with connected(dsn, application_name=run.name) as session:
        run.check()
        run.report(section="analyze")
        session.execute("analyze")
    return Outcome()


def prove(run: StepRun) -> Outcome:
    """Compare the side database with what was recorded inside the snapshot's own transaction."""
    manifest = manifest_of(run.fleet, run.job.request["snapshot_id"])
    with connected(side_dsn(run), application_name=run.name) as session:
        found, differences = proof.compare(session, manifest)
    if differences:
        raise Damaged(
            f"what was restored is not the snapshot: {differences[0]}"
            + (f", and {len(differences) - 1} more differences" if len(differences) > 1 else ""),
            code="not_proven",
            hint="the live database was not touched; restore another snapshot",
        )
    return Outcome(result={"tables": len(found), "row_count": sum(found.values())})


def swap(run: StepRun) -> Outcome:
    """Give the live name to the side database, in one transaction with everything that goes with it."""
    manifest = manifest_of(run.fleet, run.job.request["snapshot_id"])
    dsn = run.fleet.dsn(run.job.database)
    target = str(run.job.request["to"] or dsn.dbname)
    parked = databases.parked_name(run.job.id)
    with source.taken_over(dsn, run.name) as session:
        noted = run.data("swap")
        if "incoming_oid" not in noted:
            incoming = databases.oid_of(session, str(run.data("create")["side"]))
            live = databases.oid_of(session, target)
            if run.job.request["to"] is not None:
                preflight.refuse_target(session, target)
            run.record(incoming_oid=incoming, live_oid=live)
            noted = {"incoming_oid": incoming, "live_oid": live}
        if noted["incoming_oid"] is None:
            raise NotFound("the side database is gone", code="database_missing")
        databases.exchange(
            session,
            live_name=target,
            incoming_oid=noted["incoming_oid"],
            parked_name=parked,
            properties=manifest.properties,
            check=run.check,
        )

    def record(tx: Transaction) -> None:
        if noted["live_oid"] is not None:
            tx.parked.park(
                job_id=run.job.id,
                database=run.job.database,
                parked_name=parked,
                live_name=target,
                parked_oid=noted["live_oid"],
                window=run.database.undo_window,
            )

    return Outcome(result={"parked": parked if noted["live_oid"] is not None else None}, record=record)


def undo_swap(run: StepRun) -> None:
    """Give the name back to the database that had it."""
    noted = run.data("swap")
    if "incoming_oid" not in noted:
        return
    dsn = run.fleet.dsn(run.job.database)
    target = str(run.job.request["to"] or dsn.dbname)
    with source.taken_over(dsn, run.name) as session:
        if noted["live_oid"] is None:
            if databases.oid_of(session, target) == noted["incoming_oid"]:
                side = str(run.data("create")["side"])
                databases.cut(session, target)
                databases.rename(session, target, side)
            return
        databases.exchange(
            session,
            live_name=target,
            incoming_oid=noted["live_oid"],
            parked_name=str(run.data("create")["side"]),
            properties=None,
            check=run.check,
        )
    with run.fleet.catalog.transaction() as tx:
        tx.parked.dropped(run.job.id)


def settle(run: StepRun) -> Outcome:
    """Log in to the restored database by its name, once, as an application would."""
    dsn = run.fleet.dsn(run.job.database)
    target = str(run.job.request["to"] or dsn.dbname)
    with connected(dsn.for_database(target), application_name=run.name) as session:
        oid = inspection.identity(session).oid
    if oid != run.data("swap")["incoming_oid"]:
        raise Damaged(f"{target!r} is not the database that was swapped in", code="not_settled")
    return Outcome(record=lambda tx: tx.parts.clear(run.job.id))


def undo_create(run: StepRun) -> None:
    """Drop every side database of this job."""
    dsn = run.fleet.dsn(run.job.database)
    with source.taken_over(dsn, run.name) as session:
        for side in databases.side_databases(session, run.job.id):
            run.check()
            databases.drop(session, side)
    with run.fleet.catalog.transaction() as tx:
        tx.parts.clear(run.job.id)


STEPS = {
    (JobKind.RESTORE, "plan"): StepActions(do=plan),
    (JobKind.RESTORE, "create"): StepActions(do=create, undo=undo_create),
    (JobKind.RESTORE, "load"): StepActions(do=load),
    (JobKind.RESTORE, "build"): StepActions(do=build),
    (JobKind.RESTORE, "prove"): StepActions(do=prove),
    (JobKind.RESTORE, "swap"): StepActions(do=swap, undo=undo_swap),
    (JobKind.RESTORE, "settle"): StepActions(do=settle),
}
