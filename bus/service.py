"""The three loops of the bus, each in a thread, until they are told to stop.

A server that is away is waited for. Anything else that a loop dies of ends the process: whoever supervises
it starts it again, and what was begun is found.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from bus.ingest import Ingest
from shared.errors import Unreachable
from shared.heartbeat import Heartbeat
from shared.operations.messages.notifying import Notifier
from shared.operations.messages.relaying import Relay
from shared.signals import AskedToEnd

log = structlog.get_logger(__name__)

PUBLISH_EVERY = timedelta(milliseconds=250)
REST_EVERY = timedelta(seconds=1)
"""A fleet where nothing has happened for a while is looked at less often: most of what a bus at rest costs."""
REST_AFTER = timedelta(seconds=10)
TELL_EACH = 4
"""How many looks that found nothing to publish there are to one for progress."""
TRY_AGAIN_AFTER = timedelta(seconds=1)
NOTIFY_EVERY = timedelta(seconds=1)
BEAT_EVERY = timedelta(seconds=1)
LOOPS = ("ingest", "relay")
"""What the process is there for; that people are told as well must not make it look unwell."""
WELL_FOR = timedelta(seconds=15)
"""How long after its last good turn a loop counts as well: longer than a turn takes."""


class Service:
    """Ingest, relay and notices, side by side."""

    def __init__(
        self, *, ingest: Ingest, relay: Relay, notifier: Notifier, heartbeat: Heartbeat | None = None
    ) -> None:
        self._notifier = notifier
        self._ingest = ingest
        self._relay = relay
        self._heartbeat = heartbeat or Heartbeat(None)
        self._turned_at = dict.fromkeys(LOOPS, -math.inf)
        self._stop = threading.Event()
        self._news = threading.Event()
        self._failures: list[BaseException] = []

    def run(self, *, until: AskedToEnd) -> None:
        """Run until asked to end, then drain. Raises what a loop died of."""
        loops = [
            threading.Thread(target=self._watched, args=(loop,), name=name)
            for name, loop in zip(
                (*LOOPS, "notify"), (self._take_in, self._send_out, self._tell), strict=True
            )
        ]
        for loop in loops:
            loop.start()
        while not until.wait(BEAT_EVERY.total_seconds()) and not self._stop.is_set():
            if min(self._turned_at[name] for name in LOOPS) > time.monotonic() - WELL_FOR.total_seconds():
                self._heartbeat.beat()
        self._end()
        for loop in loops:
            loop.join()
        for failure in self._failures:
            raise failure

    def _watched(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as exc:  # noqa: BLE001 - raised again by the main thread
            self._failures.append(exc)
            self._end()

    def _end(self) -> None:
        self._stop.set()
        self._news.set()  # whoever waits for news is to see it

    def _take_in(self) -> None:
        while not self._stop.is_set():
            if self._patiently(self._ingest.turn):
                self._news.set()
        # What was taken is answered or left to others; a group keeps no reader that is gone.
        self._patiently(self._ingest.stop)

    def _send_out(self) -> None:
        in_vain, awake_until = 0, -math.inf
        while not self._stop.is_set():
            if self._patiently(self._relay.publish):
                awake_until = time.monotonic() + REST_AFTER.total_seconds()
                continue
            in_vain += 1
            if in_vain % TELL_EACH == 0:
                self._patiently(self._relay.tell_progress)
            pause = PUBLISH_EVERY if time.monotonic() < awake_until else REST_EVERY
            self._news.wait(pause.total_seconds())
            self._news.clear()
        # What was written meanwhile goes out too, as far as it goes.
        while self._patiently(self._relay.publish):
            pass

    def _tell(self) -> None:
        while not self._stop.is_set():
            self._patiently(self._notifier.turn)
            self._stop.wait(NOTIFY_EVERY.total_seconds())

    def _patiently(self, turn: Callable[[], int | None]) -> int:
        """One turn; 0 where a server is away, after a pause."""
        try:
            done = turn() or 0
        except Unreachable as exc:
            log.warning("bus_waits", code=exc.code, error=exc.message)
            self._stop.wait(TRY_AGAIN_AFTER.total_seconds())
            return 0
        self._turned_at[threading.current_thread().name] = time.monotonic()
        return done
