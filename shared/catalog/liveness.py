"""Whether a connection that is kept still leads anywhere: looked at before each use, and asked only where in doubt.

A server that ends a connection sends something: its reason, or the end of the stream. So where nothing is waiting to
be read, and the server answered a moment ago, the question would be one round trip more for each transaction, and a
fifth of all. A network that went away silently tells nobody: after a pause the server is asked.
"""

from __future__ import annotations

import select
import time
from typing import Any

import psycopg
from sqlalchemy import Pool, event
from sqlalchemy.exc import DisconnectionError

ANSWERED = "snapfleet answered at"
FRESH_SECONDS = 5.0


def watch(pool: Pool) -> None:
    """Have every connection of this pool looked at when it is taken out; one that leads nowhere is replaced."""
    event.listen(pool, "checkout", refuse_dead)
    event.listen(pool, "checkin", note_alive)


def refuse_dead(connection: psycopg.Connection[Any], record: Any, _proxy: object) -> None:
    """Raises DisconnectionError, upon which the pool opens another one."""
    answered_at = record.info.get(ANSWERED)
    if answered_at is None:  # new
        return
    if time.monotonic() - answered_at < FRESH_SECONDS and not has_something_to_say(connection):
        return
    try:
        connection.execute("select 1")
        connection.rollback()
    except psycopg.Error as exc:
        raise DisconnectionError from exc


def note_alive(connection: psycopg.Connection[Any] | None, record: Any) -> None:
    if connection is not None and not connection.closed:
        record.info[ANSWERED] = time.monotonic()


def has_something_to_say(connection: psycopg.Connection[Any]) -> bool:
    """Unasked: that it ends, or how it was ended."""
    try:
        waiting = select.poll()
        waiting.register(connection.pgconn.socket, select.POLLIN)
        return bool(waiting.poll(0))
    except (psycopg.Error, OSError):
        return True
