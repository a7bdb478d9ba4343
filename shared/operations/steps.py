"""Every step of every kind of job: what the workers' tasks are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.domain.job import JobKind
from shared.operations import prune, restore, snapshot, undo
from shared.operations.fleet import Fleet
from shared.operations.saga import Steps

STEPS: Steps = snapshot.STEPS | restore.STEPS | undo.STEPS | prune.STEPS

Hand = Callable[..., int]

HANDS: Mapping[JobKind, Hand] = {
    JobKind.SNAPSHOT: snapshot.help_copy,
    JobKind.RESTORE: restore.help_load,
}


def help_out(kind: JobKind, job_id: str, *, epoch: int, fleet: Fleet) -> int:
    """Help with the parts of a running step; how many were done."""
    return HANDS[kind](fleet, job_id, epoch=epoch)
