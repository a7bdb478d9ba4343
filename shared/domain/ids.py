"""Ids that people read: a snapshot's tells when it was asked for, and sorts by it."""

from __future__ import annotations

import uuid
from datetime import datetime


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
