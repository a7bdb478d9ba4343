"""Beat's three static entries. What is due is decided in the catalog, not here."""

from __future__ import annotations

from typing import Any

from shared.domain.job import CONTROL_QUEUE

TICK_TASK = "fleet.tick"
HOUSEKEEPING_TASK = "fleet.housekeeping"
CANARY_TASK = "fleet.canary"

TICK_SECONDS = 60.0
CANARY_SECONDS = 60.0
HOUSEKEEPING_SECONDS = 3600.0

TIMETABLE: dict[str, dict[str, Any]] = {
    "tick": {
        "task": TICK_TASK,
        "schedule": TICK_SECONDS,
        # One that waited longer than this has a younger one behind it.
        "options": {"queue": CONTROL_QUEUE, "expires": 50},
    },
    "canary": {
        "task": CANARY_TASK,
        "schedule": CANARY_SECONDS,
        "options": {"queue": CONTROL_QUEUE, "expires": 50},
    },
    "housekeeping": {
        "task": HOUSEKEEPING_TASK,
        "schedule": HOUSEKEEPING_SECONDS,
        "options": {"queue": CONTROL_QUEUE, "expires": 3000},
    },
}
