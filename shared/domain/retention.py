"""Which snapshots stay and which go: decided here and shown before anything is deleted.

counts                 sealed, not suspect, not refuted, no safeguard; verified where the database is
rules                  last, daily, weekly, monthly, within: over those that count, by their sequence
stays whatever rules   what runs, what is pinned or held, what is younger than a day, what its own
                       time keeps (`kept_until`), the newest verified one
a budget of their own  not verified, suspect, refuted, safeguards, failed: they push out nothing else
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.domain.ids import plan_id
from shared.domain.snapshot import Reason, Snapshot, SnapshotState
from shared.errors import Misconfigured

FLOOR = timedelta(hours=24)
"""Nothing that is younger goes, and nothing that is younger pushes anything else out: a flood of new
snapshots, by accident or by somebody who wants the old ones gone, leaves a day to notice it."""

BAD_KEPT = 10
"""So many of the failed ones stay to be looked at, and so many of the refuted ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What to keep of a database: whatever one of these rules keeps, and whatever `plan` never gives up.

    The newest of each of the last `daily` days that have one, and likewise of calendar weeks and months,
    all in UTC; `within` is measured from the newest one, so that an outage makes nothing too old.
    """

    last: int = 10
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    within: timedelta | None = None

    def __post_init__(self) -> None:
        if self.last < 1:
            raise Misconfigured(f"keep the last {self.last} would keep none", hint="at least 1")
        if min(self.daily, self.weekly, self.monthly) < 0:
            raise Misconfigured("a number of days, weeks or months to keep is negative", hint="at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether one snapshot stays, and why."""

    snapshot_id: str
    keep: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A verdict on every snapshot that still exists, newest first."""

    verdicts: tuple[Verdict, ...]
    stopped: str | None = None
    """Why nothing at all goes now, whatever is decided of each; None where deletions go ahead."""

    @property
    def keep(self) -> tuple[str, ...]:
        """The ids of those that stay, newest first."""
        return tuple(verdict.snapshot_id for verdict in self.verdicts if verdict.keep)

    @property
    def remove(self) -> tuple[str, ...]:
        """The ids of those that go, oldest first: cut short, it has removed what is missed least."""
        return tuple(verdict.snapshot_id for verdict in reversed(self.verdicts) if not verdict.keep)

    @property
    def id(self) -> str:
        """The same for as long as the same ones go."""
        return plan_id("prune", self.remove)


def plan(
    snapshots: Iterable[Snapshot],
    policy: Policy,
    *,
    held: Collection[str],
    now: datetime,
    proven_only: bool,
) -> Plan:
    """Decide what becomes of the snapshots of one database; delete nothing.

    `held` are the ids that a job works with; `now` is by the clock that wrote `sealed_at`. With
    `proven_only` a snapshot counts once it is verified. Which one is newer is told by `sequence`, never
    by a clock. A deletion that was cut short is taken up again, a snapshot that is deleted already is
    passed over. While the newest sealed snapshot is suspect nothing goes.
    """
    newest_first = sorted(
        (each for each in snapshots if each.state is not SnapshotState.DELETED),
        key=lambda snapshot: (snapshot.sequence, snapshot.id),
        reverse=True,
    )
    if len({snapshot.database for snapshot in newest_first}) > 1:
        raise ValueError("a plan is for the snapshots of one database")
    history = History(newest_first, policy, now=now, proven_only=proven_only)
    stopped = history.stopped()

    def judge(snapshot: Snapshot) -> Verdict:
        keep, why = history.judge(snapshot, held=snapshot.id in held)
        if stopped is not None and not keep:
            keep, why = True, f"would go ({why}), but nothing goes now"
        return Verdict(snapshot_id=snapshot.id, keep=keep, why=why)

    return Plan(verdicts=tuple(judge(snapshot) for snapshot in newest_first), stopped=stopped)


class History:
    """The snapshots of one database, newest first, and what the rules say of them."""

    def __init__(
        self, newest_first: Sequence[Snapshot], policy: Policy, *, now: datetime, proven_only: bool
    ) -> None:
        self.policy, self.now, self.proven_only = policy, now, proven_only
        self.sealed = [each for each in newest_first if each.state is SnapshotState.SEALED]
        looking_good = [each for each in self.sealed if _looks_good(each)]
        self.counting = [each for each in looking_good if each.is_verified or not proven_only]
        self.settled = [each for each in self.counting if not self._is_young(each)]
        """Those that count and may push others out."""
        self.failed = _ranks(each for each in newest_first if each.state is SnapshotState.FAILED)
        self.refuted = _ranks(each for each in self.sealed if _is_refuted(each))
        self.kept: dict[str, str] = {}
        self._keep_newest(looking_good)
        self._apply_rules(self.counting)
        # One that is not verified stays while it would stay if it were: it may turn out to be good.
        self._apply_rules(looking_good, remark="not verified; ")

    def judge(self, snapshot: Snapshot, *, held: bool) -> tuple[bool, str]:
        if snapshot.state is SnapshotState.DELETING:
            return False, "its deletion was begun"
        protected = self._protected(snapshot, held=held)
        if protected is not None:
            return True, protected
        if snapshot.state is SnapshotState.FAILED:
            return self._judge_failed(snapshot)
        return self._judge_sealed(snapshot)

    def stopped(self) -> str | None:
        newest = next((each for each in self.sealed if each.reason is not Reason.SAFEGUARD), None)
        if newest is None or not newest.is_suspect:
            return None
        return f"the newest sealed snapshot, {newest.id}, is suspect: {newest.suspicions[0]}"

    def _protected(self, snapshot: Snapshot, *, held: bool) -> str | None:
        """What keeps it whatever it is worth, or the rules that keep it; None where nothing does."""
        if snapshot.state is SnapshotState.COPYING:
            return "still being copied"
        if snapshot.pinned:
            return "pinned"
        if held:
            return "held by a job"
        if snapshot.id in self.kept:
            return self.kept[snapshot.id]
        if snapshot.kept_until is not None and snapshot.kept_until > self.now:
            return f"kept until {snapshot.kept_until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return f"younger than {_span(FLOOR)}" if self._is_young(snapshot) else None

    def _judge_sealed(self, snapshot: Snapshot) -> tuple[bool, str]:
        if snapshot.reason is Reason.SAFEGUARD:
            return False, "a safeguard whose time is over"
        if not _looks_good(snapshot):
            return self._judge_bad(snapshot)
        if self.proven_only and not snapshot.is_verified:
            return False, "not verified, and no rule would keep it if it were"
        rank = 1 + _newer(self.counting, snapshot)
        return False, f"number {rank}, beyond the last {self.policy.last}" + self._no_other_rule()

    def _judge_bad(self, snapshot: Snapshot) -> tuple[bool, str]:
        if snapshot.is_suspect:
            since = _newer(self.settled, snapshot)
            if since < self.policy.last:
                return True, "suspect: kept, and counted by no rule"
            return False, f"suspect, and {since} that count were taken since"
        if self.refuted[snapshot.id] <= BAD_KEPT:
            return True, f"refuted, one of the last {BAD_KEPT} that were"
        return False, f"refuted, beyond the last {BAD_KEPT} that were"

    def _judge_failed(self, snapshot: Snapshot) -> tuple[bool, str]:
        if not _newer(self.sealed, snapshot):
            return True, "failed, and nothing was sealed since"
        if self.failed[snapshot.id] <= BAD_KEPT:
            return True, f"failed, one of the last {BAD_KEPT} that did"
        return False, f"failed, beyond the last {BAD_KEPT} that did"

    def _no_other_rule(self) -> str:
        policy = self.policy
        others = policy.daily or policy.weekly or policy.monthly or policy.within
        return ", and no other rule keeps it" if others else ""

    def _keep_newest(self, looking_good: Sequence[Snapshot]) -> None:
        """The newest verified one is never given up; nor is the newest of all where none looks good."""
        verified = next((each for each in self.sealed if each.is_verified and not each.is_suspect), None)
        if verified is not None:
            self.kept[verified.id] = "the newest verified one"
        if self.counting:
            self.kept.setdefault(self.counting[0].id, "the newest sealed one")
        elif self.sealed and not looking_good:
            self.kept.setdefault(self.sealed[0].id, "the newest sealed one, and there is none better")

    def _apply_rules(self, history: Sequence[Snapshot], *, remark: str = "") -> None:
        for id_, why in _rules(history, self.policy, now=self.now):
            self.kept.setdefault(id_, remark + why)
        # As it stood before the youngest came: they push nothing out yet.
        settled = [each for each in history if not self._is_young(each)]
        for id_, why in _rules(settled, self.policy, now=self.now):
            self.kept.setdefault(id_, f"{remark}{why} older than {_span(FLOOR)}")

    def _is_young(self, snapshot: Snapshot) -> bool:
        """By the clock that dates what is sealed; the source's own may be anywhere."""
        return self.now - (snapshot.sealed_at or snapshot.created_at) < FLOOR


