"""Beat begins with what may be due, and keeps nothing."""

from __future__ import annotations

from celery.beat import Scheduler

from beat.main import due_at_once
from shared.broker.app import make_app
from shared.broker.timetable import TIMETABLE


def test_a_beat_that_has_just_started_has_everything_due_and_then_waits() -> None:
    app = make_app("redis://127.0.0.1:1/0")
    app.conf.beat_schedule = due_at_once(TIMETABLE)
    begun = Scheduler(app=app).schedule
    assert begun.keys() == TIMETABLE.keys()
    for name, entry in begun.items():
        assert entry.is_due()[0], name
        assert not entry.next().is_due()[0], name
        assert entry.options == TIMETABLE[name]["options"]
