"""Every step of every kind of job: what the workers' tasks are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from shared.domain.job import SAGAS, Job
from shared.errors import Transient
from shared.operations.databases import side
from shared.operations.fleet import Fleet
from shared.operations.jobs.saga import Steps
from shared.operations.proofs import verify
from shared.operations.restores import reset, restore, tables, undo
from shared.operations.snapshots import snapshot
from shared.operations.upkeep import check, prune

log = structlog.get_logger(__name__)

STEPS: Steps = (
    snapshot.STEPS
    | verify.STEPS
    | restore.STEPS
    | tables.STEPS
    | undo.STEPS
    | reset.STEPS
    | prune.STEPS
    | check.STEPS
)

Hand = Callable[[Fleet, Job], int]

HANDS: Mapping[str, Hand] = {
    "copy": snapshot.help_copy,
    "safeguard": snapshot.help_copy,
    "load": side.help_load,
}
"""By the name of the step that they help with."""

HANDED = frozenset(kind for kind, saga in SAGAS.items() if not HANDS.keys().isdisjoint(saga.steps))


def help_out(job_id: str, *, epoch: int, fleet: Fleet) -> int:
    """Help with the parts of a running step; how many were done.

    A hand that comes too late, or is overtaken, has nothing to say: the lead is the one to judge.
    """
    with fleet.catalog.transaction() as tx:
        job = tx.jobs.get(job_id)
    hand = HANDS.get(job.step or "") if job is not None else None
    if job is None or hand is None or job.epoch != epoch:
        return 0
    try:
        return hand(fleet, job)
    except Transient as exc:
        log.info("hand_stopped", job=job_id, code=exc.code)
        return 0
