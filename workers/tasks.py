"""The tasks: one per step, one rollback per kind of job, the hands, and beat's three duties.

Each is a thin shell: ids in, one operation, out. `Ignore` ends a chain whose turn it is not, without
any errback; an exception makes the errback roll back.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import structlog
from celery import Celery, Task
from celery.exceptions import Ignore

from shared.broker.doorbell import hand_task, rollback_task, step_task
from shared.broker.timetable import CANARY_TASK, HOUSEKEEPING_TASK, TICK_TASK
from shared.domain.ids import new_snapshot_id
from shared.domain.job import CONTROL_QUEUE, SAGAS, JobKind
from shared.errors import SnapfleetError
from shared.operations import steps
from shared.operations.health import readiness
from shared.operations.jobs import saga
from shared.operations.upkeep import schedule
from workers import progress
from workers.resources import Resources

log = structlog.get_logger(__name__)


class FleetTask(Task[Any, Any]):
    """Says in one line why it failed. What nobody foresaw is left to Celery, which adds the traceback."""

    throws = (SnapfleetError, saga.Told)

    def on_failure(self, exc: Exception, *_: Any, **__: Any) -> None:
        if isinstance(exc, SnapfleetError):
            log.warning("task_failed", task=self.name, code=exc.code, error=exc.message)


def register(app: Celery, resources: Resources) -> None:
    """Give the application its tasks."""
    for kind, spec in SAGAS.items():
        for name in spec.steps:
            register_step(app, resources, step_task(kind, name))
        register_rollback(app, resources, rollback_task(kind))
    for kind in sorted(steps.HANDED):
        register_hand(app, resources, kind)
    register_duties(app, resources)


def register_step(app: Celery, resources: Resources, name: str) -> None:
    @app.task(name=name, base=FleetTask, bind=True, shared=False)
    def run_step(task: Task[Any, Any], job_id: str, epoch: int, seq: int) -> None:
        tell = progress.teller(task)
        if not saga.run_step(steps.STEPS, job_id, epoch=epoch, seq=seq, fleet=resources.fleet, tell=tell):
            raise Ignore


def register_rollback(app: Celery, resources: Resources, name: str) -> None:
    # Bound: an unbound errback may be run inside the worker's main process.
    @app.task(name=name, base=FleetTask, bind=True, shared=False)
    def roll_back(_task: Task[Any, Any], job_id: str, epoch: int) -> None:
        saga.roll_back(steps.STEPS, job_id, epoch=epoch, fleet=resources.fleet)


def register_hand(app: Celery, resources: Resources, kind: JobKind) -> None:
    @app.task(name=hand_task(kind), base=FleetTask, bind=True, shared=False)
    def take_parts(_task: Task[Any, Any], job_id: str, epoch: int) -> None:
        steps.help_out(job_id, epoch=epoch, fleet=resources.fleet)


def register_duties(app: Celery, resources: Resources) -> None:
    @app.task(name=TICK_TASK, base=FleetTask, bind=True, shared=False)
    def tick(_task: Task[Any, Any]) -> None:
        schedule.tick(resources.fleet, new_job_id=new_id, new_snapshot_id=snapshot_id_at)

    @app.task(name=HOUSEKEEPING_TASK, base=FleetTask, bind=True, shared=False)
    def housekeeping(_task: Task[Any, Any]) -> None:
        schedule.housekeeping(resources.fleet)

    @app.task(name=CANARY_TASK, base=FleetTask, bind=True, shared=False)
    def canary(_task: Task[Any, Any]) -> None:
        readiness.sing(resources.fleet, queue=CONTROL_QUEUE)


def new_id() -> str:
    return str(uuid.uuid4())


def snapshot_id_at(now: datetime) -> str:
    return new_snapshot_id(now.astimezone(UTC), uuid.uuid4())
