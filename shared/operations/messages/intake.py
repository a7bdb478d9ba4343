"""Answer requests that come over the event bus: each once, in one transaction, as every other way in does.

    inbox row + job + `accepted` event ─► commit ─► doorbell       granted
    inbox row + `rejected` event       ─► commit                   refused

The inbox row's key is the request's own identity, so that whatever comes again finds its answer there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from shared.catalog.catalog import Transaction
from shared.catalog.inbox import Received
from shared.domain.access import Actor
from shared.domain.events import REJECTED, UNNEEDED, Ask, Cause, Request, refuse_untimely
from shared.domain.job import JobKind, NewJob
from shared.domain.proof import Digests, VerifyPolicy
from shared.domain.snapshot import Reason
from shared.errors import Busy, Refused, SnapfleetError, Unreachable
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests
from shared.operations.proofs import verify
from shared.operations.restores import bootstrap
from shared.operations.upkeep import check

NOBODY = ""
"""The source, in the inbox, of what has none or bears another's name: its entry is its identity."""

CATALOG_AWAY = "catalog_unreachable"

NewSnapshotId = Callable[[datetime], str]


class Answer(Enum):
    GRANTED = auto()
    UNNEEDED = auto()
    """There is nothing to do, and that was said."""
    REPEATED = auto()
    """It was answered before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The job that grants a request, and the ids of jobs that it will ask for; None where none is needed."""

    new: NewJob | None
    later: tuple[str, ...] = ()
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What is known of a request that is not granted; of one that cannot be read, hardly anything."""

    entry: str
    digest: str
    error: SnapfleetError
    cause: Cause | None = None
    database: str | None = None
    asked_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Answers requests. Ids come from the caller."""

    fleet: Fleet
    allowed: Collection[Ask]
    new_job_id: Callable[[], str]
    new_snapshot_id: NewSnapshotId

    def known(self, causes: Collection[Cause]) -> dict[Cause, Received]:
        """Those of these that were answered before."""
        with self.fleet.catalog.transaction() as tx:
            return tx.inbox.known(causes)

    def answer(self, request: Request, *, entry: str, now: datetime, known: Received | None) -> Answer:
        """Grant a request. Its caller rings the database.

        Raises whatever stands against it, with nothing changed: `refuse` says so to the world.
        """
        if known is not None:
            return repeated(request, known, entry=entry)
        if request.ask not in self.allowed:
            raise Refused(
                f"nobody may ask for {request.ask} over the event bus here",
                code="not_allowed",
                hint=f'an operator may allow it: allow = [..., "{request.ask}"] under [bus] in the configuration',
            )
        refuse_untimely(request, now=now)
        self.fleet.database(request.database)
        wanted = self.wanted(request, now=now)
        with self.fleet.catalog.transaction() as tx:
            tx.schedules.know([request.database])
            if not tx.inbox.receive(request.cause, digest=request.digest, entry=entry):
                return repeated(request, tx.inbox.known([request.cause])[request.cause], entry=entry)
            return self.grant(tx, request, wanted)

    def grant(self, tx: Transaction, request: Request, wanted: Wanted) -> Answer:
        new, cause = wanted.new, request.cause
        if new is None:
            data: dict[str, Any] = {"why": wanted.why, "asked_type": request.ask.type}
            tx.outbox.add(UNNEEDED, database=request.database, job_id=None, data=data, cause=cause)
            return Answer.UNNEEDED
        tx.inbox.because_of(cause, [new.id, *wanted.later])
        job, is_new = requests.enter(tx, self.fleet, new, by=publisher(cause))
        if not is_new:
            data = {
                "kind": str(job.kind),
                "request": dict(job.request),
                "state": str(job.state),
                "joined": True,
            }
            tx.outbox.add(
                f"{job.kind}.accepted", database=job.database, job_id=job.id, data=data, cause=cause
            )
        tx.inbox.grant(cause, job_id=job.id)
        return Answer.GRANTED

    def refuse(self, refusal: Refusal) -> bool:
        """Say once that a request is not granted, and why. False where that was said for another entry.

        Where the request bears the name of another one, the event names no cause: whoever really asked
        under that name must not think that it is meant.
        """
        database = refusal.database if refusal.database in self.fleet.databases else None
        data: dict[str, Any] = {
            "error": refusal.error.facts(),
            "entry": refusal.entry,
            "asked_type": refusal.asked_type,
        }
        with self.fleet.catalog.transaction() as tx:
            if database is not None:
                tx.schedules.know([database])
            cause: Cause | None = refusal.cause
            if cause is not None and not self.note(tx, cause, refusal):
                known = tx.inbox.known([cause])[cause]
                if known.digest == refusal.digest and known.error is not None:
                    return known.entry == refusal.entry
                cause = None
            if cause is not None or self.note(tx, Cause(source=NOBODY, id=refusal.entry), refusal):
                tx.outbox.add(REJECTED, database=database, job_id=None, data=data, cause=cause)
            return True

    def note(self, tx: Transaction, cause: Cause, refusal: Refusal) -> bool:
        """False where something is noted under that name already."""
        if not tx.inbox.receive(cause, digest=refusal.digest, entry=refusal.entry):
            return False
        tx.inbox.refuse(cause, refusal.error.facts())
        return True

    def wanted(self, request: Request, *, now: datetime) -> Wanted:
        """The job that a request amounts to. Raises what stands against it."""
        wants = request.wants
        match request.ask:
            case Ask.SNAPSHOT:
                verify_job_id, prune_job_id = self.new_job_id(), self.new_job_id()
                asked: Any = wants["verify"]
                snapshot = requests.snapshot_request(
                    snapshot_id=self.new_snapshot_id(now),
                    prune_job_id=prune_job_id,
                    verify_job_id=verify_job_id,
                    reason=Reason.MANUAL,
                    labels=wants["labels"],
                    verify=None if asked is None else VerifyPolicy(asked),
                )
                new = self.job(request, JobKind.SNAPSHOT, snapshot)
                return Wanted(new=new, later=(verify_job_id, prune_job_id))
            case Ask.RESTORE if wants["if_empty"]:
                return self.filled_if_empty(request)
            case Ask.RESTORE:
                chosen = requests.choose_snapshot(
                    self.fleet, request.database, snapshot_id=wants["snapshot_id"], at=wants["at"]
                )
                restore = requests.restore_request(
                    snapshot_id=chosen.id,
                    to=wants["to"],
                    safeguard_id=self.new_snapshot_id(now)
                    if wants["safeguard"] and wants["to"] is None
                    else None,
                )
                return Wanted(new=self.job(request, JobKind.RESTORE, restore))
            case Ask.UNDO:
                parked = requests.undoable(self.fleet, wants["restore_job"])
                if parked.database != request.database:
                    raise Refused(
                        f"restore {wants['restore_job']} was not one of database {request.database}",
                        code="nothing_to_undo",
                    )
                return Wanted(new=self.job(request, JobKind.UNDO, {"restore_job": parked.job_id}))
            case Ask.VERIFY:
                chosen = requests.choose_snapshot(
                    self.fleet, request.database, snapshot_id=wants["snapshot_id"], at=None
                )
                proof = verify.request(chosen.id, digests=Digests(wants["digests"]), prune_job_id=None)
                return Wanted(new=self.job(request, JobKind.VERIFY, proof))
            case Ask.CHECK:
                return Wanted(new=self.job(request, JobKind.CHECK, check.request()))

    def filled_if_empty(self, request: Request) -> Wanted:
        """Raises Busy where the database's own server is away: the others must not wait for it."""
        try:
            seen = bootstrap.look(
                self.fleet,
                request.database,
                job_id=self.new_job_id(),
                as_superuser=False,
                by=publisher(request.cause),
            )
        except Unreachable as exc:
            if exc.code == CATALOG_AWAY:
                raise
            raise Busy(exc.message, code=exc.code, hint=exc.hint) from exc
        return Wanted(new=seen.new, why=f"the database is in use: it holds {seen.found.holds}")

    def job(self, request: Request, kind: JobKind, asked: dict[str, object]) -> NewJob:
        return NewJob(
            id=self.new_job_id(),
            kind=kind,
            database=request.database,
            request=asked,
            idempotency_key=request.cause.idempotency_key,
        )


def publisher(cause: Cause) -> Actor:
    """Who asks, as he calls himself: whoever may write into the stream may use any name, a token's too."""
    return Actor(name=f"bus:{cause.source}", origin=f"bus:{cause.id}")


def repeated(request: Request, known: Received, *, entry: str) -> Answer:
    """Raises what was said before where this very entry was refused: it was not put away then."""
    if known.digest != request.digest:
        raise Refused(
            "this source has used this id for another request",
            code="id_reused",
            hint="use a new id for a new request",
        )
    if known.error is not None and known.entry == entry:
        raise Refused(str(known.error["message"]), code=known.error["code"], hint=known.error["hint"])
    return Answer.REPEATED
