"""The worker's Celery application, composed from the settings of this process."""

from __future__ import annotations

import logging

from celery import Celery

from shared.broker.app import make_app
from workers import tasks
from workers.resources import Resources


def make_worker_app(resources: Resources) -> Celery:
    """An application with every task registered."""
    app = make_app(resources.settings.redis_url.get_secret_value())
    tasks.register(app, resources)
    logging.getLogger("celery.app.trace").addFilter(is_news)
    return app


def is_news(record: logging.LogRecord) -> bool:
    """Whether something is not told already: a failure that was foreseen says itself what it is, in one line."""
    data: dict[str, str] = getattr(record, "data", {})
    return data.get("description") != "raised expected"
