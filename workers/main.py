"""One worker process with its pool, on all queues or on some."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from celery import Celery
from celery.signals import heartbeat_sent, worker_before_create_process
from celery.utils.nodenames import default_nodename, host_format

from shared import failpoints, logs
from shared.domain.ids import new_probe_id
from shared.domain.job import QUEUES
from shared.errors import SnapfleetError
from shared.heartbeat import Heartbeat
from shared.operations.health import starting
from shared.settings import Settings
from workers import control, memory
from workers.app import make_worker_app
from workers.measuring import measured
from workers.resources import Resources, make_fleet

log = structlog.get_logger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run until told to stop; 1 with a clear line when it cannot start."""
    options = parser().parse_args(argv)
    try:
        settings = Settings.from_environment(for_faults=options.failpoints)
        logs.configure(level=settings.log_level, style=settings.log_format)
        check(settings)
    except SnapfleetError as exc:
        return refuse(exc)
    if settings.failpoints is not None:
        failpoints.arm(settings.failpoints)
    memory.give_back_freed()
    worker_before_create_process.connect(memory.settle)
    control.keep_only_questions()
    # Sent over its connection to Redis, by the loop that takes the messages.
    heartbeat_sent.connect(Heartbeat(settings.heartbeat_file).beat, weak=False)
    try:
        with measured(host=settings.metrics_host, port=options.metrics_port) as meters:
            run(make_worker_app(Resources(settings, meters)), options, settings)
    except SnapfleetError as exc:
        return refuse(exc)
    return 0


def run(app: Celery, options: argparse.Namespace, settings: Settings) -> None:
    """Work until told to stop.

    Not by `worker_main`: Celery's own command line, and the commands of others that it asks for (Flower's, with
    its web server), take 12 MB of every process and a tenth of a second.
    """
    app.Worker(
        hostname=host_format(default_nodename(f"{options.name}@%h")),
        concurrency=options.concurrency or settings.worker_concurrency,
        queues=options.queues,
        without_gossip=True,
        without_mingle=True,
        loglevel=settings.log_level.upper(),
    ).start()


def refuse(exc: SnapfleetError) -> int:
    sys.stderr.write(f"error: {exc.message}\n" + (f"hint: {exc.hint}\n" if exc.hint else ""))
    return 1


def utc_now() -> datetime:
    return datetime.now(UTC)


def check(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> None:
    """Refuse to start where nothing could succeed, or where what succeeds could be lost."""
    fleet = make_fleet(settings)
    try:
        starting.refuse_unfit(fleet, now=now)
        seen = fleet.repository.storage.check(probe_id=new_probe_id(now(), uuid.uuid4()))
        if seen.warning:
            log.warning("repository_capabilities", warning=seen.warning)
    finally:
        fleet.catalog.close()


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    made.add_argument("--concurrency", type=int, help="processes of the pool (default: WORKER_CONCURRENCY)")
    made.add_argument("--metrics-port", type=int, help="serve metrics there, at METRICS_HOST (default: not)")
    made.add_argument("--name", default="worker", help="unlike any other worker's on this host")
    made.add_argument("--failpoints", action="store_true", help="for fault tests only")
    made.add_argument("--queues", default=",".join(QUEUES), help="default: all of %(default)s")
    return made
