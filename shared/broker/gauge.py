"""What waits in Redis, and who is there to take it: asked for at this moment, remembered by nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from celery import Celery

from shared.broker.doorbell import LOST
from shared.domain.job import QUEUES
from shared.errors import Unreachable

ANSWER_WITHIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Messages in each queue, and the workers that take from it: those that answered within a second."""

    waiting: Mapping[str, int]
    takers: Mapping[str, int]
    workers: int


class Gauge(Protocol):
    def read(self) -> Traffic:
        """Raises Unreachable when Redis does not answer."""
        ...


class CeleryGauge:
    """The real one. A worker's main process answers, however busy its pool is."""

    def __init__(self, app: Celery, *, answer_within: timedelta = ANSWER_WITHIN) -> None:
        self._app = app
        self._answer_within = answer_within.total_seconds()

    def read(self) -> Traffic:
        with self._app.connection_for_write() as connection:
            away: tuple[type[Exception], ...] = (*LOST, *errors_of(connection))
            try:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
                channel: Any = connection.default_channel
                waiting = {name: channel.queue_declare(name).message_count for name in QUEUES}
                ask = self._app.control.inspect(timeout=self._answer_within, connection=connection)
                answers = ask.active_queues() or {}
            except away as exc:
                raise Unreachable(
                    "Redis does not answer",
                    code="redis_unreachable",
                    hint="check that it runs and what REDIS_URL says",
                ) from exc
        taken = [{queue["name"] for queue in queues} for queues in answers.values()]
        return Traffic(
            waiting=waiting,
            takers={name: sum(name in names for names in taken) for name in QUEUES},
            workers=len(answers),
        )


def errors_of(connection: Any) -> tuple[type[Exception], ...]:
    """What its own library raises when the server is away; its types say something else."""
    return tuple(connection.connection_errors)
