"""The composition root of a worker: settings are read once, everything is made from them.

One set per process, made after the fork: no connection is ever shared between two processes.
"""

from __future__ import annotations

import os

from shared.domain.meters import NO_METERS, Meters
from shared.operations.composition import compose
from shared.operations.fleet import Fleet
from shared.settings import Settings


class Resources:
    """Hands out this process's fleet. The pool's children inherit the settings, never a connection."""

    def __init__(self, settings: Settings, meters: Meters = NO_METERS) -> None:
        self.settings = settings
        self._meters = meters
        self._fleet: tuple[int, Fleet] | None = None

    @property
    def fleet(self) -> Fleet:
        pid = os.getpid()
        if self._fleet is None or self._fleet[0] != pid:
            self._fleet = (pid, make_fleet(self.settings, self._meters))
        return self._fleet[1]


def make_fleet(settings: Settings, meters: Meters = NO_METERS) -> Fleet:
    return compose(**settings.values(), meters=meters)
