"""Which snapshot a step takes: the snapshot job its own, a restore the one of what it replaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from shared.domain.job import Job
from shared.domain.snapshot import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """One snapshot to take. What its copy notes for its seal stands under `step`, the step that copies."""

    snapshot_id: str
    reason: Reason
    step: str
    labels: Mapping[str, str] = field(default_factory=dict)
    kept_for: timedelta | None = None
    """How long retention must leave it alone; None for as long as its rules say."""

    @classmethod
    def asked_for(cls, job: Job) -> Taking:
        """The one that a snapshot job is there for."""
        request = job.request
        return cls(
            snapshot_id=request["snapshot_id"],
            reason=Reason(request["reason"]),
            step="copy",
            labels=request["labels"],
        )
