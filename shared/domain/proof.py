"""When a snapshot is to be proven by a real restore, and how much of it is compared to the bit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zlib import crc32

SMALL_BYTES = 5_000_000_000
"""Raw bytes up to which a proof after every snapshot costs too little to leave it out."""

A_DAY = timedelta(hours=23)
"""A little less than that: a snapshot taken daily at one minute must not find yesterday's still fresh."""


class VerifyPolicy(StrEnum):
    """After which snapshots of a database a proof is due."""

    ALWAYS = "always"
    DAILY = "daily"
    NEVER = "never"
    SIZE = "size"
    """Always for a small one, else daily."""


class Digests(StrEnum):
    """Of which rows, beside their number, the content is compared."""

    ALL = "all"
    SAMPLE = "sample"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A query of the operator's own about a restored database: its rows must begin with a true value."""

    name: str
    """As it is spoken of: the path of its file."""
    sql: str


SAMPLE_BYTES = 64 * 1024 * 1024
"""A table up to this size is sampled whole."""

SAMPLE_ONE_IN = 16


def is_sampled(seed: str, number: int) -> bool:
    """Whether a sample takes this part: one in sixteen, others with each seed, and always the same with one."""
    return crc32(f"{seed}:{number}".encode()) % SAMPLE_ONE_IN == 0


def is_due(
    policy: VerifyPolicy, *, raw_bytes: int, taken_at: datetime, newest_proven: datetime | None
) -> bool:
    """Whether a snapshot is to be proven. `newest_proven` is the moment of the newest one that was."""
    match policy:
        case VerifyPolicy.ALWAYS:
            return True
        case VerifyPolicy.NEVER:
            return False
        case VerifyPolicy.SIZE if raw_bytes <= SMALL_BYTES:
            return True
        case _:
            return newest_proven is None or taken_at - newest_proven >= A_DAY
