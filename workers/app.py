"""The worker's Celery application, composed from the settings of this process."""

from __future__ import annotations

from celery import Celery

from shared.broker.app import make_app
from workers import tasks
from workers.resources import Resources


def make_worker_app(resources: Resources) -> Celery:
    """An application with every task registered."""
    app = make_app(resources.settings.redis_url.get_secret_value())
    tasks.register(app, resources)
    return app
