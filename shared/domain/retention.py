"""Which snapshots stay and which go: decided here and shown before anything is deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from shared.domain.snapshot import Snapshot, SnapshotState
from shared.errors import Misconfigured

FAILED_KEPT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Keep the newest `last` sealed snapshots of a database, and whatever `plan` never gives up."""

    last: int = 10

    def __post_init__(self) -> None:
        if self.last < 1:
            raise Misconfigured(f"keep the last {self.last} would keep none", hint="at least 1")


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

    @property
    def keep(self) -> tuple[str, ...]:
        """The ids of those that stay, newest first."""
        return tuple(verdict.snapshot_id for verdict in self.verdicts if verdict.keep)

    @property
    def remove(self) -> tuple[str, ...]:
        """The ids of those that go, oldest first: cut short, it has removed what is missed least."""
        return tuple(verdict.snapshot_id for verdict in reversed(self.verdicts) if not verdict.keep)


def plan(snapshots: Iterable[Snapshot], policy: Policy, *, held: Collection[str]) -> Plan:
    """Decide what becomes of the snapshots of one database; delete nothing.

    `held` are the ids that a job works with. Age is told by `sequence`, never by a clock. Only sealed
    snapshots count, so that a week of failures removes none of them; the newest sealed one stays
    whatever the policy says. A deletion that was cut short is taken up again, a snapshot that is
    deleted already is passed over.
    """
    newest_first = sorted(
        (each for each in snapshots if each.state is not SnapshotState.DELETED),
        key=lambda snapshot: (snapshot.sequence, snapshot.id),
        reverse=True,
    )
    if len({snapshot.database for snapshot in newest_first}) > 1:
        raise ValueError("a plan is for the snapshots of one database")
    sealed = _ranks(newest_first, SnapshotState.SEALED)
    failed = _ranks(newest_first, SnapshotState.FAILED)
    newest_sealed = max((each.sequence for each in newest_first if each.id in sealed), default=None)

    def judge(snapshot: Snapshot) -> tuple[bool, str]:
        match snapshot.state:
            case SnapshotState.COPYING:
                return True, "still being copied"
            case SnapshotState.DELETING:
                return False, "its deletion was begun"
        if snapshot.pinned:
            return True, "pinned"
        if snapshot.id in held:
            return True, "held by a job"
        if snapshot.id in sealed:
            return _judge_sealed(sealed[snapshot.id], policy)
        return _judge_failed(failed[snapshot.id], snapshot.sequence, newest_sealed)

    verdicts = ((snapshot.id, *judge(snapshot)) for snapshot in newest_first)
    return Plan(verdicts=tuple(Verdict(snapshot_id=id_, keep=keep, why=why) for id_, keep, why in verdicts))


def _ranks(newest_first: Iterable[Snapshot], state: SnapshotState) -> dict[str, int]:
    """The ids in this state, each with its place: 1 is the newest."""
    ids = (snapshot.id for snapshot in newest_first if snapshot.state is state)
    return {id_: rank for rank, id_ in enumerate(ids, start=1)}


def _judge_sealed(rank: int, policy: Policy) -> tuple[bool, str]:
    if rank == 1:
        return True, "the newest sealed one"
    if rank <= policy.last:
        return True, f"number {rank} of the last {policy.last}"
    return False, f"number {rank}, beyond the last {policy.last}"


def _judge_failed(rank: int, sequence: int, newest_sealed: int | None) -> tuple[bool, str]:
    if newest_sealed is None or sequence > newest_sealed:
        return True, "failed, and nothing was sealed since"
    if rank <= FAILED_KEPT:
        return True, f"failed, one of the last {FAILED_KEPT} that did"
    return False, f"failed, beyond the last {FAILED_KEPT} that did"
