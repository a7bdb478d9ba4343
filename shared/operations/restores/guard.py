"""Keep a way back open while something risky is done to a database: a migration, a deploy, a script.

    stand ready ─► (the risky thing) ─► look ─► nothing is worse: done
    a proven snapshot,     │             └───► something is:     bring back
    and what was wrong     └─ it failed: ──────────────────────► bring back
    before

Nothing here waits for jobs by itself: whoever uses it says how, and shows what it likes meanwhile. What it asks
for is done by the fleet, and goes on if the one who asked is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.access import Actor
from shared.domain.findings import Finding, added
from shared.domain.job import Job, JobKind, JobState, NewJob, StepState
from shared.domain.proof import Assertion, VerifyPolicy
from shared.domain.snapshot import Reason
from shared.errors import Permanent, Refused, SnapfleetError, Unreachable
from shared.operations.databases import integrity, preview, ties
from shared.operations.databases.integrity import Budget
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests
from shared.operations.snapshots import safeguard
from shared.postgres import assertions as questions
from shared.postgres.integrity import looking

KEPT_FOR = timedelta(days=7)
"""However long the risky thing takes, and whoever dies meanwhile: retention leaves the snapshot alone so long."""

EACH, TOTAL = timedelta(seconds=30), timedelta(minutes=5)
"""How long one look, and all looks at rows, may take: before and after."""

PATIENCE_SECONDS, AGAIN_SECONDS = 60.0, 1.0
"""How long a catalog that does not answer is asked again for the restore."""

APPLICATION = "snapfleet:guard"


class NotBroughtBack(Permanent):
    """The database is as the risky thing has left it; the hint says what to do by hand."""

    default_code = "not_brought_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One database, and how this process waits for a job, makes ids, and says what happens."""

    fleet: Fleet
    database: str
    assertions: tuple[Assertion, ...]
    """To hold afterwards, beside those of the configuration."""
    wait: Callable[[str], Job]
    new_id: Callable[[], str]
    new_snapshot_id: Callable[[], str]
    say: Callable[[str], object]
    by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where to go back to, and what was wrong there already."""

    snapshot_id: str
    findings: tuple[Finding, ...]

    def by_hand(self, database: str) -> str:
        return f"snapfleet restore {database} --snapshot {self.snapshot_id}"


def stand_ready(guard: Guard) -> Point:
    """A snapshot of this moment that a real restore has matched. Raises where there is none: then begin nothing."""
    preview.check_source(guard.fleet, guard.database)
    request = requests.snapshot_request(
        snapshot_id=guard.new_snapshot_id(),
        prune_job_id=guard.new_id(),
        verify_job_id=guard.new_id(),
        reason=Reason.GUARD,
        labels={},
        verify=VerifyPolicy.ALWAYS,
    )
    taken = guard.wait(ask(guard, JobKind.SNAPSHOT, request))
    require(taken, "no snapshot could be taken")
    snapshot_id = str(request["snapshot_id"])
    with guard.fleet.catalog.transaction() as tx:
        tx.snapshots.keep(snapshot_id, window=KEPT_FOR)
    proven = guard.wait(str(request["verify_job_id"]))
    require(proven, f"snapshot {snapshot_id} is not proven")
    return Point(snapshot_id=snapshot_id, findings=look(guard))


def require(job: Job, message: str) -> None:
    if job.state is not JobState.SUCCEEDED:
        error = job.error or {}
        why = error.get("message") or str(job.state)
        raise Refused(f"{message}: {why}", code=error.get("code") or "not_ready", hint=error.get("hint"))


def ask(guard: Guard, kind: JobKind, request: dict[str, object], *, job_id: str | None = None) -> str:
    job_id = job_id or guard.new_id()
    new = NewJob(id=job_id, kind=kind, database=guard.database, request=request, idempotency_key=job_id)
    if not requests.submit(guard.fleet, new, by=guard.by).rung:
        guard.say("Redis does not answer; the job runs when Redis is back")
    return job_id


def look(guard: Guard) -> tuple[Finding, ...]:
    with looking(guard.fleet.dsn(guard.database), application_name=APPLICATION) as session:
        return tuple(integrity.look(session, Budget.of(each=EACH, total=TOTAL)))


def troubles(guard: Guard, point: Point) -> tuple[str, ...]:
    """What is worse than before, and which assertions do not hold; that nobody can look is a trouble too."""
    asked = (*guard.fleet.database(guard.database).assertions, *guard.assertions)
    dsn = guard.fleet.dsn(guard.database)
    try:
        worse = [finding.what for finding in added(point.findings, look(guard))]
        with looking(dsn, application_name=APPLICATION) as session:
            return (*worse, *questions.failures(session, asked))
    except SnapfleetError as exc:
        return (f"the database cannot be looked at: {exc.message}",)


def bring_back(guard: Guard, point: Point) -> Job:
    """Restore the snapshot; what is replaced is snapshotted before, where that can be done, and parked.

    The restore that succeeded. NotBroughtBack where none did, or nobody could be asked for one.
    """
    job = guard.wait(restore(guard, point, with_safeguard=True))
    if job.state is not JobState.SUCCEEDED and failed_at_safeguard(guard.fleet, job):
        guard.say(f"{(job.error or {}).get('message')}; restoring without")
        job = guard.wait(restore(guard, point, with_safeguard=False))
    if job.state is not JobState.SUCCEEDED:
        raise not_back(guard, point, (job.error or {}).get("message") or str(job.state))
    return job


def restore(guard: Guard, point: Point, *, with_safeguard: bool) -> str:
    """Ask for it, again and again while the catalog does not answer: one job, however often that is."""
    job_id, give_up_at = guard.new_id(), time.monotonic() + PATIENCE_SECONDS
    request = requests.restore_request(
        snapshot_id=point.snapshot_id,
        safeguard_id=guard.new_snapshot_id() if with_safeguard else None,
    )
    while True:
        try:
            return ask(guard, JobKind.RESTORE, request, job_id=job_id)
        except SnapfleetError as exc:
            if not isinstance(exc, Unreachable) or time.monotonic() > give_up_at:
                raise not_back(guard, point, exc.message) from exc
        time.sleep(AGAIN_SECONDS)


def not_back(guard: Guard, point: Point, why: str) -> NotBroughtBack:
    return NotBroughtBack(
        f"snapshot {point.snapshot_id} was not brought back: {why}",
        hint=f"{guard.database} is as it was left; by hand: {point.by_hand(guard.database)}"
        " (with --no-safeguard where it cannot be read)",
    )


def failed_at_safeguard(fleet: Fleet, job: Job) -> bool:
    """Whether the restore got to its safety snapshot, and no further; or was told before that there can be none."""
    if (job.error or {}).get("code") == ties.NO_SAFEGUARD:
        return True
    with fleet.catalog.transaction() as tx:
        states = {step.name: step.state for step in tx.jobs.steps(job.id)}
    return states[safeguard.STEP] is not StepState.NEW and states["create"] is StepState.NEW


def summary(troubles: Sequence[str]) -> str:
    first, *others = troubles
    return first + (f", and {len(others)} more" if others else "")
