"""Bring single tables back: into a side database first, then beside the live ones, under new names.

    plan ─► create ─► load ─► build ─► prove ─► move ─► compare ─► drop
            schema    parts   indexes  counts   new     with the   side db
            side db   wanted only               names   live ones  gone

Nothing that is live is changed. `move` is one transaction in the live database, and what it makes carries
the job's id in its comment, so that a second run and an undo know it; undoing it drops that and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from operator import attrgetter
from typing import IO, Any

from shared import failpoints
from shared.domain.job import Job, JobKind
from shared.domain.manifest import Manifest
from shared.domain.table_names import TableName, WantedTable, free_name, suffix
from shared.domain.wording import counted
from shared.errors import Damaged, Permanent, Refused
from shared.operations.databases import preflight, side, source, warm
from shared.operations.databases.side import Chosen
from shared.operations.fleet import Fleet
from shared.operations.jobs.saga import Outcome, StepActions, StepRun
from shared.operations.restores import restore, table_lookup
from shared.postgres import dump, entries, inspection, moving, table_differences
from shared.postgres.contents import Contents
from shared.postgres.dsn import Dsn
from shared.postgres.moving import Relation
from shared.postgres.session import Session, connected
from shared.postgres.tools import Tools

APPLICATION = "snapfleet:preview"


def request(
    snapshot_id: str, tables: Sequence[WantedTable], *, as_superuser: bool = False
) -> dict[str, object]:
    """What such a job carries."""
    return {
        "snapshot_id": snapshot_id,
        "tables": [asdict(each) for each in tables],
        "as_superuser": as_superuser,
    }


def asked_for(job: Job) -> tuple[WantedTable, ...]:
    return tuple(
        WantedTable(table=TableName(**each["table"]), to=each["to"]) for each in job.request["tables"]
    )


def plan(run: StepRun) -> Outcome:
    """Hold the snapshot; look whether it has these tables, and whether there is room for their copies."""
    snapshot_id = str(run.job.request["snapshot_id"])
    with run.fenced() as tx:
        if not tx.snapshots.hold(snapshot_id, job_id=run.job.id):
            raise restore.snapshot_gone(run.job)
    manifest = side.manifest_of(run.fleet, snapshot_id)
    dsn = run.fleet.dsn(run.job.database)
    with source.maintenance(dsn, run.name) as session:
        tools = source.choose_tools(run.fleet, dsn, session)
    table_lookup.refuse_unclear(manifest, asked_for(run.job))
    table_lookup.refuse_unknown(run.fleet, manifest, tools, asked_for(run.job), check=run.check)
    look(
        run.fleet,
        run.job.database,
        manifest,
        asked_for(run.job),
        as_superuser=run.job.request["as_superuser"],
        application_name=run.name,
    )
    return Outcome(result={"snapshot_id": snapshot_id, "taken_at": manifest.taken_at.isoformat()})


def look(
    fleet: Fleet,
    database: str,
    manifest: Manifest,
    wanted: Sequence[WantedTable],
    *,
    as_superuser: bool,
    application_name: str,
) -> None:
    """Raises what stands against it, as far as can be told before anything is restored."""
    dsn = fleet.dsn(database)
    with source.maintenance(dsn, application_name) as session:
        source.refuse_catalog_target(fleet, session, dsn.dbname)
        preflight.refuse_superuser(fleet, session, as_superuser=as_superuser)
        preflight.refuse_older(session, manifest)
        preflight.refuse_missing_roles(session, manifest)
        if not inspection.rights(session, dsn.dbname).may_create:
            raise Refused(
                "the role in the database's URL may not create the side database that this needs",
                code="insufficient_rights",
                hint="let a superuser say: alter role … createdb",
            )
    with connected(dsn, application_name=application_name) as session:
        table_lookup.refuse_taken(session, manifest, wanted)


def preview(
    fleet: Fleet, database: str, snapshot_id: str, wanted: Sequence[WantedTable], *, as_superuser: bool
) -> tuple[WantedTable, ...]:
    """Look before a request is made; the tables with their schemas, where these are known by now.

    A name that is not in the manifest is looked up in the archive if the client's tools are at hand; where
    they are not, the job does that.
    """
    manifest = side.manifest_of(fleet, snapshot_id)
    table_lookup.refuse_unclear(manifest, wanted)
    known = tuple(table_lookup.with_schema(manifest, each) for each in wanted)
    dsn = fleet.dsn(database)
    tools: Tools | None = None
    with source.maintenance(dsn, APPLICATION) as session, suppress(Refused):
        tools = source.choose_tools(fleet, dsn, session)
    if tools is not None:
        table_lookup.refuse_unknown(fleet, manifest, tools, known, check=lambda: None)
    look(fleet, database, manifest, known, as_superuser=as_superuser, application_name=APPLICATION)
    return known


def choose(run: StepRun, tools: Tools, dsn: Dsn, archive: IO[bytes]) -> Chosen:
    """Which rows, indexes and constraints are restored into the side database."""
    listed = entries.read(tools, archive_fd=archive.fileno())
    with connected(dsn, application_name=run.name) as session:
        members = moving.members(session, [root.oid for root in roots(session, asked_for(run.job))])
    tables = [member for member in members if member.kind == "table"]
    return Chosen(
        share=entries.share(listed, frozenset(member.listed for member in tables)),
        tables=frozenset((member.schema, member.name) for member in tables),
    )


def rest(run: StepRun, tools: Tools, dsn: Dsn, archive: IO[bytes]) -> Contents:
    """Of what comes after the rows that which belongs to them."""
    return Contents(others=choose(run, tools, dsn, archive).share.post_data)


def roots(session: Session, wanted: Sequence[WantedTable]) -> tuple[Relation, ...]:
    """The tables that were asked for, in the side database; Refused or NotFound where one is no such table."""
    found = tuple(table_lookup.one_table(session, each.table) for each in wanted)
    if len({root.oid for root in found}) < len(found):
        raise table_lookup.twice()
    return found


def prove(run: StepRun) -> Outcome:
    """Every wanted table has the rows that were recorded."""
    manifest = side.manifest_of(run.fleet, run.job.request["snapshot_id"])
    recorded = {(count.schema, count.name): count.row_count for count in manifest.tables}
    with connected(side.side_dsn(run), application_name=run.name) as session:
        members = moving.members(session, [root.oid for root in roots(session, asked_for(run.job))])
        names = {(member.schema, member.name) for member in members if member.kind == "table"}
        counts = inspection.row_counts(
            session, [table for table in inspection.tables(session) if (table.schema, table.name) in names]
        )
    for count in counts:
        expected = recorded.get((count.schema, count.name))
        if count.row_count != expected:
            raise Damaged(
                f"{count.schema}.{count.name} has {counted(count.row_count, 'row')} instead of {expected}",
                code="not_proven",
                hint="the live database was not touched; bring it back from another snapshot",
            )
    return Outcome(result={"row_count": sum(count.row_count for count in counts)})


def move(run: StepRun) -> Outcome:
    """Rename in the side database, then carry all of it over in one transaction; done before: nothing."""
    manifest = side.manifest_of(run.fleet, run.job.request["snapshot_id"])
    dsn = run.fleet.dsn(run.job.database)
    with source.taken_over(dsn, run.name) as session:
        tools = source.choose_tools(run.fleet, dsn, session)
    with (
        connected(side.side_dsn(run), application_name=run.name) as beside,
        connected(dsn, application_name=run.name) as live,
    ):
        noted = run.data("move")
        if "moved" not in noted:
            noted = intend(beside, live, manifest, asked_for(run.job))
            run.record(**noted)
        failpoints.reach("move.intended")
        if not ours(live, run.job, noted):
            run.check()
            prepare(run.job, beside, live, manifest, noted)
            failpoints.reach("move.prepared")
            carry(run, tools, beside, noted["roots"])
            failpoints.reach("move.carried")
    return Outcome(result={"moved": noted["moved"]})


def intend(
    beside: Session, live: Session, manifest: Manifest, wanted: Sequence[WantedTable]
) -> dict[str, Any]:
    """The new name of everything that moves, to be kept before anything is renamed."""
    found = roots(beside, wanted)
    table_lookup.refuse_taken(
        live, manifest, [each.of(r.schema) for each, r in zip(wanted, found, strict=True)]
    )
    main = {root.oid: each.new_name(manifest.taken_at) for root, each in zip(found, wanted, strict=True)}
    members = moving.members(beside, list(main))
    schemas = {member.schema for member in members}
    taken = set(moving.names_in(live, schemas) | moving.names_in(beside, schemas))
    taken |= {(root.schema, main[root.oid]) for root in found}
    names: list[tuple[int, str]] = []
    for member in sorted(members, key=attrgetter("kind", "oid")):
        name = main.get(member.oid)
        if name is None:
            here = {other for schema, other in taken if schema == member.schema}
            name = free_name(member.name, suffix(manifest.taken_at), here)
            taken.add((member.schema, name))
        names.append((member.oid, name))
    return {
        "roots": list(main),
        "names": names,
        "moved": [{"schema": root.schema, "name": root.name, "to": main[root.oid]} for root in found],
    }


def prepare(job: Job, beside: Session, live: Session, manifest: Manifest, noted: Mapping[str, Any]) -> None:
    """Rename and mark what moves, in the side database. Refused where the live one lacks what it needs."""
    with beside.transaction():
        members = moving.members(beside, noted["roots"])
        moving.cut_loose(beside, [member.oid for member in members if member.kind == "table"])
        oids = [member.oid for member in members]
        for each in noted["moved"]:
            moving.make_room(beside, each["schema"], each["to"], keep=oids)
        moving.rename(beside, members, noted["names"])
        for each in noted["moved"]:
            moving.mark(beside, each["schema"], each["to"], remark=remark(job, manifest))
        needed = moving.needs(beside, [member.oid for member in members if member.kind != "statistics"])
    lacking = moving.missing(live, needed)
    if lacking:
        raise Refused(
            f"the live database lacks what these tables need: {', '.join(lacking)}",
            code="needs_missing",
            hint="create it there first, or bring the whole database back beside the live one: --to NAME",
        )


def remark(job: Job, manifest: Manifest) -> str:
    return f"as of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC, snapshot {manifest.id}, {made_by(job)}"


def made_by(job: Job) -> str:
    """What tells a table that this job made from every other."""
    return f"snapfleet job {job.id}"


def ours(live: Session, job: Job, noted: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Those of the moved tables that are there, and that this job has made."""
    names = [(each["schema"], each["to"]) for each in noted["moved"]]
    return [name for name in names if (moving.comment(live, *name) or "").endswith(made_by(job))]


