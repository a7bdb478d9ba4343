"""Ids that people read: a snapshot's tells when it was asked for, and sorts by it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from datetime import datetime

PLAN_DIGITS = 24


def new_snapshot_id(now: datetime, random: uuid.UUID) -> str:
    """`20261122T195500Z-3f9a2c`: UTC to the second, and six hex digits against collisions."""
    return f"{now:%Y%m%dT%H%M%SZ}-{random.hex[:6]}"


def new_probe_id(now: datetime, random: uuid.UUID) -> str:
    """The same with all 32 digits: of a probe in storage, which tells its age to whoever finds it left."""
    return f"{now:%Y%m%dT%H%M%SZ}-{random.hex}"


def moment_of(given: str) -> datetime | None:
    """When such an id was made; None for what is none."""
    try:
        return datetime.strptime(given.partition("-")[0], "%Y%m%dT%H%M%S%z")
    except ValueError:
        return None


def plan_id(what: str, facts: Iterable[str | bool | None]) -> str:
    """Of a look at these facts: who looks again and sees the same gets the same id."""
    text = json.dumps([what, *facts])
    return hashlib.sha256(text.encode()).hexdigest()[:PLAN_DIGITS]
