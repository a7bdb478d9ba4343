"""What this worker counts, served by its main process."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import structlog
from billiard.process import current_process

from shared.domain.meters import NO_METERS, Meters
from shared.metrics.folder import own_folder
from shared.metrics.rates import Rates
from shared.metrics.serving import Server

log = structlog.get_logger(__name__)


def slot() -> str:
    """This process's place in the pool; a process that takes a dead one's place has the same."""
    return str(getattr(current_process(), "index", "main"))


@contextmanager
def measured(*, host: str, port: int | None) -> Generator[Meters]:
    """Meters for this process and those that it forks, at http://host:port/metrics; none without a port."""
    if port is None:
        yield NO_METERS
        return
    with own_folder() as folder:
        rates = Rates(folder, slot=slot)
        server = Server(rates.registry(), host=host, port=port)
        log.info("metrics_served", host=host, port=server.port)
        try:
            yield rates
        finally:
            server.stop()
