"""A proof that loads only what has changed since the last one: where a warm copy of that is kept.

    warm copy ─► cloned ─► same schema? ─► emptied but for the tables that are the same ─► rows, parts ─► built ─► compared
                 by the server                                                              of the new snapshot

What comes out is compared as closely as if all of it had been loaded, and its schema beside. It can prove a snapshot
and never refute one: whatever goes wrong in it, or is different in the end, the proof starts over and loads everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial, wraps
from typing import IO, Any

import structlog

from shared import failpoints
from shared.catalog.warm import WarmCopy
from shared.domain import refresh
from shared.domain.job import SAGAS, JobKind
from shared.domain.manifest import Manifest, Part
from shared.domain.parts import Key
from shared.domain.wording import counted
from shared.errors import Permanent, Transient
from shared.operations.databases import indexing, side, source, warm
from shared.operations.databases.archive import spooled
from shared.operations.jobs.lease import Stopped
from shared.operations.jobs.saga import Outcome, StartOver, StepRun, as_error
from shared.postgres import clearing, cloning, contents, databases, loading
from shared.postgres.contents import Contents
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected
from shared.postgres.tools import Tools

log = structlog.get_logger(__name__)

BroughtBy = Mapping[int, str]
"""For parts, by number: the id of the transaction that loaded them."""

DROP = SAGAS[JobKind.VERIFY].steps.index("drop") + 1

PASSING = (Transient, Stopped, StartOver)
"""What says nothing of the database: somebody else goes on, or the same step again."""


class Unfit(Permanent):
    """It cannot be refreshed: why, for the log. No user hears of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """A warm copy, and which of the new snapshot's parts are in it."""

    copy: WarmCopy
    whole_at: datetime
    """When a proof has loaded everything last."""
    kept: BroughtBy

    def facts(self) -> dict[str, Any]:
        return {
            "from": self.copy.snapshot_id,
            "whole_at": self.whole_at.isoformat(),
            "kept": {str(number): xid for number, xid in self.kept.items()},
        }


def create(run: StepRun, manifest: Manifest) -> Outcome | None:
    """A side database with the archive's rows in it, and the parts of tables that are the same as in the warm copy.

    None where there is nothing to begin with, or anything stands in the way: then all of it has to be loaded.
    """
    if "refresh" in run.data("create"):  # it was tried, and that is enough
        give_up(run, "it was begun before")
        return None
    try:
        basis = find(run, manifest)
        if basis is None:
            return None
        begin(run, manifest, basis)
    except PASSING:
        raise
    except Exception as exc:  # noqa: BLE001 - of whatever kind it is, everything can still be loaded
        give_up(run, as_error(exc).message)
        return None
    return Outcome()


def give_up(run: StepRun, why: str) -> None:
    run.record(refresh={})
    log.warning("not_refreshed", why=why)


def find(run: StepRun, manifest: Manifest) -> Basis | None:
    """What can be taken over. Nothing where somebody has asked for this proof: who asks wants all of it."""
    if run.job.request.get("prune_job_id") is None:
        return None
    with run.fleet.catalog.transaction() as tx:
        there = tx.warm.there(run.job.database)
        if not there:
            return None
        told = tx.jobs.step(there[0].job_id, DROP).data
        now = tx.jobs.now()
    whole = datetime.fromisoformat(told["whole_at"]) if told.get("whole_at") else there[0].made_at
    brought = {int(number): str(xid) for number, xid in told.get("brought_by", {}).items()}
    if not brought or now - whole >= refresh.WHOLE_EVERY:
        return None
    former = side.manifest_of(run.fleet, there[0].snapshot_id)
    kept = refresh.taken_over(former, manifest, brought)
    if not kept or not refresh.is_alike(former, manifest):
        return None
    dsn = run.fleet.dsn(run.job.database)
    with connected(dsn, application_name=run.name) as session:
        refuse_unfit(session)  # as the copy will be: that is seen more cheaply before it is cloned
    with source.maintenance(dsn, run.name) as session:
        copy = warm.ready(run.fleet, session, run.job.database, former.id, by=None)
    is_it = copy is not None and copy.job_id == there[0].job_id
    return Basis(copy=there[0], whole_at=whole, kept=kept) if is_it else None


def begin(run: StepRun, manifest: Manifest, basis: Basis) -> None:
    dsn = side.server_of(run.fleet, run.job)
    name = side.intend(run, manifest, refresh=basis.facts())
    with side.cleared(run, dsn) as (session, tools):
        dumper = source.choose_dumper(run.fleet, dsn, session)
        owner = manifest.properties.owner
        cloning.clone(session, name, of=basis.copy.name, owner=owner, while_running=run.check)
        failpoints.reach("refresh.cloned")
        if said := warm.doubted(run.fleet, session, basis.copy):
            raise Unfit("; ".join(said))
        databases.rehearse(session, name, manifest.properties)
    beside = dsn.for_database(name)
    with connected(beside, application_name=run.name) as session, spooled(run, manifest) as archive:
        look(run, dumper, beside, archive)
        refuse_unfit(session)
        changed = settle(run, manifest, basis, frail=clearing.frail(session))
        apart = clearing.apart(session, tables_of(changed))
        run.check()
        clearing.take_down(session, apart)
        clearing.empty(session, kept=tables_of(manifest.parts) - tables_of(changed))
        clearing.unlink(session)
        failpoints.reach("refresh.emptied")
        loading.prepare(session)
        if large := clearing.large_objects(tools, archive_fd=archive.fileno()):
            with contents.listed(large) as list_fd:
                side.restore_section(run, tools, beside, archive, "pre-data", list_fd=list_fd)
        side.restore_rows(run, tools, beside, archive)
        loading.harden(session)
        early = [part for part in changed if part.spec.key in apart]
        units = indexing.plan(session, tools, early, archive=archive)
    side.hand_out(run, changed, units)


