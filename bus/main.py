"""The process that takes requests in and sends events out. Run one or more: requests are shared, one relays."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from datetime import UTC, datetime

import structlog

from bus.ingest import Ingest
from bus.service import Service
from shared import logs
from shared.domain.ids import new_snapshot_id
from shared.errors import SnapfleetError
from shared.heartbeat import Heartbeat
from shared.notices.apprise import AppriseSender
from shared.operations.composition import compose
from shared.operations.fleet import Fleet
from shared.operations.health import starting
from shared.operations.messages.intake import Desk
from shared.operations.messages.notifying import Notifier
from shared.operations.messages.relaying import Relay
from shared.settings import Settings
from shared.signals import AskedToEnd, asked_to_end
from shared.streams.redis import RedisStreams

log = structlog.get_logger(__name__)


def main() -> int:
    """Run until SIGTERM or SIGINT, then finish what is in hand; 1 with a clear line when it cannot go on."""
    try:
        with asked_to_end() as asked:
            settings = Settings.from_environment()
            logs.configure(level=settings.log_level, style=settings.log_format)
            serve(settings, until=asked)
    except SnapfleetError as exc:
        sys.stderr.write(f"error: {exc.message}\n" + (f"hint: {exc.hint}\n" if exc.hint else ""))
        return 1
    return 0


def serve(settings: Settings, *, until: AskedToEnd) -> None:
    fleet = compose(**settings.values())
    try:
        check(fleet)
        log.info("bus_started", allowed=sorted(settings.bus_allow))
        make_service(settings, fleet).run(until=until)
        log.info("bus_stopped")
    finally:
        fleet.catalog.close()


def check(fleet: Fleet) -> None:
    """Refuse to start where requests would be judged wrongly."""
    starting.refuse_unfit(fleet, now=lambda: datetime.now(UTC))


def make_service(settings: Settings, fleet: Fleet) -> Service:
    streams = RedisStreams.connect(settings.redis_url.get_secret_value())
    desk = Desk(
        fleet=fleet,
        allowed=settings.bus_allow,
        new_job_id=lambda: str(uuid.uuid4()),
        new_snapshot_id=lambda now: new_snapshot_id(now, uuid.uuid4()),
    )
    # A name of its own each time: what a former process left under its name is taken over by the rules.
    reader = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    ingest = Ingest(desk=desk, streams=streams, reader=reader, clock=lambda: datetime.now(UTC))
    return Service(
        ingest=ingest,
        relay=Relay(catalog=fleet.catalog, streams=streams, keep=settings.bus_keep_events),
        notifier=Notifier(
            catalog=fleet.catalog,
            hooks=settings.hooks,
            senders={hook.name: AppriseSender(hook.name, hook.url) for hook in settings.hooks},
        ),
        heartbeat=Heartbeat(settings.heartbeat_file),
    )