def _looks_good(snapshot: Snapshot) -> bool:
    is_regular = snapshot.reason is not Reason.SAFEGUARD
    return is_regular and not snapshot.is_suspect and not _is_refuted(snapshot)


def _is_refuted(snapshot: Snapshot) -> bool:
    return snapshot.refuted_at is not None


def _newer(newest_first: Sequence[Snapshot], snapshot: Snapshot) -> int:
    """How many of them came after it."""
    return bisect_left(newest_first, -snapshot.sequence, key=lambda each: -each.sequence)


def _ranks(newest_first: Iterable[Snapshot]) -> dict[str, int]:
    """The ids, each with its place: 1 is the newest."""
    return {snapshot.id: rank for rank, snapshot in enumerate(newest_first, start=1)}


def _rules(newest_first: Sequence[Snapshot], policy: Policy, *, now: datetime) -> Iterator[tuple[str, str]]:
    """The id of each one that a rule keeps, with all the rules that do."""
    whys: dict[str, list[str]] = {snapshot.id: [] for snapshot in newest_first}
    for rank, snapshot in enumerate(newest_first[: policy.last], start=1):
        whys[snapshot.id].append(f"number {rank} of the last {policy.last}")
    for count, form in (
        (policy.daily, "{:%Y-%m-%d}"),
        (policy.weekly, "week {:%G-%V}"),
        (policy.monthly, "{:%Y-%m}"),
    ):
        newest_of: dict[str, str] = {}
        for snapshot in newest_first:
            if len(newest_of) == count:
                break
            newest_of.setdefault(form.format(_moment(snapshot)), snapshot.id)
        for period, id_ in newest_of.items():
            whys[id_].append(f"newest of {period}")
    if policy.within is not None and newest_first:
        since = min(now, _moment(newest_first[0])) - policy.within
        for snapshot in newest_first:
            if _moment(snapshot) >= since:
                whys[snapshot.id].append(f"within {_span(policy.within)} of the newest")
    return ((id_, ", ".join(said)) for id_, said in whys.items() if said)


def _moment(snapshot: Snapshot) -> datetime:
    return (snapshot.taken_at or snapshot.created_at).astimezone(UTC)


def _span(duration: timedelta) -> str:
    hours = duration / timedelta(hours=1)
    return f"{hours / 24:g} d" if hours > 24 else f"{hours:g} h"  # noqa: PLR2004 - a day has 24
