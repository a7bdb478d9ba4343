"""Whether this process could do its work now, and whether every database could come back.

`/healthz` asks neither: a process that answers is alive. `/readyz` asks `Readiness`, `/health/backups` asks
`backups`. Both only look.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.catalog.canaries import Sign
from shared.catalog.catalog import Transaction
from shared.catalog.revision import check_migrated
from shared.domain import freshness
from shared.domain.freshness import Deadline
from shared.domain.snapshot import Snapshot
from shared.errors import Misconfigured, SnapfleetError
from shared.operations.fleet import Fleet
from shared.postgres import tools
from shared.storage import keys
from shared.storage.repository import manifest_key

PATIENCE = timedelta(seconds=5)

CANARY_LATE = timedelta(minutes=3)
"""Beat rings each minute: two may be lost to a restart, a third is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one question was answered with. `detail` is a sentence for people, without any secret."""

    name: str
    ok: bool
    seconds: float
    detail: str
    code: str | None = None
    hint: str | None = None


class Probe:
    """One question, asked by one thread at a time: however many want to know, a server that hangs costs one."""

    def __init__(self, name: str, ask: Callable[[], str]) -> None:
        self.name = name
        self._ask = ask
        self._guard = threading.Lock()
        self._began_at = 0.0
        self._answer: Future[Check] | None = None

    def begin(self) -> None:
        """Ask, unless the last answer is still waited for."""
        with self._guard:
            if self._answer is None or self._answer.done():
                self._began_at, self._answer = time.monotonic(), Future()
                # A daemon: what hangs must not keep the process from ending.
                named = f"probe-{self.name}"
                threading.Thread(target=self._run, args=(self._answer,), name=named, daemon=True).start()

    def answer(self, *, until: float) -> Check:
        """The answer, or that there is none at that moment of the monotonic clock."""
        with self._guard:
            answer, began_at = self._answer, self._began_at
        if answer is None:
            raise ValueError(f"{self.name} was not asked")
        try:
            return answer.result(timeout=max(0.0, until - time.monotonic()))
        except NoAnswer:
            waited = time.monotonic() - began_at
            return Check(
                name=self.name,
                ok=False,
                seconds=waited,
                detail=f"no answer for {waited:.0f} s",
                code="no_answer",
                hint="is it up, and does nothing between here and there swallow packets?",
            )

    def _run(self, answer: Future[Check]) -> None:
        began_at = time.monotonic()
        failure: SnapfleetError | None = None
        detail = ""
        try:
            detail = self._ask()
        except SnapfleetError as exc:
            failure = exc
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is an answer, and must not end the thread
            failure = SnapfleetError(f"an unexpected {type(exc).__name__}", code="unexpected")
        answer.set_result(
            Check(
                name=self.name,
                ok=failure is None,
                seconds=time.monotonic() - began_at,
                detail=detail if failure is None else failure.message,
                code=None if failure is None else failure.code,
                hint=None if failure is None else failure.hint,
            )
        )


class Readiness:
    """The four things without which nothing here can succeed. One per process, so that probes are shared."""

    def __init__(self, fleet: Fleet, *, patience: timedelta = PATIENCE) -> None:
        self._patience = patience
        self._probes = (
            Probe("catalog", lambda: look_at_catalog(fleet)),
            Probe("redis", lambda: look_at_redis(fleet)),
            Probe("repository", lambda: look_at_repository(fleet)),
            Probe("tools", lambda: look_at_tools(fleet)),
        )

    def look(self) -> tuple[Check, ...]:
        """Ask all side by side; answered within `patience`, whatever hangs."""
        for probe in self._probes:
            probe.begin()
        until = time.monotonic() + self._patience.total_seconds()
        return tuple(probe.answer(until=until) for probe in self._probes)


def ready(fleet: Fleet, *, patience: timedelta = PATIENCE) -> tuple[Check, ...]:
    """One look by a caller that looks once."""
    return Readiness(fleet, patience=patience).look()


def look_at_catalog(fleet: Fleet) -> str:
    check_migrated(fleet.catalog)
    return "answers, and is migrated to this release"


def look_at_redis(fleet: Fleet) -> str:
    fleet.locks.holder("readiness")
    return "answers"


def look_at_repository(fleet: Fleet) -> str:
    """The newest manifest must be there: a folder whose disk is not mounted is an empty one, and answers."""
    newest = newest_sealed(fleet)
    storage = fleet.repository.storage
    if newest is None:
        next(storage.list(f"{keys.PROBES}/"), None)
        return "answers; there is no snapshot to look for"
    storage.head(manifest_key(newest.database, newest.id))
    return f"answers, and holds snapshot {newest.id}"


def newest_sealed(fleet: Fleet) -> Snapshot | None:
    """Of all databases; None too where the catalog does not say: that is told under its own name."""
    try:
        with fleet.catalog.transaction() as tx:
            found = [newest for name in fleet.databases if (newest := tx.snapshots.newest_sealed(name))]
    except SnapfleetError:
        return None
    return max(found, key=lambda snapshot: snapshot.id, default=None)


def look_at_tools(fleet: Fleet) -> str:
    found = tools.find(bin_dir=fleet.bin_dir)
    if not found:
        raise Misconfigured(
            "neither pg_dump nor pg_restore is installed here",
            code="no_client_tools",
            hint="install postgresql-client of the servers' major versions, or set PG_BIN_DIR",
        )
    return ", ".join(sorted({f"PostgreSQL {each.version}" for each in found}))


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupState:
    """One configured database at one moment. `why` says in a sentence what is wrong; None where nothing is."""

    name: str
    sealed: Snapshot | None
    """The newest one, whatever it is worth."""
    good: Snapshot | None
    """The newest that is neither suspect nor refuted."""
    proven: Snapshot | None
    """The newest of those that a real restore has matched."""
    snapshot: Deadline | None
    """For the next good one; None where beat has not seen the database yet."""
    proof: Deadline | None
    """For the next proven one; None too where its policy wants no proofs."""
    blocked: bool
    why: str | None

    @property
    def ok(self) -> bool:
        return self.why is None


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryState:
    """The newest sign that beat, Redis and a worker work together."""

    sign: Sign | None
    ok: bool


def backups(fleet: Fleet, now: datetime | None = None) -> tuple[BackupState, ...]:
    """Every configured database, by name. `now` is the catalog's clock unless it is given."""
    with fleet.catalog.transaction() as tx:
        moment = now or tx.jobs.now()
        return tuple(backup(tx, fleet, name, moment) for name in sorted(fleet.databases))


