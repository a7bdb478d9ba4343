"""The process that rings the tick and the housekeeping. Run one or two; twice does no harm."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from celery.signals import after_task_publish

from shared import logs
from shared.broker.app import make_app
from shared.broker.timetable import TIMETABLE
from shared.errors import SnapfleetError
from shared.heartbeat import Heartbeat
from shared.operations.composition import compose
from shared.operations.health import starting
from shared.settings import Settings

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def main() -> int:
    """Run until told to stop; 1 with a clear line when it cannot start."""
    try:
        settings = Settings.from_environment()
        logs.configure(level=settings.log_level, style=settings.log_format)
        check(settings)
    except SnapfleetError as exc:
        sys.stderr.write(f"error: {exc.message}\n" + (f"hint: {exc.hint}\n" if exc.hint else ""))
        return 1
    app = make_app(settings.redis_url.get_secret_value())
    app.conf.beat_schedule = due_at_once(TIMETABLE)
    heartbeat = Heartbeat(settings.heartbeat_file)
    after_task_publish.connect(heartbeat.beat, weak=False)
    # Its memory is worth nothing, slots are rows: so it has none, and leaves no file behind however it ends.
    app.Beat(scheduler="celery.beat:Scheduler", loglevel=settings.log_level.upper()).run()
    return 0


def utc_now() -> datetime:
    return datetime.now(UTC)


def check(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> None:
    """Refuse to start where nothing that is sent from here would be run."""
    fleet = compose(**settings.values())
    try:
        starting.refuse_stale_messages(fleet, now=now)
    finally:
        fleet.catalog.close()


def due_at_once(timetable: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """All of it when beat starts: one that is killed again before its first minute is over has ticked too."""
    return {name: {**entry, "last_run_at": LONG_AGO} for name, entry in timetable.items()}
