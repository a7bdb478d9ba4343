"""Every step of every kind of job: what the workers' tasks are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from shared.domain.job import JobKind
from shared.errors import Transient
from shared.operations import prune, restore, snapshot, undo
from shared.operations.fleet import Fleet
from shared.operations.saga import Steps

log = structlog.get_logger(__name__)

STEPS: Steps = snapshot.STEPS | restore.STEPS | undo.STEPS | prune.STEPS

Hand = Callable[..., int]

HANDS: Mapping[JobKind, Hand] = {
    JobKind.SNAPSHOT: snapshot.help_copy,
    JobKind.RESTORE: restore.help_load,
}


def help_out(kind: JobKind, job_id: str, *, epoch: int, fleet: Fleet) -> int:
    """Help with the parts of a running step; how many were done.

    A hand that comes too late, or is overtaken, has nothing to say: the lead is the one to judge.
    """
    try:
        return HANDS[kind](fleet, job_id, epoch=epoch)
    except Transient as exc:
        log.info("hand_stopped", job=job_id, code=exc.code)
        return 0