def backup(tx: Transaction, fleet: Fleet, name: str, now: datetime) -> BackupState:
    database = fleet.databases[name]
    good, proven = tx.snapshots.newest_good(name), tx.snapshots.newest_good(name, verified=True)
    known_since = tx.schedules.known_since(name)
    snapshot = proof = None
    if known_since is not None:
        snapshot = freshness.of_snapshot(database.schedule, since=taken_at(good) or known_since)
        proof = freshness.of_proof(
            database.schedule,
            database.verify,
            since=taken_at(proven) or known_since,
            raw_bytes=good.raw_bytes if good else None,
        )
    blocked = tx.schedules.blocked(name)
    if blocked is not None:
        why = f"no snapshot of it is taken: {blocked}"
    elif snapshot is None:
        why = "beat has not seen it yet: is beat running, with this configuration?"
    elif now >= snapshot.late_at:
        why = f"no good snapshot since {said(good)}, and one was due at {snapshot.due_at:%Y-%m-%d %H:%M} UTC"
    elif proof is not None and now >= proof.late_at:
        why = f"no proven snapshot since {said(proven)}, and one was due at {proof.due_at:%Y-%m-%d %H:%M} UTC"
    else:
        why = None
    return BackupState(
        name=name,
        sealed=tx.snapshots.newest_sealed(name),
        good=good,
        proven=proven,
        snapshot=snapshot,
        proof=proof,
        blocked=blocked is not None,
        why=why,
    )


def taken_at(snapshot: Snapshot | None) -> datetime | None:
    return snapshot.taken_at if snapshot else None


def said(snapshot: Snapshot | None) -> str:
    moment = taken_at(snapshot)
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "the database became known"


def sing(fleet: Fleet, *, queue: str) -> None:
    """What a worker does when beat's canary reaches it: say so in the catalog. It never changes anything else."""
    with fleet.catalog.transaction() as tx:
        tx.canaries.sing(queue, worker=fleet.owner)


def canary(fleet: Fleet, now: datetime | None = None) -> CanaryState:
    """Whether the newest canary has sung of late."""
    with fleet.catalog.transaction() as tx:
        moment, sign = now or tx.jobs.now(), tx.canaries.newest()
    return CanaryState(sign=sign, ok=sign is not None and moment - sign.sung_at < CANARY_LATE)
