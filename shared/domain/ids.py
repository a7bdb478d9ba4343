"""Ids that people read: a snapshot's tells when it was asked for, and sorts by it."""

from __future__ import annotations

import uuid
from datetime import datetime


def new_snapshot_id(now: datetime, random: uuid.UUID) -> str:
    """`20261122T195500Z-3f9a2c`: UTC to the second, and six hex digits against collisions."""
    return f"{now:%Y%m%dT%H%M%SZ}-{random.hex[:6]}"
