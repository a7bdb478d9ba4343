"""`snapfleet flower`: Celery's own page about tasks and workers, to look at and not to touch."""

from __future__ import annotations

import logging
import signal
from typing import Annotated

import structlog
import typer

from shared import logs
from shared.broker.app import make_app
from shared.errors import Misconfigured
from shared.settings import Settings

log = structlog.get_logger(__name__)

USER = "snapfleet"
PORT = 5555
# A task leaves a hundred bytes or so of state here; older ones are forgotten.
TASKS_REMEMBERED = 20_000
COLUMNS = "name,uuid,state,args,result,received,started,runtime,worker"


def flower(
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 is any free one.")] = PORT,
) -> None:
    """Show tasks and workers in a browser, read-only, to `snapfleet` with FLOWER_PASSWORD, until SIGTERM.

    Without TLS of its own: elsewhere than on this machine put it behind a proxy that has it.
    """
    # Only this command needs them, and they take their time.
    from flower.app import Flower  # noqa: PLC0415 - see above
    from flower.urls import settings as page_settings  # noqa: PLC0415 - see above
    from tornado.options import options  # noqa: PLC0415 - see above

    settings = Settings.from_environment()
    logs.configure(level=settings.log_level, style=settings.log_format)
    if settings.flower_password is None:
        raise Misconfigured(
            "FLOWER_PASSWORD is not set, and Flower is open to nobody without one",
            code="flower_without_password",
            hint="set FLOWER_PASSWORD, or FLOWER_PASSWORD_FILE to a file that holds it",
        )
    # Flower reads its options there and nowhere else; of its own variables and files none are read.
    options.address, options.port = host, port
    options.basic_auth = [f"{USER}:{settings.flower_password.get_secret_value()}"]
    options.read_only = True
    options.persistent = False
    options.max_tasks = TASKS_REMEMBERED
    options.tasks_columns = COLUMNS
    # A line for each answer to Prometheus says nothing.
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
    app = Flower(capp=make_app(settings.redis_url.get_secret_value()), options=options, **page_settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: app.io_loop.add_callback_from_signal(app.stop))
    try:
        taken = app.start_http_server()
    except OSError as exc:
        raise Misconfigured(
            f"Flower cannot listen on {host}:{port}: {exc.strerror}",
            code="flower_port_taken",
            hint="give another --port",
        ) from exc
    log.info("flower_started", host=host, port=taken)
    app.start()
    log.info("flower_stopped")
