"""Snapshots, what they hold on to, and who holds on to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CompoundSelect,
    Connection,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.catalog.mapping import is_among, table
from shared.catalog.models import JobRow, ReadingRow, SnapshotHoldRow, SnapshotRow
from shared.catalog.rows import SNAPSHOT_FIELDS, to_snapshot
from shared.catalog.statements import statement
from shared.domain import reuse
from shared.domain.increments import HowRead
from shared.domain.job import FINAL, JobKind
from shared.domain.manifest import Manifest, plain
from shared.domain.snapshot import Reason, Snapshot, SnapshotState

SNAPSHOT = table(SnapshotRow)
HOLD = table(SnapshotHoldRow)
JOB = table(JobRow)
READING = table(ReadingRow)

# The rows of its tables are long, and wanted of one at a time.
SHOWN = tuple(SNAPSHOT.c[name] for name in SNAPSHOT_FIELDS)
HIDDEN = (SnapshotState.DELETING, SnapshotState.DELETED)
READERS = (JobKind.RESTORE, JobKind.VERIFY, JobKind.TABLES, JobKind.RESET)
"""Kinds of jobs that need the snapshot in their request from the moment they are accepted."""

UNSUSPECTED = (
    select(*SHOWN)
    .where(SNAPSHOT.c.state == SnapshotState.SEALED, SNAPSHOT.c.reason != Reason.SAFEGUARD)
    .where(or_(func.jsonb_array_length(SNAPSHOT.c.suspicions) == 0, SNAPSHOT.c.accepted_at.is_not(None)))
    .order_by(SNAPSHOT.c.sequence.desc())
    .limit(1)
)
"""The newest of what can be measured by: a safeguard shows a database as it was being given up."""


class Snapshots:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def begin(
        self, snapshot_id: str, *, database: str, job_id: str, reason: Reason, labels: Mapping[str, str]
    ) -> None:
        """Note that a snapshot is asked for. Its sequence number is the next of its database."""
        self._db.execute(text("select 1 from database where name = :name for update"), {"name": database})
        # A statement of its own: this one sees what the former holder of the lock has committed.
        newest = select(func.coalesce(func.max(SNAPSHOT.c.sequence), 0) + 1)
        self._db.execute(
            insert(SNAPSHOT).values(
                id=snapshot_id,
                database=database,
                sequence=newest.where(SNAPSHOT.c.database == database).scalar_subquery(),
                job_id=job_id,
                reason=reason,
                labels=dict(labels),
            )
        )

    def seal(
        self,
        manifest: Manifest,
        *,
        manifest_sha256: str,
        new_bytes: int,
        duration_seconds: float,
        suspicions: Sequence[str] = (),
        kept_for: timedelta | None = None,
    ) -> bool:
        """Make a snapshot count. False when it is not being copied any more."""
        change = (
            update(SNAPSHOT)
            .where(SNAPSHOT.c.id == manifest.id, SNAPSHOT.c.state == SnapshotState.COPYING)
            .values(
                state=SnapshotState.SEALED,
                sealed_at=func.now(),
                new_bytes=new_bytes,
                duration_seconds=duration_seconds,
                manifest_sha256=manifest_sha256,
                **contents(manifest, may_be_base=self._may_be_base(manifest)),
                suspicions=list(suspicions),
                kept_until=None if kept_for is None else func.now() + kept_for,
            )
        )
        if self._db.execute(change).rowcount != 1:
            return False
        used = {"snapshot_id": manifest.id, "database": manifest.database}
        self._db.execute(statement("use_chunks"), used | {"sha256s": list(manifest.distinct_chunks)})
        return True

    def fail(self, snapshot_id: str, *, error: Mapping[str, Any] | None) -> None:
        """A snapshot that will not be sealed any more; one that is sealed stays so."""
        change = (
            update(SNAPSHOT)
            .where(SNAPSHOT.c.id == snapshot_id, SNAPSHOT.c.state == SnapshotState.COPYING)
            .values(state=SnapshotState.FAILED, failed_at=func.now(), error=error and dict(error))
        )
        self._db.execute(change)

    def hide(self, snapshot_ids: Collection[str]) -> None:
        """First of all: what is being deleted is seen and used by nobody.

        What was pinned or is held by a job since the plan was made is left alone: the rows are locked
        first, so that the holds are looked at only when nobody can be in the middle of taking one.
        """
        if not snapshot_ids:
            return
        rows = select(SNAPSHOT.c.id).where(is_among(SNAPSHOT.c.id, snapshot_ids)).order_by(SNAPSHOT.c.id)
        self._db.execute(rows.with_for_update())
        change = (
            update(SNAPSHOT)
            .where(is_among(SNAPSHOT.c.id, snapshot_ids))
            .where(SNAPSHOT.c.state.in_([SnapshotState.SEALED, SnapshotState.FAILED]))
            .where(~SNAPSHOT.c.pinned, SNAPSHOT.c.id.not_in(self._held()))
            .values(state=SnapshotState.DELETING)
        )
        self._db.execute(change)

    def being_deleted(self, database: str) -> Sequence[str]:
        """Hidden ones, the oldest first."""
        query = select(SNAPSHOT.c.id).where(
            SNAPSHOT.c.database == database, SNAPSHOT.c.state == SnapshotState.DELETING
        )
        return list(self._db.execute(query.order_by(SNAPSHOT.c.sequence)).scalars())

    def forget_chunks(self, snapshot_ids: Collection[str], *, most: int) -> tuple[frozenset[str], bool]:
        """Let go of so many uses of their chunks, once their manifests are gone; the names of those chunks, and
        whether there is no more of it.
        """
        asked = {"snapshot_ids": list(snapshot_ids), "most": most}
        rows = self._db.execute(statement("forget_chunks"), asked).all()
        return frozenset(row.sha256 for row in rows), sum(row.uses for row in rows) < most

    def bury(self, snapshot_ids: Collection[str]) -> None:
        """The tombstones: nothing of them is stored any more."""
        change = update(SNAPSHOT).where(
            is_among(SNAPSHOT.c.id, snapshot_ids), SNAPSHOT.c.state == SnapshotState.DELETING
        )
        self._db.execute(change.values(state=SnapshotState.DELETED, deleted_at=func.now()))

    def set_pinned(self, snapshot_id: str, *, pinned: bool) -> bool:
        change = update(SNAPSHOT).where(SNAPSHOT.c.id == snapshot_id, SNAPSHOT.c.state.not_in(HIDDEN))
        return self._db.execute(change.values(pinned=pinned)).rowcount == 1

    def keep(self, snapshot_id: str, *, window: timedelta) -> None:
        """Let retention leave it alone for so long from now on."""
        change = update(SNAPSHOT).where(SNAPSHOT.c.id == snapshot_id)
        self._db.execute(change.values(kept_until=func.now() + window))

    def accept(self, snapshot_id: str) -> bool:
        """Note that a suspect snapshot is right as it is; False unless it is sealed."""
        change = update(SNAPSHOT).where(
            SNAPSHOT.c.id == snapshot_id, SNAPSHOT.c.state == SnapshotState.SEALED
        )
        return self._db.execute(change.values(accepted_at=func.now())).rowcount == 1

    def suspect(self, snapshot_id: str, suspicions: Sequence[str]) -> None:
        """Say anew why it looks wrong, or that it does not any more; whoever accepted it had not heard of that."""
        change = update(SNAPSHOT).where(SNAPSHOT.c.id == snapshot_id)
        self._db.execute(change.values(suspicions=list(suspicions), accepted_at=None))

    def judge(self, snapshot_id: str, *, matched: bool) -> None:
        """Note what the newest real restore of a snapshot showed."""
        change = update(SNAPSHOT).where(SNAPSHOT.c.id == snapshot_id)
        verdict = {
            "verified_at": func.now() if matched else None,
            "refuted_at": None if matched else func.now(),
        }
        self._db.execute(change.values(verdict))

    def hold(self, snapshot_id: str, *, job_id: str) -> bool:
        """Keep a sealed snapshot from retention until the job has ended; False if it is not there.

        The row is locked first, so that hiding and holding cannot both win.
        """
        query = select(SNAPSHOT.c.id).where(
            SNAPSHOT.c.id == snapshot_id, SNAPSHOT.c.state == SnapshotState.SEALED
        )
        if self._db.execute(query.with_for_update()).one_or_none() is None:
            return False
        hold = upsert(HOLD).values(snapshot_id=snapshot_id, job_id=job_id)
        self._db.execute(hold.on_conflict_do_nothing())
        return True

    def held(self, database: str) -> frozenset[str]:
        """Snapshots that an unfinished job needs, or that somebody reads; a restore that still waits for its turn counts."""
        query = select(SNAPSHOT.c.id).where(SNAPSHOT.c.database == database, SNAPSHOT.c.id.in_(self._held()))
        return frozenset(self._db.execute(query).scalars())

    def _held(self) -> CompoundSelect[Any]:
        unfinished = JOB.c.state.not_in(list(FINAL))
        taken = select(HOLD.c.snapshot_id).join(JOB, JOB.c.id == HOLD.c.job_id).where(unfinished)
        asked_for = select(JOB.c.request["snapshot_id"].astext).where(
            unfinished, JOB.c.kind.in_(READERS), JOB.c.request["snapshot_id"].astext.is_not(None)
        )
        read = select(READING.c.snapshot_id).where(
            READING.c.ended_at.is_(None), READING.c.held_until > func.now()
        )
        return taken.union(asked_for, read)

    def get(self, snapshot_id: str) -> Snapshot | None:
        query = select(*SHOWN).where(SNAPSHOT.c.id == snapshot_id)
        row = self._db.execute(query).mappings().one_or_none()
        return to_snapshot(row) if row else None

    def find(self, prefix: str) -> list[Snapshot]:
        """Up to two snapshots whose id starts with what a user typed, tombstones included."""
        query = select(*SHOWN).where(func.starts_with(SNAPSHOT.c.id, prefix)).order_by(SNAPSHOT.c.id)
        return [to_snapshot(row) for row in self._db.execute(query.limit(2)).mappings()]

    def table_rows(self, snapshot_id: str) -> Mapping[str, int]:
        """Rows of each table, by `schema.name`; empty unless it was sealed."""
        query = select(SNAPSHOT.c.table_rows).where(SNAPSHOT.c.id == snapshot_id)
        return self._db.execute(query).scalar_one_or_none() or {}

    def of_job(self, job_id: str) -> Snapshot | None:
        query = select(*SHOWN).where(SNAPSHOT.c.job_id == job_id)
        row = self._db.execute(query).mappings().one_or_none()
        return to_snapshot(row) if row else None

    def newest_sealed(self, database: str, *, at: datetime | None = None) -> Snapshot | None:
        """The newest sealed one; with `at`, of those taken at or before that moment."""
        query = select(*SHOWN).where(
            SNAPSHOT.c.database == database, SNAPSHOT.c.state == SnapshotState.SEALED
        )
        if at is not None:
            query = query.where(SNAPSHOT.c.taken_at <= at)
        newest = query.order_by(SNAPSHOT.c.sequence.desc()).limit(1)
        row = self._db.execute(newest).mappings().one_or_none()
        return to_snapshot(row) if row else None

    def newest_good(
        self, database: str, *, at: datetime | None = None, verified: bool = False
    ) -> Snapshot | None:
        """The newest sealed one that is neither suspect nor refuted; no safeguard.

        With `at`, of those taken at or before that moment; with `verified`, of those that a real restore
        has matched.
        """
        query = UNSUSPECTED.where(SNAPSHOT.c.database == database, SNAPSHOT.c.refuted_at.is_(None))
        if at is not None:
            query = query.where(SNAPSHOT.c.taken_at <= at)
        if verified:
            query = query.where(SNAPSHOT.c.verified_at.is_not(None))
        row = self._db.execute(query).mappings().one_or_none()
        return to_snapshot(row) if row else None

    def newest_base(self, database: str) -> Snapshot | None:
        """The newest sealed one that others can be built on, and that no proof has refuted."""
        query = (
            select(*SHOWN)
            .where(SNAPSHOT.c.database == database, SNAPSHOT.c.state == SnapshotState.SEALED)
            .where(SNAPSHOT.c.how_read["is_base"].as_boolean(), SNAPSHOT.c.refuted_at.is_(None))
            .order_by(SNAPSHOT.c.sequence.desc())
            .limit(1)
        )
        row = self._db.execute(query).mappings().one_or_none()
        return to_snapshot(row) if row else None

    def _may_be_base(self, manifest: Manifest) -> bool:
        """False where what it took parts over from was found wrong since: it holds the same parts.

        That one's row stays locked, so that it is not found wrong between this look and the commit.
        """
        built_on = manifest.increment.built_on if manifest.increment is not None else None
        if built_on is None:
            return True
        query = select(SNAPSHOT.c.how_read["is_base"].as_boolean() & SNAPSHOT.c.refuted_at.is_(None))
        found = self._db.execute(query.where(SNAPSHOT.c.id == built_on).with_for_update(read=True))
        return bool(found.scalar_one_or_none())

    def distrust_bases(self, database: str) -> None:
        """Nothing is built on any of those that there are, nor on one that is being built on one of them."""
        is_base = (SNAPSHOT.c.database == database, SNAPSHOT.c.how_read["is_base"].as_boolean())
        # First of all wait for who seals one that was built on one of these: the change itself sees it then.
        self._db.execute(select(SNAPSHOT.c.id).where(*is_base).order_by(SNAPSHOT.c.id).with_for_update())
        change = update(SNAPSHOT).where(*is_base)
        distrusted = func.jsonb_set(SNAPSHOT.c.how_read, ["is_base"], text("'false'::jsonb"))
        self._db.execute(change.values(how_read=distrusted))

    def measure(self, database: str, *, before: int) -> Snapshot | None:
        """What a snapshot of this sequence number is compared with.

        The newest earlier one that is sealed and not suspect, or accepted; no safeguard.
        """
        query = UNSUSPECTED.where(SNAPSHOT.c.database == database, SNAPSHOT.c.sequence < before)
        row = self._db.execute(query).mappings().one_or_none()
        return to_snapshot(row) if row else None

    def undeleted(self, database: str) -> Sequence[Snapshot]:
        """All of which anything may be stored, the newest first: no tombstones, of which there are more each day."""
        query = select(*SHOWN).where(SNAPSHOT.c.database == database)
        query = query.where(SNAPSHOT.c.state != SnapshotState.DELETED).order_by(SNAPSHOT.c.sequence.desc())
        return [to_snapshot(row) for row in self._db.execute(query).mappings()]

    def among(self, snapshot_ids: Collection[str]) -> Sequence[Snapshot]:
        """Those of these that are known, whatever became of them."""
        if not snapshot_ids:
            return []
        query = select(*SHOWN).where(is_among(SNAPSHOT.c.id, snapshot_ids))
        return [to_snapshot(row) for row in self._db.execute(query).mappings()]

    def sealed_after(self, database: str, sequence: int) -> Sequence[Snapshot]:
        """Sealed ones that are newer, the newest first."""
        query = select(*SHOWN).where(SNAPSHOT.c.database == database, SNAPSHOT.c.sequence > sequence)
        query = query.where(SNAPSHOT.c.state == SnapshotState.SEALED).order_by(SNAPSHOT.c.sequence.desc())
        return [to_snapshot(row) for row in self._db.execute(query).mappings()]

    def regular_before(self, database: str, sequence: int) -> Snapshot | None:
        """The newest older one that is sealed, good or not; no safeguard."""
        query = select(*SHOWN).where(SNAPSHOT.c.database == database, SNAPSHOT.c.sequence < sequence)
        query = query.where(SNAPSHOT.c.state == SnapshotState.SEALED, SNAPSHOT.c.reason != Reason.SAFEGUARD)
        row = self._db.execute(query.order_by(SNAPSHOT.c.sequence.desc()).limit(1)).mappings().one_or_none()
        return to_snapshot(row) if row else None

    def listing(self, *, database: str | None = None, with_hidden: bool = False) -> Sequence[Snapshot]:
        """The newest first; those being deleted and the tombstones only on request."""
        query = select(*SHOWN).order_by(SNAPSHOT.c.database, SNAPSHOT.c.sequence.desc())
        if database is not None:
            query = query.where(SNAPSHOT.c.database == database)
        if not with_hidden:
            query = query.where(SNAPSHOT.c.state.not_in(HIDDEN))
        return [to_snapshot(row) for row in self._db.execute(query).mappings()]


def contents(manifest: Manifest, *, may_be_base: bool) -> dict[str, Any]:
    """The columns of a sealed snapshot that repeat what its manifest says, but for whether it may be built on."""
    how_read = reuse.how_read(manifest)
    if how_read is not None and not may_be_base:
        how_read = replace(how_read, is_base=False)
    return {
        "taken_at": manifest.taken_at,
        "server_version": manifest.source.server_version,
        "tool_version": manifest.source.tool_version,
        "raw_bytes": manifest.raw_bytes,
        "stored_bytes": manifest.stored_bytes,
        "row_count": manifest.row_count,
        "table_rows": {f"{t.schema}.{t.name}": t.row_count for t in manifest.tables},
        "how_read": None if how_read is None else plain(how_read, HowRead),
    }
