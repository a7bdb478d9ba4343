"""Look before a restore: what it would do, what there is to say about it, and what stands against it.

Changes nothing. The command looks before it asks for the job, and the job looks again in its own first step,
for the world may have changed by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.catalog.warm import WarmCopy
from shared.domain.job import Job, JobKind
from shared.domain.manifest import Manifest
from shared.domain.restore_plan import Remark, changed, plan_id
from shared.domain.snapshot import Snapshot
from shared.errors import Permanent, Refused, SnapfleetError
from shared.operations.databases import preflight, requirements, side, source, stored, ties, warm
from shared.operations.fleet import Fleet
from shared.postgres import bonds, databases, inspection, offers
from shared.postgres.bonds import SessionGroup
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected

APPLICATION = "snapfleet:preview"

JOB = "<job>"
"""In a name that will hold a job's id, as long as there is none."""

REPLACING = (JobKind.RESTORE, JobKind.UNDO, JobKind.TABLES, JobKind.RESET)
"""What changes a live database other than by its own applications."""


PASSING = {"snapshot_unproven", "room_unknown"}
"""Remarks that may go away in the meantime without any harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What a restore is asked to do; `server` is where, under which login."""

    database: str
    snapshot: Snapshot
    to: str | None = None
    target: str | None = None
    as_superuser: bool = False
    safeguard: bool = False

    def server(self, fleet: Fleet) -> Dsn:
        return fleet.dsn(self.database) if self.target is None else fleet.target_dsn(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePreview:
    """A restore that was not made. Nothing is parked, and nobody is cut off, under a name that is new."""

    database: str
    target: str
    where: str
    """Host, port and database, without who logs in."""
    snapshot: Snapshot
    now: datetime
    target_server_version: str
    sessions: tuple[SessionGroup, ...]
    """Who will be cut off."""
    safeguard: bool
    """Whether a safety snapshot of what is replaced is taken first."""
    parked_name: str | None
    parked_bytes: int | None
    parked_until: datetime | None
    """At the earliest: the undo window opens with the swap."""
    estimated_seconds: float | None
    """By what former restores of this database took; None without any, and of one that only swaps."""
    warm: WarmCopy | None
    """What would be swapped in without anything being loaded; None where all is to be built."""
    warm_bytes: int
    """What warm copies take of the server's disk, whether this restore would use one or not."""
    waits_for: tuple[Job, ...]
    """Jobs of the same database that come first."""
    missing_roles: tuple[str, ...]
    remarks: tuple[Remark, ...]
    """What there is to know, and stands against nothing."""
    obstacles: tuple[SnapfleetError, ...]
    """Why it would be refused; empty where it would run."""
    plan_id: str
    """The same for as long as nothing changes that a restore depends on."""

    @property
    def sessions_cut(self) -> int:
        return sum(group.count for group in self.sessions)


def restore_of(
    fleet: Fleet, intent: Intent, *, job_id: str | None = None, application_name: str = APPLICATION
) -> RestorePreview:
    """What the restore `job_id`, or one without an id yet, would do.

    Raises Unreachable, Refused or Damaged where it cannot be told.
    """
    dsn = intent.server(fleet)
    target = dsn.for_database(intent.to or dsn.dbname).dbname
    chosen = intent.snapshot
    manifest = side.manifest_of(fleet, chosen.id)
    with source.maintenance(dsn, application_name) as session:
        live_oid = databases.oid_of(session, target)
        swaps = live_oid is not None and intent.to is None
        size = databases.size_bytes(session, target) if swaps else None
        server = inspection.identity(session).system_identifier, session.info.server_version
        version = session.info.parameter_status("server_version") or ""
        sessions = bonds.sessions(session, target) if swaps else ()
        missing = preflight.missing_roles(session, manifest)
        in_place = intent.to is None and intent.target is None
        copy = warm.ready(fleet, session, intent.database, chosen.id, by=job_id) if in_place else None
        free = offers.free_bytes(session)
        needed = requirements.needed_bytes(manifest, live_bytes=size)
        warm_bytes = warm.droppable_bytes(fleet, intent.database) if intent.target is None else 0
        if free is not None and copy is None:  # it gives way
            free += warm_bytes
        remarks = [
            *snapshot_remarks(chosen),
            *requirements.extension_remarks(session, manifest),
            *requirements.locale_remarks(session, manifest, target),
            *(requirements.room_remarks(free, needed) if copy is None else ()),
        ]
        at = Place(fleet=fleet, session=session, dsn=dsn, target=target, application_name=application_name)
        room = free if copy is None else None
        obstacles = tuple(standing_against(at, intent, manifest, free_bytes=room, swaps=swaps))
    with fleet.catalog.transaction() as tx:
        now = tx.jobs.now()
        former = tx.jobs.restore_durations(intent.database)
        changed_by = tx.jobs.newest_success(intent.database, kinds=REPLACING)
        waits_for = tuple(job for job in tx.jobs.ahead(intent.database) if job.id != job_id)
    seen = {
        "asked": [intent.database, target, intent.target, intent.as_superuser, intent.safeguard],
        "snapshot": [chosen.id, chosen.manifest_sha256],
        "server": server,
        "live": live_oid,
        "jobs": changed_by,
        "remarks": sorted({remark.code for remark in remarks} - PASSING),
    }
    return RestorePreview(
        database=intent.database,
        target=target,
        where=dsn.for_database(target).where,
        snapshot=chosen,
        now=now,
        target_server_version=version,
        sessions=sessions,
        safeguard=swaps and intent.safeguard,
        parked_name=databases.parked_name(job_id or JOB) if swaps else None,
        parked_bytes=size,
        parked_until=now + fleet.database(intent.database).undo_window if swaps else None,
        estimated_seconds=estimate(chosen.raw_bytes or 0, former) if copy is None else None,
        warm=copy,
        warm_bytes=warm_bytes,
        waits_for=waits_for,
        missing_roles=missing,
        remarks=tuple(remarks),
        obstacles=obstacles,
        plan_id=plan_id(seen),
    )


def refuse_changed(planned: str | None, seen: str) -> None:
    """What was planned with must still be what is there."""
    if planned is not None and (changes := changed(planned, seen)):
        raise Refused(
            f"since that plan this has changed: {', '.join(changes)}",
            code="plan_changed",
            hint="look again, and take the new plan's id: snapfleet restore --plan",
        )


def with_objects(fleet: Fleet, seen: RestorePreview, *, deep: bool) -> RestorePreview:
    """The same after a look at every stored object; with `deep`, after reading all of them."""
    manifest = side.manifest_of(fleet, seen.snapshot.id)
    wrong = stored.troubles(fleet, manifest, deep=deep)
    if not wrong:
        return seen
    return replace(seen, obstacles=(*seen.obstacles, stored.damaged(manifest, wrong)))


def snapshot_remarks(chosen: Snapshot) -> Iterator[Remark]:
    if chosen.is_suspect:
        yield Remark(
            code="snapshot_suspect", message=f"the snapshot is suspect: {'; '.join(chosen.suspicions)}"
        )
    if chosen.refuted_at is not None:
        yield Remark(code="snapshot_refuted", message="the snapshot was restored before and did not match")
    elif not chosen.is_verified:
        yield Remark(code="snapshot_unproven", message="the snapshot was never restored before")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where it would be done: a session beside the target, and what leads there."""

    fleet: Fleet
    session: Session
    dsn: Dsn
    target: str
    application_name: str


def standing_against(
    at: Place, intent: Intent, manifest: Manifest, *, free_bytes: int | None, swaps: bool
) -> Iterable[SnapfleetError]:
    session, target = at.session, at.target
    live = at.dsn.for_database(target)
    always: Sequence[Callable[[], None]] = (
        lambda: source.refuse_catalog_target(at.fleet, session, target),
        lambda: preflight.refuse_target(session, target) if intent.to is not None else None,
        lambda: (
            preflight.refuse_name_of_another(at.fleet, live, intent.database)
            if intent.to is not None
            else None
        ),
        lambda: preflight.refuse_superuser(at.fleet, session, as_superuser=intent.as_superuser),
        lambda: preflight.refuse_older(session, manifest),
        lambda: requirements.refuse_older_tools(source.choose_tools(at.fleet, at.dsn, session), manifest),
        lambda: preflight.refuse_missing_roles(session, manifest),
        lambda: preflight.refuse_without_rights(session, target),
        lambda: requirements.refuse_missing_extensions(session, manifest),
        lambda: requirements.refuse_missing_locale(session, manifest),
        lambda: requirements.refuse_no_room(free_bytes, manifest),
    )
    where_replaced: Sequence[Callable[[], None]] = (
        lambda: ties.refuse_prepared(session, target),
        lambda: ties.refuse_slots(session, target, live, application_name=at.application_name),
        lambda: ties.refuse_subscriptions(session, target),
    )
    yield from found(always)
    if swaps:
        yield from found(where_replaced)
    if swaps and intent.safeguard:
        yield from found([lambda: ties.refuse_unreadable(live, application_name=at.application_name)])


def found(checks: Iterable[Callable[[], None]]) -> Iterable[SnapfleetError]:
    for check in checks:
        try:
            check()
        except Permanent as exc:
            yield exc


def estimate(raw_bytes: int, former: Sequence[tuple[int, float]]) -> float | None:
    """Seconds for this many bytes at the pace of former (bytes, seconds); None without any."""
    total = sum(size for size, _ in former)
    if not total:
        return None
    return round(raw_bytes * sum(seconds for _, seconds in former) / total, 1)


def check_source(fleet: Fleet, database: str) -> None:
    """That a snapshot of it could begin: it lets us in, and is not the catalog itself."""
    with connected(fleet.dsn(database), application_name=APPLICATION) as session:
        source.refuse_catalog(fleet, session)


def check_catalog_apart(fleet: Fleet) -> None:
    """Refused where a configured database holds the catalog.

    One that cannot be asked now is asked again by whatever would use it.
    """
    for name in sorted(fleet.databases):
        try:
            check_source(fleet, name)
        except Refused as exc:
            if exc.code == "catalog_in_protected_database":
                raise
        except SnapfleetError:
            continue
