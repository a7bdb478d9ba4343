"""The process that answers the REST API. Run one or more, behind a proxy that knows TLS."""

from __future__ import annotations

import sys
import uuid
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import structlog

from api import serving
from api.app import THREADS, create_app
from api.context import Context
from api.permissions import is_loopback
from api.rates import Rates
from api.serving import Closing
from api.watching import Watch
from shared import logs
from shared.broker.app import make_app
from shared.broker.gauge import CeleryGauge
from shared.catalog.revision import check_migrated
from shared.domain.access import Principal, Role
from shared.domain.ids import new_snapshot_id
from shared.errors import Misconfigured, SnapfleetError, Unreachable
from shared.metrics.collector import registry_of
from shared.metrics.exposition import CollectorRegistry
from shared.operations.composition import compose
from shared.operations.fleet import Fleet
from shared.operations.health.readiness import Readiness
from shared.operations.jobs import following
from shared.operations.trust import access
from shared.settings import Settings
from shared.settings.serving import ApiSettings
from shared.streams.redis import RedisStreams

log = structlog.get_logger(__name__)

REDIS_PATIENCE = timedelta(seconds=2)
"""A request is accepted by its row: for the doorbell nobody is made to wait longer."""
ANONYMOUS = Principal(name="anonymous", role=Role.ADMIN)


def main() -> int:
    """Run until SIGTERM or SIGINT, then answer what was asked; 1 with a clear line when it cannot go on."""
    try:
        settings = Settings.from_environment()
        logs.configure(level=settings.log_level, style=settings.log_format)
        refuse_strangers(settings.api)
        fleet = compose(**settings.values(), catalog_connections=THREADS, redis_patience=REDIS_PATIENCE)
        try:
            serve(settings.api, fleet, state=state_of(settings, fleet))
        finally:
            fleet.catalog.close()
    except SnapfleetError as exc:
        sys.stderr.write(f"error: {exc.message}\n" + (f"hint: {exc.hint}\n" if exc.hint else ""))
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def refuse_strangers(settings: ApiSettings) -> None:
    """Nobody from elsewhere may come without a token, and where somebody may, it is said loudly."""
    if settings.anonymous and not is_loopback(settings.host):
        raise Misconfigured(
            f"API_ANONYMOUS: it is set, and {settings.host} is not loopback: anybody could delete everything",
            code="anonymous_elsewhere",
            hint="make tokens (`snapfleet token create`) and unset API_ANONYMOUS, or listen on 127.0.0.1",
        )
    if settings.anonymous and settings.proxies:
        raise Misconfigured(
            "API_ANONYMOUS: it is set, and API_PROXIES names a proxy: whoever comes through it could delete everything",
            code="anonymous_elsewhere",
            hint="make tokens (`snapfleet token create`) and unset API_ANONYMOUS, or have no proxy before it",
        )
    if settings.anonymous:
        log.warning("ANYBODY_ON_THIS_MACHINE_MAY_DO_EVERYTHING", setting="API_ANONYMOUS", host=settings.host)
    elif not is_loopback(settings.host):
        log.warning("tokens_travel_in_the_clear", host=settings.host, hint="put a proxy with TLS before it")


def serve(settings: ApiSettings, fleet: Fleet, *, state: CollectorRegistry) -> None:
    try:
        check_migrated(fleet.catalog)
    except Unreachable as exc:
        # It may come back before we would be started again; until then each request says so.
        log.warning("catalog_away", code=exc.code)
    closing = Closing()
    app = create_app(make_context(settings, fleet, state=state, closing=closing))
    listening = serving.listen(settings.host, settings.port)
    host, port = listening.getsockname()[:2]
    log.info("api_started", host=host, port=port)
    serving.run(app, listening, closing=closing, proxies=settings.proxies)
    log.info("api_stopped")


def state_of(settings: Settings, fleet: Fleet) -> CollectorRegistry:
    """What Prometheus is told, asked for when it asks."""
    redis_url = settings.redis_url.get_secret_value()
    return registry_of(
        fleet,
        gauge=CeleryGauge(make_app(redis_url)),
        streams=RedisStreams.connect(redis_url),
        folder=settings.folder,
        version=version("snapfleet"),
    )


def make_context(
    settings: ApiSettings, fleet: Fleet, *, state: CollectorRegistry, closing: Closing
) -> Context:
    return Context(
        fleet=fleet,
        authenticate=lambda secret: access.authenticate(fleet, secret, datetime.now(UTC)),
        rates=Rates(
            requests_per_minute=settings.requests_per_minute,
            failures_per_minute=settings.failures_per_minute,
        ),
        waiting_jobs=settings.waiting_jobs,
        anonymous=ANONYMOUS if settings.anonymous else None,
        watch=Watch(lambda places: following.hear(fleet, places)),
        readiness=Readiness(fleet),
        clock=lambda: datetime.now(UTC),
        new_job_id=lambda: str(uuid.uuid4()),
        new_snapshot_id=lambda now: new_snapshot_id(now, uuid.uuid4()),
        state=state,
        is_closing=closing,
    )
