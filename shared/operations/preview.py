"""Look before a request is made: what a restore would do, and what stands against it. Changes nothing.

A job looks again in its own first step, for the world may have changed by then. What is looked at here is
what a user wants to hear at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.manifest import Manifest
from shared.domain.snapshot import Snapshot
from shared.errors import Refused, SnapfleetError
from shared.operations import preflight, side, source
from shared.operations.fleet import Fleet
from shared.postgres import databases
from shared.postgres.session import Session, connected

APPLICATION = "snapfleet:preview"

JOB = "<job>"
"""In a name that will hold a job's id, as long as there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePreview:
    """A restore that was not made. Nothing is parked, and nobody is cut off, under a name that is new."""

    database: str
    target: str
    snapshot: Snapshot
    now: datetime
    target_server_version: str
    sessions_cut: int
    parked_name: str | None
    parked_bytes: int | None
    parked_until: datetime | None
    """At the earliest: the undo window opens with the swap."""
    estimated_seconds: float | None
    """By what former restores of this database took; None without any."""
    missing_roles: tuple[str, ...]
    obstacles: tuple[SnapfleetError, ...]
    """Why it would be refused; empty where it would run."""


def restore_of(
    fleet: Fleet, database: str, chosen: Snapshot, *, to: str | None, as_superuser: bool, job_id: str | None
) -> RestorePreview:
    """What the restore `job_id`, or one without an id yet, would do.

    Raises Unreachable, Refused or Damaged where it cannot be told.
    """
    configured = fleet.database(database)
    dsn = fleet.dsn(database)
    target = dsn.for_database(to or dsn.dbname).dbname
    manifest = side.manifest_of(fleet, chosen.id)
    with source.maintenance(dsn, APPLICATION) as session:
        exists = databases.oid_of(session, target) is not None
        swaps = exists and to is None
        version = session.info.parameter_status("server_version") or ""
        sessions = databases.session_count(session, target) if swaps else 0
        size = databases.size_bytes(session, target) if swaps else None
        missing = preflight.missing_roles(session, manifest)
        obstacles = standing_against(
            fleet, session, manifest, target=target, is_new=to is not None, as_superuser=as_superuser
        )
    with fleet.catalog.transaction() as tx:
        now = tx.jobs.now()
        former = tx.jobs.restore_durations(database)
    return RestorePreview(
        database=database,
        target=target,
        snapshot=chosen,
        now=now,
        target_server_version=version,
        sessions_cut=sessions,
        parked_name=databases.parked_name(job_id or JOB) if swaps else None,
        parked_bytes=size,
        parked_until=now + configured.undo_window if swaps else None,
        estimated_seconds=estimate(chosen.raw_bytes or 0, former),
        missing_roles=missing,
        obstacles=obstacles,
    )


def standing_against(
    fleet: Fleet, session: Session, manifest: Manifest, *, target: str, is_new: bool, as_superuser: bool
) -> tuple[SnapfleetError, ...]:
    checks: Sequence[Callable[[], None]] = (
        lambda: source.refuse_catalog_target(fleet, session, target),
        lambda: preflight.refuse_target(session, target) if is_new else None,
        lambda: preflight.refuse_superuser(fleet, session, as_superuser=as_superuser),
        lambda: preflight.refuse_older(session, manifest),
        lambda: preflight.refuse_missing_roles(session, manifest),
        lambda: preflight.refuse_without_rights(session, target),
    )
    return tuple(refusals(checks))


def refusals(checks: Iterable[Callable[[], None]]) -> Iterable[Refused]:
    for check in checks:
        try:
            check()
        except Refused as exc:
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
