"""An event as it is published: the envelope of CloudEvents 1.0, and of what we know only the facts.

Facts are picked by name. What a request carried beside them, labels included, stays inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from shared.domain.events import FINDINGS, SOURCE, SPECVERSION, Told, type_of

SEQUENCE_DIGITS = 12

FROM_REQUEST = ("snapshot_id", "restore_job", "to", "safeguard_id")
FROM_RESULT = (
    "snapshot_id",
    "raw_bytes",
    "stored_bytes",
    "new_bytes",
    "row_count",
    "tables",
    "objects",
    "suspicions",
    "removed",
    "deleted_chunks",
    "parked",
    "worst",
)
FROM_EVENT = (
    "snapshot_id",
    "suspicions",
    "compared_with",
    "differences",
    "why",
    "count",
    "first",
    "last",
    "seconds",
    "step",
    "steps",
    "step_number",
    "parts",
    "done_parts",
    "done_bytes",
    "expected_bytes",
    "state",
    "joined",
    "asked_type",
    "entry",
)
FROM_FINDINGS = ("worst", "findings")


def of(told: Told) -> dict[str, Any]:
    """The event as JSON has it. The same for the same event, however often it is sent."""
    envelope: dict[str, Any] = {
        "specversion": SPECVERSION,
        "id": told.id,
        "source": SOURCE,
        "type": type_of(told.type),
        "time": told.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
    }
    if told.database is not None:
        envelope["subject"] = told.database
    if told.sequence is not None:
        # As the extension wants it: a string that sorts as the number does.
        envelope["sequence"] = f"{told.sequence:0{SEQUENCE_DIGITS}d}"
    if told.cause is not None:
        envelope["causationid"] = told.cause.id
        envelope["causationsource"] = told.cause.source
    return envelope | {"data": facts(told)}


def facts(told: Told) -> dict[str, Any]:
    data = told.data
    found: dict[str, Any] = {}
    if told.job_id is not None:
        found["job_id"] = told.job_id
        found["kind"] = data.get("kind") or told.type.partition(".")[0]
    found |= picked(data.get("request") or {}, FROM_REQUEST)
    found |= picked(data.get("result") or {}, FROM_RESULT)
    found |= picked(data, FROM_EVENT)
    if told.type == FINDINGS:
        found |= picked(data, FROM_FINDINGS)
    error = data.get("error")
    if error:
        found["error"] = {name: error.get(name) for name in ("code", "message", "hint")}
    return found


def picked(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in names if values.get(name) is not None}
