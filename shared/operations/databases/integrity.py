"""What is wrong inside one live database, as findings. Looks only, and for no longer than it is given."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.findings import Finding, Severity, found
from shared.domain.wording import counted
from shared.postgres import inspection, integrity
from shared.postgres.integrity import ForeignKey, NotSeen, Unreadable
from shared.postgres.session import Session

WRAPAROUND_WARNING, WRAPAROUND_ERROR = 1_000_000_000, 1_600_000_000
"""Of about two billion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long looking may take. `check` is called between two looks, and raises to stop."""

    each: timedelta
    until: float
    """By the monotonic clock; what comes later is not looked at."""
    check: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, *, each: timedelta, total: timedelta, check: Callable[[], None] = lambda: None) -> Budget:
        return cls(each=each, until=time.monotonic() + total.total_seconds(), check=check)

    def next(self) -> timedelta:
        """For the next look. Raises NotSeen when there is no time left."""
        self.check()
        left = self.until - time.monotonic()
        if left <= 0:
            raise NotSeen("no time was left")
        return min(self.each, timedelta(seconds=left))


def look(session: Session, budget: Budget) -> Iterator[Finding]:
    """Definitions, the rows behind them, and what the server has counted."""
    yield from rights(session)
    yield from definitions(session)
    yield from references(session, budget)
    yield from sequences(session, budget)
    yield from counters(session)


def rights(session: Session) -> Iterator[Finding]:
    closed = inspection.unreadable(session)
    if closed:
        what = f"this role may not read {inspection.first_of(closed)}"
        yield found("not_readable", session.info.user, what, amount=len(closed))


def definitions(session: Session) -> Iterator[Finding]:
    for name in inspection.invalid_indexes(session):
        yield found("invalid_index", name, f"index {name} is invalid")
    for name in integrity.uncounted_indexes(session):
        yield found("uncounted_index", name, f"index {name} is invalid, though every partition has its own")
    for name in integrity.unvalidated_constraints(session):
        table, _, constraint = name.partition(": ")
        yield found("constraint_not_validated", name, f"constraint {constraint} of {table} is not validated")
    for name in integrity.unlogged_tables(session):
        yield found("unlogged_table", name, f"table {name} is unlogged")


def references(session: Session, budget: Budget) -> Iterator[Finding]:
    """Rows that refer to none, behind every foreign key, whether its triggers are on or off."""
    unseen = Unseen("foreign keys", "not searched for orphan rows")
    for key in integrity.foreign_keys(session):
        subject = f"{key.child_schema}.{key.child_name}: {key.name}"
        if key.is_disabled:
            yield found(
                "foreign_key_disabled", subject, f"the triggers of foreign key {subject} are disabled"
            )
        try:
            yield from orphans(session, key, subject, budget)
        except NotSeen as exc:
            unseen.add(subject, exc)
    yield from unseen.told()


def orphans(session: Session, key: ForeignKey, subject: str, budget: Budget) -> Iterator[Finding]:
    if key.is_temporal:
        raise NotSeen("it refers to periods")
    with integrity.within(session, budget.next()):
        count = integrity.orphans(session, key)
    if count:
        about = f"{count:,} or more rows" if count == integrity.ENOUGH else counted(count, "row")
        sampled = " of a sample" if key.share is not None else ""
        parent = f"{key.parent_schema}.{key.parent_name}"
        what = (
            f"{about}{sampled} of {key.child_schema}.{key.child_name} refer to none of {parent} ({key.name})"
        )
        yield found("orphan_rows", subject, what, amount=count)
    elif key.share is not None:
        raise NotSeen(f"a sample of {key.share:.2g} % is in order")


def sequences(session: Session, budget: Budget) -> Iterator[Finding]:
    unseen = Unseen("sequences", "not compared with their columns")
    for filling in integrity.sequence_columns(session):
        column = f"{filling.table_schema}.{filling.table_name}.{filling.column_name}"
        subject = f"{filling.schema}.{filling.name}: {column}"
        try:
            with integrity.within(session, budget.next()):
                values = integrity.behind(session, filling)
        except NotSeen as exc:
            unseen.add(subject, exc)
            continue
        if values is not None:
            what = f"sequence {filling.schema}.{filling.name} is {values:,} behind {column}"
            yield found("sequence_behind", subject, what, amount=values)
    yield from unseen.told()


def counters(session: Session) -> Iterator[Finding]:
    health = integrity.health(session)
    if health.checksum_failures:
        what = f"{counted(health.checksum_failures, 'page')} had a wrong checksum when read"
        yield found("checksum_failures", "pages", what, amount=health.checksum_failures)
    for subject, age in (("transactions", health.transactions), ("multixacts", health.multixacts)):
        if age >= WRAPAROUND_WARNING:
            severity = Severity.ERROR if age >= WRAPAROUND_ERROR else Severity.WARNING
            what = f"the oldest {subject} are {age:,} back, of about two billion"
            yield found("wraparound_near", subject, what, severity=severity)


def indexes(session: Session, budget: Budget) -> Iterator[Finding]:
    """Every btree index by amcheck, the smallest first."""
    schema = integrity.amcheck_schema(session)
    if schema is None:
        yield found("indexes_not_checked", "amcheck", "amcheck is not installed in this database")
        return
    unseen = Unseen("indexes", "not checked")
    for index in integrity.btree_indexes(session):
        try:
            with integrity.within(session, budget.next()):
                trouble = integrity.damage(session, index, schema=schema)
        except NotSeen as exc:
            unseen.add(index.name, exc)
            continue
        if trouble is not None:
            yield found("index_damaged", index.name, f"index {index.name}: {trouble}")
    yield from unseen.told()


class Unseen:
    """What was not looked at, told in one finding; and what could not be, because it is damaged."""

    def __init__(self, things: str, fate: str) -> None:
        self._things = things
        self._fate = fate
        self._names: list[str] = []
        self._why = ""
        self._damaged: list[Finding] = []

    def add(self, name: str, why: NotSeen) -> None:
        if isinstance(why, Unreadable):
            self._damaged.append(found("data_damaged", name, f"{name}: {why}"))
            return
        self._why = self._why or str(why)
        self._names.append(name)

    def told(self) -> Iterator[Finding]:
        yield from self._damaged
        if self._names:
            more = f", and {len(self._names) - 1:,} more" if len(self._names) > 1 else ""
            what = f"{self._things} {self._fate}: {self._names[0]} ({self._why}){more}"
            yield found("not_searched", self._things, what, amount=len(self._names))
