"""What the repository knows of a snapshot's standing, and snapshots that only the repository knows of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, insert, literal, literal_column, select, text, update

from shared.catalog.mapping import is_among, table
from shared.catalog.models import SnapshotChunkRow, SnapshotRow
from shared.catalog.rows import to_snapshot
from shared.catalog.snapshots import SHOWN, contents
from shared.domain.manifest import Manifest
from shared.domain.snapshot import Snapshot, SnapshotState
from shared.domain.standing import Standing

SNAPSHOT = table(SnapshotRow)
USED = table(SnapshotChunkRow)

# The whole row, so that no later column can be forgotten; the rows of its tables never change.
FINGERPRINT: ColumnElement[str] = literal_column(
    "md5((to_jsonb(snapshot) - array['standing_of', 'table_rows', 'how_read'])::text)"
)


def fingerprint(marks: str) -> ColumnElement[str]:
    return func.concat(FINGERPRINT, literal(marks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwritten:
    """A sealed snapshot as its row is now, and what tells whether the row has changed since."""

    snapshot: Snapshot
    fingerprint: str


class Standings:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def take_turn(self, database: str) -> None:
        """Whoever writes the list of this database's snapshots next waits until this transaction has ended."""
        lock = text("select pg_advisory_xact_lock(hashtextextended('snapfleet chain ' || :database, 0))")
        self._db.execute(lock, {"database": database})

    def unwritten(
        self,
        database: str | None,
        *,
        limit: int,
        marks: str = "",
        only: Collection[str] | None = None,
    ) -> Sequence[tuple[str, str]]:
        """Ids and databases of sealed snapshots of which the repository does not know what the catalog knows.

        `marks` are of the keys that it would be written with: with others it is to be written anew. With `only`
        it looks at these, instead of at every one that there is.
        """
        query = select(SNAPSHOT.c.id, SNAPSHOT.c.database).where(
            SNAPSHOT.c.state == SnapshotState.SEALED,
            SNAPSHOT.c.standing_of.is_distinct_from(fingerprint(marks)),
        )
        if database is not None:
            query = query.where(SNAPSHOT.c.database == database)
        if only is not None:
            query = query.where(is_among(SNAPSHOT.c.id, only))
        rows = self._db.execute(query.order_by(SNAPSHOT.c.id).limit(limit))
        return [(row.id, row.database) for row in rows]

    def take(self, snapshot_id: str, *, marks: str = "") -> Unwritten | None:
        """One of them, for this transaction alone to write; None where another does, or none is needed."""
        lock = text("select pg_try_advisory_xact_lock(hashtextextended('snapfleet standing ' || :id, 0))")
        if not self._db.execute(lock, {"id": snapshot_id}).scalar_one():
            return None
        found = fingerprint(marks)
        query = select(*SHOWN, found.label("fingerprint")).where(
            SNAPSHOT.c.id == snapshot_id,
            SNAPSHOT.c.state == SnapshotState.SEALED,
            SNAPSHOT.c.standing_of.is_distinct_from(found),
        )
        row = self._db.execute(query).mappings().one_or_none()
        return Unwritten(snapshot=to_snapshot(row), fingerprint=row["fingerprint"]) if row else None

    def written(self, unwritten: Unwritten) -> bool:
        """Note what was written; False where the snapshot is not sealed any more."""
        change = update(SNAPSHOT).where(
            SNAPSHOT.c.id == unwritten.snapshot.id, SNAPSHOT.c.state == SnapshotState.SEALED
        )
        return self._db.execute(change.values(standing_of=unwritten.fingerprint)).rowcount == 1

    def enter(
        self, manifest: Manifest, *, manifest_sha256: str, standing: Standing, after: str | None
    ) -> bool:
        """Note a sealed snapshot that only the repository knew of; False where its id is known by now.

        It comes right behind the snapshot `after`, or before all. Its sequence number is the one that it
        had, where that fits there. Its chunks must be known.
        """
        name = manifest.database
        self._db.execute(text("select 1 from database where name = :name for update"), {"name": name})
        if self._db.execute(select(SNAPSHOT.c.id).where(SNAPSHOT.c.id == manifest.id)).one_or_none():
            return False
        self._db.execute(
            insert(SNAPSHOT).values(
                id=manifest.id,
                database=name,
                sequence=self._place(name, after=after, wanted=standing.sequence),
                state=SnapshotState.SEALED,
                reason=standing.reason,
                labels=dict(standing.labels),
                pinned=standing.pinned,
                created_at=standing.created_at,
                sealed_at=standing.sealed_at,
                new_bytes=standing.new_bytes,
                duration_seconds=standing.duration_seconds,
                manifest_sha256=manifest_sha256,
                verified_at=standing.verified_at,
                refuted_at=standing.refuted_at,
                suspicions=list(standing.suspicions),
                accepted_at=standing.accepted_at,
                kept_until=standing.kept_until,
                # It may have been found wrong since, in the catalog that has seen it sealed.
                **contents(manifest, may_be_base=False),
            )
        )
        used = [{"snapshot_id": manifest.id, "database": name, "sha256": c} for c in manifest.distinct_chunks]
        if used:
            self._db.execute(insert(USED), used)
        return True

    def _place(self, database: str, *, after: str | None, wanted: int) -> int:
        of_database = SNAPSHOT.c.database == database
        previous = 0
        if after is not None:
            query = select(SNAPSHOT.c.sequence).where(SNAPSHOT.c.id == after)
            previous = self._db.execute(query).scalar_one()
        later = select(func.min(SNAPSHOT.c.sequence)).where(of_database, SNAPSHOT.c.sequence > previous)
        following: int | None = self._db.execute(later).scalar_one()
        if previous < wanted and (following is None or wanted < following):
            return wanted
        if following == previous + 1:
            # All later ones move up by one; by way of negative numbers, for no two may ever be the same.
            up = update(SNAPSHOT).where(of_database, SNAPSHOT.c.sequence > previous)
            self._db.execute(up.values(sequence=-SNAPSHOT.c.sequence - 1))
            back = update(SNAPSHOT).where(of_database, SNAPSHOT.c.sequence < 0)
            self._db.execute(back.values(sequence=-SNAPSHOT.c.sequence))
        return previous + 1
