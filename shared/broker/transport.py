"""kombu's Redis transport, for a queue into which anybody might have pushed anything.

As it comes, an entry that is no JSON ends the worker's main process, and one whose body is not a task's puts
itself back while it does: every worker then dies of it at its start. Here such an entry is told of and
dropped; nothing is lost by that, for the job that it could have rung for is rung for again.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import structlog
from kombu.transport import redis
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from shared.domain.job import QUEUES

log = structlog.get_logger(__name__)


class Headers(BaseModel):
    model_config = ConfigDict(strict=True)

    task: str
    id: str


class Properties(BaseModel):
    model_config = ConfigDict(strict=True)

    delivery_tag: str
    delivery_info: dict[str, Any]
    body_encoding: str | None = None


class Entry(BaseModel):
    """What kombu reads of an entry of a list, before it looks at anything that Celery checks."""

    headers: Headers
    properties: Properties
    body: str

    @property
    def told(self) -> bytes:
        """The body as Celery's JSON. Raises ValueError."""
        is_packed = self.properties.body_encoding == "base64"
        return b64decode(self.body) if is_packed else self.body.encode()


# Celery's second message protocol: positional arguments, named ones, what to do afterwards.
BODY = TypeAdapter(tuple[list[Any], dict[str, Any], dict[str, Any]])


class Channel(redis.Channel):
    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs leave it out
        except ValueError as exc:  # no UTF-8, or no JSON
            log.warning("message_dropped", why=type(exc).__name__)
            return True


class Transport(redis.Transport):
    Channel = Channel

    def _deliver(self, message: Any, queue: str | None) -> None:
        # Questions to workers and their answers travel too, in queues of their own and in another form.
        if queue not in QUEUES or is_message(message):
            super()._deliver(message, queue)
        else:
            log.warning("message_dropped", queue=queue, why="it is no task's message")


def is_message(entry: Any) -> bool:
    try:
        BODY.validate_json(Entry.model_validate(entry).told)
    except (ValidationError, ValueError):
        return False
    return True
