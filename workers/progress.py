"""How far a task is, for whoever looks at Flower: an event of its own, beside those that Celery sends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import structlog
from celery import Task

from shared.broker.doorbell import LOST

log = structlog.get_logger(__name__)

EVENT = "task-progress"


def teller(task: Task[Any, Any]) -> Callable[[str], None]:
    """What to call with a text. It raises nothing and waits for nobody: a Redis that hangs costs no lease.

    Flower shows the text as the task's result as long as there is no other one.
    """
    # Of the task that runs now: whoever tells has another thread.
    request_id, hostname = task.request.id, task.request.hostname
    telling: list[threading.Thread] = []

    def send(text: str) -> None:
        try:
            with task.app.events.default_dispatcher(hostname=hostname) as dispatcher:
                dispatcher.send(EVENT, uuid=request_id, result=text)
        except LOST as exc:
            log.debug("progress_untold", reason=type(exc).__name__)

    def tell(text: str) -> None:
        if any(thread.is_alive() for thread in telling):
            return
        telling[:] = [threading.Thread(target=send, args=(text,), name="progress", daemon=True)]
        telling[0].start()

    return tell
