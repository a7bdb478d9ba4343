"""Values as people read them: sizes, ages, durations, moments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.domain import wording

NOTHING = "-"
"""Stands where there is no value."""

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
STEP = 1000
# From here on a number is shown without its fraction.
LARGE = 10
MINUTE, HOUR, DAY = 60, 3600, 86400
# Up to this many of a unit are told in it: 90 s, 90 min, 36 h.
OF_SMALL, OF_HOURS = 90, 36


def size(count: int | None) -> str:
    """`1.2 GB`; decimal units."""
    if count is None:
        return NOTHING
    value, unit = float(count), 0
    while round(value) >= STEP and unit < len(UNITS) - 1:
        value, unit = value / STEP, unit + 1
    digits = 1 if unit and round(value, 1) < LARGE else 0
    return f"{value:.{digits}f} {UNITS[unit]}"


def number(count: int | None) -> str:
    return NOTHING if count is None else f"{count:,}"


counted = wording.counted


def span(seconds: float) -> str:
    """A duration of any length in one unit: `3 h`."""
    if seconds < OF_SMALL:
        return f"{seconds:.0f} s"
    if seconds < OF_SMALL * MINUTE:
        return f"{seconds / MINUTE:.0f} min"
    if seconds < OF_HOURS * HOUR:
        return f"{seconds / HOUR:.0f} h"
    return f"{seconds / DAY:.0f} d"


def seconds(value: float | None) -> str:
    """How long something took, short ones to a tenth."""
    if value is None:
        return NOTHING
    return f"{value:.1f} s" if value < OF_SMALL else span(value)


def ago(then: datetime | None, now: datetime) -> str:
    """`3 h ago`; what lies ahead by a clock that differs is now."""
    return NOTHING if then is None else f"{span(max(0.0, (now - then).total_seconds()))} ago"


def ahead(then: datetime, now: datetime) -> str:
    """`in 3 h`, or `due`."""
    left = then - now
    return f"in {span(left.total_seconds())}" if left > timedelta() else "due"


def moment(when: datetime | None) -> str:
    """`2026-11-22 19:55:00 UTC`"""
    return NOTHING if when is None else f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def short(job_id: str) -> str:
    """The beginning of a job's id: enough to name it."""
    return job_id[:8]


def line(text: str) -> str:
    """One line without anything that a terminal would obey: names and messages are other people's."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
