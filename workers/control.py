"""What a worker hears of whoever speaks to it over Redis: questions, and nothing that changes it.

Celery's remote control knows no rights: whoever may publish there could stop a worker or have it read another
queue. A worker is stopped by a signal, and reads what its command line says.
"""

from __future__ import annotations

from celery.worker.control import Panel

HEARD = frozenset(
    {
        "active",
        "active_queues",
        "clock",
        "conf",
        "dump_active",
        "dump_conf",
        "dump_reserved",
        "dump_revoked",
        "dump_schedule",
        "dump_tasks",
        "enable_events",
        "heartbeat",
        "hello",
        "ping",
        "query_task",
        "registered",
        "report",
        "reserved",
        "revoked",
        "scheduled",
        "stats",
    }
)
"""By the names that Celery has for them; some have two. Flower asks for events, which are sent in any case."""


def keep_only_questions() -> None:
    """For this whole process: commands that change a worker are unknown from now on."""
    for name in set(Panel.data) - HEARD:
        del Panel.data[name]
