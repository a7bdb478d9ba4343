"""When a database is due: slots are UTC instants, and each is due exactly once.

A schedule says what the slots are; `due` says which of them lie between the last one recorded and
now. The newest of these is to be run, the older ones are recorded as missed: a beat that was down
for a day costs one run, not four.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from hashlib import sha256
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from shared.errors import Misconfigured

SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(days=366)
DEFAULT_EVERY = timedelta(hours=6)
MOST_MISSED = 1_000
MOST_LOOKED_AT = 10_000
WEEK = timedelta(days=8)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """A slot each `every`, counted from 1970 in UTC and moved by `phase`."""

    every: timedelta
    phase: timedelta

    def __post_init__(self) -> None:
        if not SHORTEST <= self.every <= LONGEST:
            raise Misconfigured(f"an interval of {self.every} is not between 1 minute and 366 days")
        if not timedelta() <= self.phase < self.every:
            raise Misconfigured(f"a phase of {self.phase} does not lie within {self.every}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A five-field cron expression on the clocks of `zone`, an IANA name.

    At fixed hours it runs once a day whatever the clocks do, as Debian's cron does: what falls into
    the hour that spring skips runs right after it, what falls into the hour that autumn repeats runs
    the first time only.
    """

    expression: str
    zone: str

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (OSError, ValueError, LookupError) as exc:  # what it raises depends on how odd the name is
            raise Misconfigured(
                f"{self.zone!r} is no time zone known here", hint="an IANA name such as Europe/Berlin or UTC"
            ) from exc
        if not _is_ever_due(self.expression):
            raise Misconfigured(
                f"{self.expression!r} is no cron expression that is ever due",
                hint="minute hour day-of-month month day-of-week, such as 30 2 * * *",
            )


Schedule = Every | Cron


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The slot to run now, if any, and the older ones that nobody ran, oldest first."""

    latest: datetime | None
    missed: tuple[datetime, ...]


def due(schedule: Schedule, *, after: datetime, now: datetime) -> Due:
    """The slots in (after, now]. Of those missed, the newest 1,000 are told.

    `after` is the newest slot recorded, or for a new database the moment it became known: there is no
    catching up on the time before that.
    """
    slots = list(_slots(schedule, after.astimezone(UTC), now.astimezone(UTC)))
    return Due(latest=slots[-1], missed=tuple(slots[:-1])) if slots else Due(latest=None, missed=())


def next_slot(schedule: Schedule, now: datetime) -> datetime:
    """The first slot after `now`."""
    if isinstance(schedule, Cron):
        return next(_cron_slots(schedule, now.astimezone(UTC)))
    return _every_slot(schedule, _every_index(schedule, now) + 1)


def last_slot(every: Every, now: datetime) -> datetime:
    """The last slot until `now`."""
    return _every_slot(every, _every_index(every, now))


def longest_gap(schedule: Schedule, now: datetime) -> timedelta:
    """The longest time between two slots that follow each other, within about a week of `now`.

    What a snapshot's age is measured by: a schedule of working hours has nights and weekends.
    """
    if isinstance(schedule, Cron):
        return _longest_cron_gap(schedule, now.astimezone(UTC).date())
    return schedule.every


def phase_of(name: str, every: timedelta) -> timedelta:
    """Where in its interval the database of this name is due: spread evenly, the same for ever."""
    return timedelta(seconds=int.from_bytes(sha256(name.encode()).digest()[:8]) % int(every.total_seconds()))


def parse_every(text: str) -> timedelta:
    """An interval such as `6h`; Misconfigured if it is no duration or shorter than a minute."""
    interval = parse_duration(text)
    if interval < SHORTEST:
        raise Misconfigured(f"{text!r} is shorter than a minute", hint="at least 1m")
    return interval


def parse_duration(text: str) -> timedelta:
    """A duration such as `90s`, `30m`, `6h` or `1d`, up to 366 days."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text.strip())
    if match is None:
        raise Misconfigured(f"{text!r} is no duration", hint="a number and a unit: 90s, 30m, 6h, 1d")
    duration = timedelta(**{UNITS[match[2]]: int(match[1])})
    if duration > LONGEST:
        raise Misconfigured(f"{text!r} is longer than 366 days", hint="at most 366d")
    return duration


def _slots(schedule: Schedule, after: datetime, now: datetime) -> Iterator[datetime]:
    if isinstance(schedule, Cron):
        yield from _newest_cron_slots(schedule, after, now)
        return
    last = _every_index(schedule, now)
    first = max(_every_index(schedule, after) + 1, last - MOST_MISSED)
    yield from (_every_slot(schedule, index) for index in range(first, last + 1))


def _every_index(schedule: Every, moment: datetime) -> int:
    return (moment - EPOCH - schedule.phase) // schedule.every


def _every_slot(schedule: Every, index: int) -> datetime:
    return EPOCH + schedule.phase + index * schedule.every


def _is_ever_due(expression: str) -> bool:
    try:
        next(CronSim(expression, EPOCH))
    except (CronSimError, StopIteration):
        return False
    return len(expression.split()) == 5  # noqa: PLR2004 -- cronsim takes a sixth field, seconds; we do not


@lru_cache(maxsize=4096)
def _longest_cron_gap(schedule: Cron, day: date) -> timedelta:
    """Asked for often, and the same all day."""
    begin = datetime.combine(day, time(tzinfo=UTC)) - WEEK
    some = islice(_cron_slots(schedule, begin), MOST_LOOKED_AT)
    few = list(islice(some, 3))
    slots = [*few, *takewhile(lambda slot: slot < begin + 2 * WEEK, some)]
    return max(later - earlier for earlier, later in pairwise(slots))


def _newest_cron_slots(schedule: Cron, after: datetime, now: datetime) -> deque[datetime]:
    """Look back further and further, so that a long absence under a busy schedule stays cheap."""
    window = timedelta(days=1)
    while True:
        start = max(after, now - window)
        found: deque[datetime] = deque(maxlen=MOST_MISSED + 1)
        for slot in _cron_slots(schedule, start):
            if slot > now:
                break
            found.append(slot)
        if start == after or len(found) == found.maxlen:
            return found
        window *= 4


def _cron_slots(schedule: Cron, after: datetime) -> Iterator[datetime]:
    # Started within the repeated hour, cronsim names the first passage again: it is not after `after`.
    slots = CronSim(schedule.expression, after.astimezone(ZoneInfo(schedule.zone)))
    return (slot for found in slots if (slot := found.astimezone(UTC)) > after)
