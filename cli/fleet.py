"""The composition root of the command line: settings are read once, everything is made from them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from shared import logs
from shared.catalog.revision import check_migrated
from shared.operations.composition import compose
from shared.operations.fleet import Fleet
from shared.settings import Settings
from shared.streams.base import Streams
from shared.streams.redis import RedisStreams


@contextmanager
def opened(*, migrated: bool = True) -> Generator[Fleet]:
    """The fleet that the settings describe. Unless `migrated` is False its catalog is checked first."""
    settings = Settings.from_environment()
    # What goes wrong is told as errors and notes; log lines are for who asks for all of them.
    logs.configure(level="debug" if settings.log_level == "debug" else "critical", style=settings.log_format)
    fleet = make_fleet(settings)
    try:
        if migrated:
            check_migrated(fleet.catalog)
        yield fleet
    finally:
        fleet.catalog.close()


def opened_streams() -> Streams:
    """The streams of the event bus in the Redis that the settings name."""
    return RedisStreams.connect(Settings.from_environment().redis_url.get_secret_value())


def make_fleet(settings: Settings) -> Fleet:
    return compose(**settings.values())
