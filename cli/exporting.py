"""`snapfleet exporter`: serve the state of the fleet to Prometheus, until SIGTERM."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import structlog
import typer

from cli.fleet import make_fleet
from shared import logs
from shared.broker.app import make_app
from shared.broker.gauge import CeleryGauge
from shared.settings import Settings
from shared.signals import asked_to_end
from shared.streams.redis import RedisStreams

log = structlog.get_logger(__name__)

PORT = 9464


def exporter(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 is any free one.")] = PORT,
) -> None:
    """Serve the state of the fleet as metrics, at http://METRICS_HOST:PORT/metrics, until SIGTERM.

    It runs on while catalog, Redis or storage are away, and says so. Run one or more.
    """
    # Only this command needs them.
    from shared.metrics.collector import registry_of  # noqa: PLC0415 - see above
    from shared.metrics.serving import Server  # noqa: PLC0415 - see above

    with asked_to_end() as asked:
        settings = Settings.from_environment()
        logs.configure(level=settings.log_level, style=settings.log_format)
        redis_url = settings.redis_url.get_secret_value()
        registry = registry_of(
            make_fleet(settings),
            gauge=CeleryGauge(make_app(redis_url)),
            streams=RedisStreams.connect(redis_url),
            folder=settings.folder,
            version=version("snapfleet"),
        )
        server = Server(registry, host=settings.metrics_host, port=port)
        log.info("exporter_started", host=settings.metrics_host, port=server.port)
        asked.wait()
        server.stop()
        log.info("exporter_stopped")