def settle(run: StepRun, manifest: Manifest, basis: Basis, *, frail: Collection[Key]) -> Sequence[Part]:
    """Write down what is kept in the end, and answer what is to be loaded."""
    kept = {
        part.spec.number: basis.kept[part.spec.number]
        for part in manifest.parts
        if part.spec.number in basis.kept and part.spec.key not in frail
    }
    if not kept:
        raise Unfit("rows of what has not changed depend on what has")
    run.record(refresh=replace(basis, kept=kept).facts())
    return [part for part in manifest.parts if part.spec.number not in kept]


def refuse_unfit(session: Session) -> None:
    if said := clearing.unfit(session):
        raise Unfit("; ".join(said))


def look(run: StepRun, tools: Tools, dsn: Dsn, archive: IO[bytes]) -> None:
    """Raises Unfit where the database has not the schema that the archive has."""
    run.report(section="comparing schemas")
    if not clearing.has_schema(
        tools, dsn, archive_fd=archive.fileno(), application_name=run.name, while_running=run.check
    ):
        raise Unfit("the schema is another one")


def anew(why: str) -> StartOver:
    """To be raised where a refreshed database is no good: everything is loaded."""
    log.warning("not_refreshed", why=why)
    return StartOver("create")


def or_whole(do: Callable[[StepRun], Outcome]) -> Callable[[StepRun], Outcome]:
    """A step that tells nothing of the snapshot where it fails in a refreshed database: that is made anew, and whole.

    So it is by whoever comes to it a second time: what has failed there before may do so each time.
    """

    @wraps(do)
    def act(run: StepRun) -> Outcome:
        if run.resumed and noted(run):
            raise anew("it was begun before")
        try:
            return do(run)
        except PASSING:
            raise
        except Exception as exc:
            if not noted(run):
                raise
            raise anew(as_error(exc).message) from exc

    return act


def build(run: StepRun) -> Outcome:
    """What was taken down, and then the schema is the snapshot's once more. Whole as ever where nothing was."""
    if not noted(run):
        return side.build(run)
    manifest = side.manifest_of(run.fleet, str(run.job.request["snapshot_id"]))
    outcome = side.build(run, find=partial(rest, manifest=manifest))
    dsn = side.side_dsn(run)
    with source.maintenance(dsn, run.name) as session:
        dumper = source.choose_dumper(run.fleet, dsn, session)
    with spooled(run, manifest) as archive:
        look(run, dumper, dsn, archive)
    return outcome


def rest(run: StepRun, tools: Tools, dsn: Dsn, archive: IO[bytes], *, manifest: Manifest) -> Contents:
    kept = noted(run)["kept"]
    changed = tables_of(part for part in manifest.parts if str(part.spec.number) not in kept)
    with connected(dsn, application_name=run.name) as session:
        down = clearing.rebuilt(session, tools, clearing.apart(session, changed), archive_fd=archive.fileno())
    return contents.read(tools, archive_fd=archive.fileno(), without=indexing.built(run), among=down)


def tables_of(parts: Iterable[Part]) -> frozenset[Key]:
    return frozenset(part.spec.key for part in parts)


def brought_by(run: StepRun) -> BroughtBy:
    """Every part whose rows can be told apart in the side database: by which transaction they came."""
    with run.fleet.catalog.transaction() as tx:
        results = tx.parts.results(run.job.id)
    loaded = {
        int(spec["spec"]["number"]): str(result["brought_by"])
        for spec, result in results
        if "brought_by" in result
    }
    return {int(number): str(xid) for number, xid in noted(run).get("kept", {}).items()} | loaded


def noted(run: StepRun) -> Mapping[str, Any]:
    """With what `create` has refreshed the side database of this job; nothing where it has loaded everything."""
    return run.data("create").get("refresh") or {}


def whole_at(run: StepRun) -> str | None:
    """When the last proof has loaded everything; None where that is this one."""
    return noted(run).get("whole_at")


def facts(begun: Mapping[str, Any]) -> Mapping[str, Any]:
    """For the result of the proof, and for who asks how long a restore takes: not as short as this one."""
    return {"refreshed_from": begun["from"], "parts_kept": len(begun["kept"])} if begun else {}


def notes(begun: Mapping[str, Any]) -> Iterator[str]:
    """For who reads what was compared."""
    if begun:
        yield (
            f"{counted(len(begun['kept']), 'part')} had not changed since {begun['from']}, and were not loaded"
            " again: their rows came from its proof, and were compared"
        )
