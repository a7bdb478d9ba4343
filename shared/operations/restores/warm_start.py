"""A restore that finds its side database ready: the warm copy, once it is sure that it is what was proven.

plan: reserve it ─► create: look again, rename ─► (nothing to load, build or prove) ─► swap
                                  └─ any doubt: it goes, and all is built as without it
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps

import structlog

from shared import failpoints
from shared.catalog.warm import WarmCopy
from shared.domain import differences
from shared.domain.manifest import Manifest
from shared.errors import Refused
from shared.operations.databases import source, warm
from shared.operations.jobs.saga import Outcome, StepRun
from shared.postgres import cloning, databases

log = structlog.get_logger(__name__)


def reserve(run: StepRun, copy: WarmCopy) -> bool:
    """Nobody drops it from now on; False where somebody was quicker."""
    with run.fenced() as tx:
        return tx.warm.take(copy.job_id, by=run.job.id)


def reserved(run: StepRun) -> WarmCopy | None:
    with run.fleet.catalog.transaction() as tx:
        return tx.warm.taken(run.job.id)


def give_back(run: StepRun) -> None:
    """Undo of `reserve`: where nothing was done to it, it is ready for the next restore."""
    copy = reserved(run)
    if copy is None:
        return
    with source.maintenance(run.fleet.dsn(run.job.database), run.name) as session:
        said = warm.doubted(run.fleet, session, copy)
    if said:
        let_go(run, copy, why=said)
        return
    with run.fenced() as tx:
        tx.warm.give_back(run.job.id)


def take_in(run: StepRun, manifest: Manifest) -> Outcome | None:
    """Make the reserved copy the side database of this restore. None where there is none, or any doubt: then it
    goes.
    """
    copy = reserved(run)
    if copy is None:
        return None
    try:
        said = renamed(run, copy, manifest)
    except Refused as exc:  # it is somebody else's by now
        said = [exc.message]
    if not said:
        return Outcome(result=facts(run, copy), record=lambda tx: tx.warm.dropped(copy.job_id))
    let_go(run, copy, why=said)
    return None


def renamed(run: StepRun, copy: WarmCopy, manifest: Manifest) -> Sequence[str]:
    """Give it the name of this job's side database; what stands against it instead."""
    with source.taken_over(run.fleet.dsn(run.job.database), run.name) as session:
        name = databases.name_of(session, copy.oid) or copy.name
        begun = name in databases.side_databases(session, run.job.id)
        said = [*warm.doubted(run.fleet, session, copy, renamed=begun)]
        if not said:
            cloning.end_clones(session, copy.oid)
            would_be = databases.rehearse(session, name, manifest.properties)
            said += differences.in_properties(manifest.properties, would_be)
        if not said:
            side = databases.side_name(run.job.id, run.job.epoch)
            run.record(side=side, keys=[], warm=copy.job_id)
            failpoints.reach("warm.taking")
            run.check()
            if name != side:
                databases.rename(session, name, side)
            failpoints.reach("warm.taken")
    return said


def let_go(run: StepRun, copy: WarmCopy, *, why: object) -> None:
    log.warning("warm_copy_doubted", name=copy.name, why=why)
    warm.try_drop(run, copy, by=run.job.id)


def facts(run: StepRun, copy: WarmCopy) -> dict[str, object]:
    """For the result of the restore: what the copy's proof has counted."""
    with run.fleet.catalog.transaction() as tx:
        proof = tx.jobs.get(copy.job_id)
    counted = {} if proof is None else proof.result
    return {
        **{name: counted[name] for name in ("tables", "row_count", "digests") if name in counted},
        "warm": True,
        "proven_by": copy.job_id,
    }


def unless_warm(do: Callable[[StepRun], Outcome]) -> Callable[[StepRun], Outcome]:
    """A step that has nothing to do where the side database was the warm copy."""

    @wraps(do)
    def act(run: StepRun) -> Outcome:
        return do(run) if run.data("create").get("warm") is None else Outcome()

    return act
