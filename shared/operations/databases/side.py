"""A snapshot built up beside the live database, in a side database of the job's own.

    create ─► load ──────────────► build
    schema    parts, and indexes   all that is left: keys, triggers, views, statistics
              of their tables

The same for every kind of job that needs one: they name these steps alike, and carry `snapshot_id` in
their request. Undoing `create` drops whatever is there of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

import structlog

from shared import failpoints
from shared.domain.job import Job, JobKind
from shared.domain.manifest import Manifest, Part, Properties, parse, plain
from shared.errors import NotFound, SnapfleetError
from shared.operations.databases import indexing, source
from shared.operations.databases.archive import spooled
from shared.operations.fleet import Fleet
from shared.operations.jobs import hands
from shared.operations.jobs.hands import PartRun
from shared.operations.jobs.saga import Outcome, StartOver, StepRun
from shared.postgres import contents, databases, deriving, dump, loading
from shared.postgres.contents import Contents
from shared.postgres.dsn import Dsn
from shared.postgres.entries import Share, in_turns
from shared.postgres.session import Session, connected
from shared.postgres.tools import Tools

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Less than the whole of a snapshot: entries of its archive, and the tables whose parts are loaded."""

    share: Share
    tables: frozenset[tuple[str, str]]


LARGE_ARCHIVE_BYTES = 8 << 20
"""From here on its rows are worth several sessions of pg_restore's."""

Choose = Callable[[StepRun, Tools, Dsn, IO[bytes]], Chosen]
"""Asked once the whole schema is in the side database; the same each time it is asked."""

Find = Callable[[StepRun, Tools, Dsn, IO[bytes]], Contents]
"""Which entries of the archive are to be built once all rows are there."""

Enter = Callable[[], AbstractContextManager[Session]]
"""One more session in the side database."""


def manifest_of(fleet: Fleet, snapshot_id: str) -> Manifest:
    """A sealed snapshot's manifest, exactly as it was sealed."""
    with fleet.catalog.transaction() as tx:
        snapshot = tx.snapshots.get(snapshot_id)
    if snapshot is None or snapshot.manifest_sha256 is None:
        raise NotFound(f"snapshot {snapshot_id} was never sealed", code="snapshot_unknown")
    return fleet.repository.get_manifest(snapshot.database, snapshot_id, sha256=snapshot.manifest_sha256)


def server_of(fleet: Fleet, job: Job) -> Dsn:
    """The server that the side database of this job is made on, and the role that makes it."""
    if job.kind is JobKind.VERIFY:
        return fleet.verify_dsn(job.database)
    target = job.request.get("target")
    return fleet.dsn(job.database) if target is None else fleet.target_dsn(str(target))


def create(run: StepRun, *, choose: Choose | None = None) -> Outcome:
    """A new side database with the archive's share in it: schema, small tables, large objects.

    With `choose` the whole schema, and of the rows those that it chooses. A second run starts over in a
    database of its own epoch, and drops what the first one left.
    """
    manifest = manifest_of(run.fleet, run.job.request["snapshot_id"])
    dsn = server_of(run.fleet, run.job)
    side = intend(run, manifest)
    with cleared(run, dsn) as (session, tools):
        databases.create(session, side, like=manifest.source, owner=manifest.properties.owner)
        failpoints.reach("side.created")
        databases.rehearse(session, side, manifest.properties)
    side_dsn = dsn.for_database(side)
    with connected(side_dsn, application_name=run.name) as session, spooled(run, manifest) as archive:
        loading.prepare(session)
        for entries in contents.schemas_first(tools, archive_fd=archive.fileno()):
            with contents.listed(entries) as list_fd:
                restore_section(run, tools, side_dsn, archive, "pre-data", list_fd=list_fd)
        failpoints.reach("side.schema_restored")
        chosen = None if choose is None else choose(run, tools, side_dsn, archive)
        if chosen is None:
            restore_rows(run, tools, side_dsn, archive)
        else:
            with contents.listed(chosen.share.data) as list_fd:
                restore_section(run, tools, side_dsn, archive, "data", list_fd=list_fd)
        loading.harden(session)
        failpoints.reach("side.data_restored")
        loaded = [part for part in manifest.parts if chosen is None or part.spec.key in chosen.tables]
        units = [] if chosen is not None else indexing.plan(session, tools, loaded, archive=archive)
    hand_out(run, loaded, units)
    return Outcome()


