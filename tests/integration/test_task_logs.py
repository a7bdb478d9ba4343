"""What a worker's log says of tasks that fail: one line for what was foreseen, a traceback for what was not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from structlog.testing import capture_logs

from shared.broker.app import make_app
from shared.broker.doorbell import step_task
from shared.broker.timetable import TICK_TASK
from shared.domain.job import JobKind
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import InlineFleet
from workers import tasks
from workers.app import is_news
from workers.resources import Resources

Maker = Callable[..., str]


class Given(Resources):
    """A fleet that is there already."""

    def __init__(self, fleet: Fleet) -> None:
        self._given = fleet

    @property
    def fleet(self) -> Fleet:
        return self._given


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[int, bool]]]:
    """Level, and whether with a traceback, of each line of Celery's own that reaches the log."""
    caplog.set_level(logging.INFO, logger="celery.app.trace")
    return lambda: [
        (record.levelno, record.exc_info is not None) for record in caplog.records if is_news(record)
    ]


def app_of(fleet: InlineFleet) -> Celery:
    app = make_app("redis://127.0.0.1:1/0")
    tasks.register(app, Given(fleet.fleet))
    return app


def run_first_step(fleet: InlineFleet, app: Celery, kind: JobKind, request: dict[str, Any]) -> None:
    job_id = fleet.submit(kind, request).id
    [job] = [job for job in fleet.bell.rung if job.id == job_id]
    task = app.tasks[step_task(kind, job.step or "")]
    task.apply(kwargs={"job_id": job_id, "epoch": job.epoch, "seq": job.next_seq})


def test_a_refusal_is_one_warning_without_a_traceback(
    inline: Inline, database: Maker, told: Callable[[], list[tuple[int, bool]]]
) -> None:
    fleet = inline(database())
    gone = requests.restore_request(snapshot_id="20261122t195500z-gone")
    with capture_logs() as lines:
        run_first_step(fleet, app_of(fleet), JobKind.RESTORE, gone)
    [line] = [line for line in lines if line["log_level"] not in {"info", "debug"}]
    assert (line["event"], line["log_level"], line["code"]) == ("step_failed", "warning", "snapshot_unknown")
    assert not line.get("exc_info")
    assert told() == []


def test_what_nobody_foresaw_is_one_error_with_a_traceback(
    inline: Inline, database: Maker, told: Callable[[], list[tuple[int, bool]]]
) -> None:
    fleet = inline(database())
    with capture_logs() as lines:
        run_first_step(fleet, app_of(fleet), JobKind.RESTORE, {})
    [line] = [line for line in lines if line["log_level"] not in {"info", "debug"}]
    assert (line["event"], line["log_level"], line["code"]) == ("step_failed", "error", "internal")
    assert isinstance(line["exc_info"], KeyError)
    assert told() == []


def test_a_duty_that_fails_is_one_warning(
    inline: Inline, database: Maker, told: Callable[[], list[tuple[int, bool]]]
) -> None:
    fleet = inline(database())
    with fleet.fleet.catalog.engine.begin() as catalog:
        catalog.exec_driver_sql("drop table job cascade")
    with capture_logs() as lines:
        app_of(fleet).tasks[TICK_TASK].apply()
    [line] = [line for line in lines if line["log_level"] not in {"info", "debug"}]
    assert (line["event"], line["log_level"]) == ("task_failed", "warning")
    assert (line["task"], line["code"]) == (TICK_TASK, "catalog_not_migrated")
    assert told() == []
