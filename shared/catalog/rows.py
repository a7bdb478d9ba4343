"""From rows to the frozen values of the domain: the only way out of this room."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import RowMapping

from shared.domain.increments import HowRead
from shared.domain.job import Job, JobKind, JobState, Step, StepState
from shared.domain.manifest import parse
from shared.domain.snapshot import Reason, Snapshot, SnapshotState

JOB_FIELDS = tuple(f.name for f in fields(Job))
STEP_FIELDS = tuple(f.name for f in fields(Step))
SNAPSHOT_FIELDS = tuple(f.name for f in fields(Snapshot))


def to_job(row: RowMapping) -> Job:
    values = pick(row, JOB_FIELDS)
    return Job(
        **values | {"id": str(row["id"]), "kind": JobKind(row["kind"]), "state": JobState(row["state"])},
    )


def to_step(row: RowMapping) -> Step:
    return Step(**pick(row, STEP_FIELDS) | {"state": StepState(row["state"])})


def to_snapshot(row: RowMapping) -> Snapshot:
    values = pick(row, SNAPSHOT_FIELDS)
    return Snapshot(
        **values
        | {
            "state": SnapshotState(row["state"]),
            "reason": Reason(row["reason"]),
            "suspicions": tuple(row["suspicions"]),
            "how_read": None if row["how_read"] is None else parse(row["how_read"], HowRead),
        },
    )


def pick(row: RowMapping, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names}