def intend(run: StepRun, manifest: Manifest, **more: Any) -> str:
    """The name of the side database that this run makes, once it is written down."""
    side = databases.side_name(run.job.id, run.job.epoch)
    keys = run.fleet.repository.keys_of(run.job.database, manifest.id)
    run.record(side=side, keys=list(keys), **more)
    failpoints.reach("side.intended")
    return side


@contextmanager
def cleared(run: StepRun, dsn: Dsn) -> Generator[tuple[Session, Tools]]:
    """A session to make a side database in, where no former one of this job is left."""
    with source.taken_over(dsn, run.name) as session:
        for leftover in databases.side_databases(session, run.job.id):
            run.check()
            source.drop(dsn, session, leftover)
        tools = source.choose_tools(run.fleet, dsn, session)
        run.check()
        yield session, tools


def hand_out(run: StepRun, loaded: Sequence[Part], units: Sequence[indexing.Unit]) -> None:
    """Plan these parts and units for lead and hands: nobody has begun them."""
    parts = [(part.spec.number, plain(part, Part), sum(c.raw_bytes for c in part.chunks)) for part in loaded]
    with run.fenced() as tx:
        tx.parts.plan(run.job.id, epoch=run.job.epoch, parts=[*parts, *units])


def restore_rows(run: StepRun, tools: Tools, dsn: Dsn, archive: IO[bytes]) -> None:
    """All that the archive has of rows, large objects and sequences."""
    several = run.database.parallelism if archive.tell() > LARGE_ARCHIVE_BYTES else 1
    restore_section(run, tools, dsn, archive, "data", jobs=several)


def restore_section(
    run: StepRun,
    tools: Tools,
    dsn: Dsn,
    archive: IO[bytes],
    section: Any,
    *,
    jobs: int = 1,
    list_fd: int | None = None,
    goes_on: bool = False,
) -> SnapfleetError | None:
    """As `dump.restore` does."""
    run.report(section=section)
    return dump.restore(
        tools,
        dsn,
        archive_fd=archive.fileno(),
        section=section,
        jobs=jobs,
        application_name=run.name,
        list_fd=list_fd,
        goes_on=goes_on,
        while_running=run.check,
    )


def bears_differences(job: Job) -> bool:
    """Whether the job was asked to keep what it restored though it is not proven. Never over the live one."""
    return bool(job.request.get("despite_differences")) and job.request.get("to") is not None


def side_dsn(run: StepRun) -> Dsn:
    return server_of(run.fleet, run.job).for_database(str(run.data("create")["side"]))


def load(run: StepRun) -> Outcome:
    """Every part, once each, by lead and hands. Goes on from where a dead lead stopped."""
    with run.fenced() as tx:
        tx.parts.adopt(run.job.id, epoch=run.job.epoch)
    hands.call_hands(run)
    enter = partial(connected, side_dsn(run), application_name=run.name)
    with enter() as session:
        hands.lead(run, load_work(run.fleet, run.job.database, session, enter=enter))
    return Outcome()


def load_work(fleet: Fleet, database: str, session: Session, *, enter: Enter) -> hands.Work:
    def work(part: PartRun) -> Mapping[str, Any]:
        if indexing.is_one(part.taken.spec):
            with enter() as own:
                return indexing.work(own, part)
        spec = parse(part.taken.spec, Part)

        def pieces() -> Iterator[bytes]:
            for chunk in spec.chunks:
                failpoints.reach("load.part_loading")
                part.check()
                for piece in fleet.repository.read_chunk(database, chunk):
                    yield piece
                    part.meter.done_bytes += len(piece)

        part.check()
        brought_by = loading.load(session, spec, pieces())
        part.meter.done_bytes = sum(chunk.raw_bytes for chunk in spec.chunks)
        return {"brought_by": brought_by}

    return work


