"""Build a snapshot on an earlier one: of what the server's own record says has not changed, read nothing.

    begin     where the log is, and every transaction that had written by then has ended     before the moment
    plan      which parts to take over, and whether later snapshots can be built on this one     in the moment
    compare   every so often those parts are read all the same, and must be as they were     after the copy

Whatever is missing for it (a release, a setting, a right, a summary, a former snapshot) only means that all is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from shared.catalog.catalog import Transaction
from shared.domain import evidence, reuse
from shared.domain.increments import Base, Increment, Origin, TableState
from shared.domain.manifest import Chunk, Manifest, Part, plain
from shared.domain.parts import SPLIT_BYTES, PartSpec, Table
from shared.domain.proof import Digests
from shared.domain.reuse import Summary
from shared.domain.wording import counted
from shared.errors import Damaged, Permanent
from shared.operations.jobs.saga import StepRun
from shared.operations.snapshots import suspecting
from shared.operations.snapshots.chunking import CHUNK_BYTES
from shared.operations.trust import standing
from shared.postgres import inspection, wal_summaries
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected, limited
from shared.postgres.wal_summaries import Place, Unsummarized
from shared.storage.repository import Repository

log = structlog.get_logger(__name__)

SWITCHED_OFF = "`incremental` is off"
OUTLASTED = "a transaction that had written went on for longer than `base_wait`"
ALL_SMALL = "no table is large enough to be read in parts"
EMPTY_BYTES = 6 * 1024 * 1024
"""Less than any release's own catalogs take in a database that holds nothing else."""
NO_BASE = "there is no earlier snapshot to build on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What was noted before the moment of the snapshot. Without a place in the log there is an obstacle."""

    here: Place | None = None
    obstacle: str | None = None
    is_settled: bool = False
    """Every transaction that had written before that place has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    increment: Increment
    taken_over: Mapping[int, Part] = field(default_factory=dict)
    """By their numbers: parts that nobody reads."""
    compared: Mapping[int, Part] = field(default_factory=dict)
    """Parts that need not be read, and are: they must be the same."""

    @property
    def results(self) -> Mapping[int, Mapping[str, Any]]:
        """Of those taken over, as if somebody had handed them in."""
        return {number: handed_in(part) for number, part in self.taken_over.items()}


class Unbased(Exception):
    """Nothing can be taken over; its text says why, for people."""


def begin(run: StepRun, session: Session) -> Start:
    """Note where the log is, and wait for its writers. Before the moment, and outside of any transaction."""
    if not run.database.incremental:
        return Start(obstacle=SWITCHED_OFF)
    if inspection.size_bytes(session) <= EMPTY_BYTES + SPLIT_BYTES:
        # Two checkpoints would cost more than all that it holds.
        return Start(obstacle=ALL_SMALL)
    try:
        with limited(session, wal_summaries.BEFORE):
            obstacle = wal_summaries.obstacle(session)
            if obstacle is not None:
                return Start(obstacle=obstacle)
            # What changed before stands in another summary then than what changes from here on.
            wal_summaries.checkpoint(session)
            here = wal_summaries.place(session)
    except Unsummarized as exc:
        return Start(obstacle=str(exc))
    settled = wal_summaries.writers_end(session, within=run.database.base_wait, check=run.check)
    return Start(here=here, is_settled=settled)


def plan(
    run: StepRun,
    start: Start,
    *,
    dsn: Dsn,
    session: Session,
    tables: Sequence[Table],
    specs: Sequence[PartSpec],
    digestible: Collection[tuple[str, str]],
    may_compare: bool,
) -> Plan:
    """In the moment, and with the tables locked. What it takes over retention leaves alone for a day.

    Where it may not, what is to be compared is so by the next snapshot that may.
    """
    if start.here is None:
        return Plan(increment=unbased(start.obstacle))
    states = wal_summaries.table_states(session, {spec.key for spec in specs})
    # Beside the moment: what fails in there must not end it.
    with (
        connected(dsn, application_name=run.name) as beside,
        limited(beside, wal_summaries.MEANWHILE),
    ):
        try:
            there = place_on(beside, start.here)
            summaries = wal_summaries.reach(beside, there, within=run.database.base_wait, check=run.check)
        except Unsummarized as exc:
            return Plan(increment=unbased(str(exc)))
        increment = Increment(
            built_on=None,
            unchecked=0,
            base=base_of(start.here, there, summaries, states) if start.is_settled else None,
            not_base=None if start.is_settled else OUTLASTED,
        )
        try:
            base = base_manifest(run, there)
            changes = changes_since(base, there, beside, summaries, states, specs)
        except (Unbased, Unsummarized) as exc:
            return Plan(increment=replace(increment, reason=str(exc)))
    choice = run.database.digests
    found = reuse.reusable(
        specs,
        base=base,
        now=states,
        changes=changes,
        undigested=reuse.without_digest(specs, tables, choice, digestible=digestible),
    )
    if choice is Digests.NONE:
        found = {number: replace(part, digest=None) for number, part in found.items()}
    with run.fenced() as tx:
        kept = still_stored(tx, run.fleet.repository, run.job.database, found)
        newest = tx.snapshots.newest_sealed(run.job.database)
    if not kept:
        return Plan(increment=increment)
    before = newest.how_read.unchecked if newest is not None and newest.how_read is not None else 0
    every = run.database.verify_incremental
    if may_compare and every and before + 1 >= every:
        return Plan(increment=replace(increment, built_on=base.id), compared=kept)
    return Plan(increment=replace(increment, built_on=base.id, unchecked=before + 1), taken_over=kept)


def place_on(session: Session, here: Place) -> Place:
    """Where the log ends now. Unsummarized where the session has met another server than the first one."""
    there = wal_summaries.place(session)
    if there.server != here.server:
        raise Unsummarized("two sessions have met two servers")
    return there


def unbased(obstacle: str | None) -> Increment:
    return Increment(built_on=None, unchecked=0, reason=obstacle, not_base=obstacle)


def base_of(here: Place, there: Place, summaries: Sequence[Summary], states: tuple[TableState, ...]) -> Base:
    reaching = reuse.chain(summaries, timeline=there.server.timeline, since=there.lsn - 1, upto=there.lsn)
    summarized_to = max(each.end for each in reaching or ())
    return Base(
        server=here.server,
        lsn=here.lsn,
        summarized_to=summarized_to,
        chunk_bytes=CHUNK_BYTES,
        tables=states,
    )


def base_manifest(run: StepRun, there: Place) -> Manifest:
    """Of the newest snapshot that can be built on. Raises Unbased."""
    with run.fleet.catalog.transaction() as tx:
        newest = tx.snapshots.newest_base(run.job.database)
    if newest is None or newest.manifest_sha256 is None:
        raise Unbased(NO_BASE)
    try:
        base = run.fleet.repository.get_manifest(run.job.database, newest.id, sha256=newest.manifest_sha256)
    except Permanent as exc:
        log.info("base_not_readable", snapshot=newest.id, code=exc.code)
        raise Unbased(f"the manifest of snapshot {newest.id} cannot be read here: {exc.message}") from exc
    obstacle = reuse.obstacle(base, there.server)
    if obstacle is not None:
        raise Unbased(obstacle)
    same_cut = base.base is not None and base.base.chunk_bytes == CHUNK_BYTES
    if base.evidence is None or base.evidence.method != evidence.METHOD or not same_cut:
        raise Unbased(f"snapshot {base.id} is of a release that cuts or digests parts in another way")
    return base


def changes_since(  # noqa: PLR0917 - one caller, and each of these is another thing
    manifest: Manifest,
    there: Place,
    session: Session,
    summaries: Sequence[Summary],
    states: Sequence[TableState],
    specs: Sequence[PartSpec],
) -> Mapping[int, reuse.Changes]:
    """By filenode. Raises Unsummarized where the summaries since do not tell all."""
    base = manifest.base
    if base is None:
        raise Unbased(NO_BASE)
    way = reuse.chain(summaries, timeline=there.server.timeline, since=base.lsn, upto=there.lsn)
    witnesses = {each.end for each in summaries if each.timeline == there.server.timeline}
    if way is None or base.summarized_to not in witnesses:
        raise Unsummarized(f"the summaries of the log since snapshot {manifest.id} are not complete")
    return wal_summaries.changes(session, way, there.server, widths_by_file(states, specs))


def widths_by_file(states: Sequence[TableState], specs: Sequence[PartSpec]) -> Mapping[int, int]:
    """How many pages each range of a table has, by filenode. Unsummarized where two have one, in two tablespaces."""
    wide = reuse.widths(specs)
    by_file = {state.filenode: wide[state.schema, state.name] for state in states}
    if len(by_file) != len(states):
        raise Unsummarized("two tables have files of one number")
    return by_file


def still_stored(
    tx: Transaction, repository: Repository, database: str, found: Mapping[int, Part]
) -> Mapping[int, Part]:
    """Those whose every chunk is stored, with the keys of today; kept from retention for a day."""
    wanted = {
        chunk.sha256
        for part in found.values()
        for chunk in part.chunks
        if repository.encryption.name_of(chunk.contents_sha256) == chunk.sha256
    }
    stored = tx.chunks.touch_all(database, wanted)

    def as_stored(chunk: Chunk) -> Chunk:
        return repository.known(stored[chunk.sha256], sha256=chunk.contents_sha256)

    return {
        number: replace(part, chunks=tuple(as_stored(chunk) for chunk in part.chunks))
        for number, part in found.items()
        if all(chunk.sha256 in stored for chunk in part.chunks)
    }


def compare(run: StepRun, planned: Plan, read: Sequence[Part]) -> None:
    """Damaged where a part that the server's record calls unchanged has changed.

    Nothing is built on the base then, and what may hold old rows is suspect.
    """
    base_id = planned.increment.built_on
    wrong = reuse.differing(planned.compared, read)
    if not wrong or base_id is None:
        return
    with run.fenced() as tx:
        tx.snapshots.distrust_bases(run.job.database)
        suspecting.doubt(tx, base_id)
    standing.keep(run.fleet, run.job.database)
    first = wrong[0].spec
    raise Damaged(
        f"{counted(len(wrong), 'part')} that the server's summaries of its log call unchanged since snapshot"
        f" {base_id} {'differs' if len(wrong) == 1 else 'differ'} from it, the first in"
        f" {first.schema}.{first.table} from page {first.first_page} on",
        code="incremental_wrong",
        hint="the next snapshot reads everything; those that took parts over since the last that did may hold old rows"
        " and are suspect now: use an older one, or accept what you know to be right (a proof cannot tell: it compares"
        " with counts that were taken over too); set `incremental = false` until it is known why",
    )


def handed_in(part: Part) -> Mapping[str, Any]:
    return {
        "row_count": part.row_count,
        "new_bytes": 0,
        "chunks": [plain(chunk, Chunk) for chunk in part.chunks],
        "digest": part.digest,
        "origin": str(Origin.UNREAD),
    }
