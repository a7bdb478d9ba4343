"""kombu's Redis transport, for queues into which anybody might have pushed anything, and channels likewise.

As it comes, an entry that is no JSON ends the worker's main process, and one whose body is not a task's puts
itself back while it does: every worker then dies of it at its start. Here such an entry is told of and
dropped; nothing is lost by that, for the job that it could have rung for is rung for again.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Any, Literal

import structlog
from kombu.transport import redis
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from shared.domain.job import QUEUES

log = structlog.get_logger(__name__)


class Destination(BaseModel):
    model_config = ConfigDict(strict=True)

    exchange: str
    routing_key: str


class Properties(BaseModel):
    model_config = ConfigDict(strict=True)

    delivery_tag: str
    delivery_info: Destination
    body_encoding: Literal["base64"] | None = None


class Headers(BaseModel):
    compression: None = None
    """We never compress, and what is unpacked may be larger than our memory."""


class Entry(BaseModel):
    """What kombu reads of an entry of a list, or of what is published, before anything catches what it raises."""

    headers: Headers
    properties: Properties
    content_type: Literal["application/json"] = Field(alias="content-type")
    content_encoding: Literal["utf-8"] = Field(alias="content-encoding")
    body: str

    @property
    def told(self) -> bytes:
        """The body as Celery's JSON. Raises ValueError."""
        is_packed = self.properties.body_encoding == "base64"
        return b64decode(self.body) if is_packed else self.body.encode()


class TaskHeaders(Headers):
    """What Celery's main process reads of a task's, likewise."""

    model_config = ConfigDict(strict=True)

    task: str
    id: str
    timelimit: list[float | None] = Field(default=[None, None], min_length=2, max_length=2)


class Message(Entry):
    headers: TaskHeaders


# Celery's second message protocol: positional arguments, named ones, what to do afterwards.
BODY = TypeAdapter(tuple[list[Any], dict[str, Any], dict[str, Any]])


UNREADABLE = (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What kombu's JSON raises of bytes that are none, of types that it knows by name, and of ten thousand brackets."""


class Channel(redis.Channel):
    connection: Any

    def _brpop_read(self, **options: Any) -> Any:
        return self._unless_unreadable(super()._brpop_read, **options)  # type: ignore[misc]  # the stubs leave it out

    def _receive_one(self, c: Any) -> Any:
        return self._unless_unreadable(super()._receive_one, c)  # type: ignore[misc]  # likewise

    def _unless_unreadable(self, read: Callable[..., Any], *given: Any, **options: Any) -> Any:
        """Take one in. What is raised once it was read is no fault of its form, and is not hidden."""
        self.connection.is_delivering = False
        try:
            return read(*given, **options)
        except UNREADABLE as exc:
            if self.connection.is_delivering:
                raise
            log.warning("message_dropped", why=type(exc).__name__)
            return True


class Transport(redis.Transport):
    Channel = Channel
    is_delivering = False

    def _deliver(self, message: Any, queue: str | None) -> None:
        self.is_delivering = True
        # Questions to workers and their answers travel too, in queues of their own and in another form.
        if is_message(message) if queue in QUEUES else is_entry(message):
            super()._deliver(message, queue)
        else:
            log.warning("message_dropped", queue=queue, why="it is no message of ours")


def is_entry(entry: Any) -> bool:
    try:
        Entry.model_validate(entry).told  # noqa: B018  # it raises
    except ValueError:
        return False
    return True


def is_message(entry: Any) -> bool:
    try:
        BODY.validate_json(Message.model_validate(entry).told)
    except ValueError:
        return False
    return True