def help_load(fleet: Fleet, job: Job) -> int:
    """A hand of a load: load parts while there are any; how many. None of what it cannot open."""
    with fleet.catalog.transaction() as tx:
        steps = {s.name: s for s in tx.jobs.steps(job.id)}
    if not fleet.repository.encryption.opens(steps["create"].data.get("keys", [])):
        log.warning("hand_has_no_identity", job=job.id)
        return 0
    dsn = server_of(fleet, job).for_database(str(steps["create"].data["side"]))
    enter = partial(connected, dsn, application_name=f"snapfleet:{job.id[:13]}:{job.epoch}")
    with enter() as session:
        return hands.help_out(fleet, job, load_work(fleet, job.database, session, enter=enter))


def everything(run: StepRun, tools: Tools, _dsn: Dsn, archive: IO[bytes]) -> Contents:
    """Whatever is not there already."""
    return contents.read(tools, archive_fd=archive.fileno(), without=indexing.built(run))


def build(run: StepRun, *, find: Find = everything) -> Outcome:
    """Indexes, constraints, triggers, statistics. A half-built one is not mended but made anew."""
    if run.resumed:
        raise StartOver("create")
    manifest = manifest_of(run.fleet, run.job.request["snapshot_id"])
    dsn = side_dsn(run)
    with connected(dsn, application_name=run.name) as session:
        loading.finish(session)
        failpoints.reach("build.unmarked")
        tools = source.choose_tools(run.fleet, dsn, session)
        with spooled(run, manifest) as archive:
            found = find(run, tools, dsn, archive)
            restore_the_rest(run, tools, dsn, archive, found=found, properties=manifest.properties)
        loading.harden(session)
        failpoints.reach("build.built")
    with connected(dsn, application_name=run.name) as session:
        run.check()
        run.report(section="analyze")
        skipped = deriving.analyze(session)
        failpoints.reach("build.analyzed")
    if skipped:
        log.warning("not_analyzed", tables=skipped)
    return Outcome()


def restore_the_rest(
    run: StepRun,
    tools: Tools,
    dsn: Dsn,
    archive: IO[bytes],
    *,
    found: Contents,
    properties: Properties,
) -> None:
    """Everything after the rows: what stands on them, materialized views, and event triggers last of all.

    pg_restore would fill the views itself, under an empty search_path, and with event triggers in force.
    """
    several, goes_on = run.database.parallelism, bears_differences(run.job)
    left_out = list[str]()
    turns = in_turns(tools, found.others, archive_fd=archive.fileno())
    for lines, jobs in ((turns.first, several), (turns.one_by_one, 1), (turns.last, several)):
        if lines:
            with contents.listed(lines) as list_fd:
                refused = restore_section(
                    run, tools, dsn, archive, "post-data", jobs=jobs, list_fd=list_fd, goes_on=goes_on
                )
            if refused:
                left_out.append(refused.message)
    if goes_on:  # nothing, too: a worker that died here may have noted something, of a database that is gone
        run.record(left_out=left_out)
    if found.views_to_fill:
        run.report(section="materialized views")
        views = contents.views_to_fill(tools, found, archive_fd=archive.fileno())
        with connected(dsn, application_name=run.name) as session:
            run.check()
            deriving.fill(session, views, paths=deriving.search_paths(properties, dsn.user))
    if found.event_triggers:
        with contents.listed(found.event_triggers) as list_fd:
            restore_section(run, tools, dsn, archive, "post-data", list_fd=list_fd)


def undo_create(run: StepRun) -> None:
    """Drop every side database of this job."""
    dsn = server_of(run.fleet, run.job)
    with source.taken_over(dsn, run.name) as session:
        for side in databases.side_databases(session, run.job.id):
            run.check()
            source.drop(dsn, session, side)
            failpoints.reach("side.dropped")
    with run.fenced() as tx:
        tx.parts.clear(run.job.id)
