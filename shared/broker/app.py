"""The Celery application: how messages travel. No task is defined here.

Redis can lose a message and can deliver one twice, whatever is set; so nothing rests on it (see
`docs/job-protocol.md`). The settings keep workers alive and honest through Redis's bad days.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import Celery
from kombu import Queue
from kombu.transport import TRANSPORT_ALIASES

from shared.domain.job import CONTROL_QUEUE, QUEUES

KEY_PREFIX = "snap:"

# By kombu's own table, so that every form of Redis's URL is read, and shown, as ever.
TRANSPORT_ALIASES |= dict.fromkeys(("redis", "rediss"), "shared.broker.transport:Transport")


def make_app(redis_url: str, *, patience: timedelta | None = None) -> Celery:
    """An application of its own: nothing global, so that tests can have several.

    With `patience` it sends a message within about that time, or gives up at once: for whom somebody waits.
    """
    app = Celery("snapfleet", set_as_current=False, autofinalize=False)
    app.conf.update(configuration(redis_url))
    if patience is not None:
        seconds = patience.total_seconds()
        limits = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        app.conf.broker_transport_options = app.conf.broker_transport_options | limits
        app.conf.update(task_publish_retry=False, broker_connection_timeout=seconds)
    app.finalize()
    return app


def configuration(redis_url: str) -> dict[str, Any]:
    return {
        "broker_url": redis_url,
        "broker_transport_options": {
            "global_keyprefix": KEY_PREFIX,
            # Covers only messages that were popped and not yet started; sweeps every 10 s.
            "visibility_timeout": 3600,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 2,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
            # Replays writes: a publish whose reply was lost would be sent twice for nothing.
            "retry_on_timeout": False,
            "client_name": "snapfleet",
        },
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        # The default gives up after 100 tries: a worker that stays dead when Redis is back.
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 5,
        "task_publish_retry": True,
        "task_publish_retry_policy": {
            "max_retries": 3,
            "interval_start": 0.1,
            "interval_step": 0.3,
            "interval_max": 1,
        },
        # The row is the record: no result of a task is stored anywhere.
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # Early ack: with late ack a Redis restart kills workers, loses jobs or runs second copies.
        # Redelivery is the reaper's, faster and fenced.
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_soft_shutdown_timeout": 10.0,
        # Fresh children: what a copy leaves in a heap is not carried along.
        "worker_max_tasks_per_child": 50,
        "worker_max_memory_per_child": 175_000,
        "worker_proc_alive_timeout": 20.0,
        "task_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        "enable_utc": True,
        "timezone": "UTC",
        "task_default_queue": CONTROL_QUEUE,
        "task_queues": [Queue(name) for name in QUEUES],
        # A mistyped queue must fail, not become one that nobody reads.
        "task_create_missing_queues": False,
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "worker_hijack_root_logger": False,
    }