def carry(run: StepRun, tools: Tools, beside: Session, roots_moved: Sequence[int]) -> None:
    tables = [member for member in moving.members(beside, roots_moved) if member.kind == "table"]
    run.report(section="moving")
    try:
        dump.carry(
            tools,
            side.side_dsn(run),
            run.fleet.dsn(run.job.database),
            tables=[(table.schema, table.name) for table in tables],
            encoding=inspection.encoding(beside),
            application_name=run.name,
            while_running=run.check,
        )
    except Permanent as exc:
        if exc.code != "tool_failed":
            raise
        raise Refused(
            f"these tables do not fit into the live database: {exc.message}",
            code="tables_do_not_fit",
            hint="a type or function there may be another than in the snapshot; bring the whole database"
            " back beside the live one: --to NAME",
        ) from exc


def undo_move(run: StepRun) -> None:
    """Drop what this job has put into the live database, and nothing else."""
    noted = run.data("move")
    if "moved" not in noted:
        return
    dsn = run.fleet.dsn(run.job.database)
    with source.taken_over(dsn, run.name):
        pass  # a superseded worker may have been about to commit
    with connected(dsn, application_name=run.name) as live:
        moving.drop(live, ours(live, run.job, noted))


def compare(run: StepRun) -> Outcome:
    """Set each table beside the live one of its name, row by row."""
    found = []
    with connected(run.fleet.dsn(run.job.database), application_name=run.name) as live:
        for each in run.data("move")["moved"]:
            run.check()
            run.report(section=f"comparing {each['name']}")
            restored = (each["schema"], each["to"])
            moving.analyze(live, *restored)
            between = table_differences.compare(live, restored=restored, live=(each["schema"], each["name"]))
            found.append({**each, "differences": between and asdict(between)})
    return Outcome(result={"tables": found})


def drop(run: StepRun) -> Outcome:
    side.undo_create(run)
    return Outcome()


STEPS = {
    (JobKind.TABLES, "plan"): StepActions(do=plan),
    (JobKind.TABLES, "create"): StepActions(
        do=warm.yielding(partial(side.create, choose=choose)), undo=side.undo_create
    ),
    (JobKind.TABLES, "load"): StepActions(do=warm.yielding(side.load)),
    (JobKind.TABLES, "build"): StepActions(do=warm.yielding(partial(side.build, find=rest))),
    (JobKind.TABLES, "prove"): StepActions(do=prove),
    (JobKind.TABLES, "move"): StepActions(do=move, undo=undo_move),
    (JobKind.TABLES, "compare"): StepActions(do=compare),
    (JobKind.TABLES, "drop"): StepActions(do=drop),
}
