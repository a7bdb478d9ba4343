"""What the repository holds of each database: one row per chunk.

    (absent) ──► storing ──► stored ──► deleting ──► (absent)
                    ▲           └───────────┘
                    └── a copy that meets the mark stores it again

The row is written before the object, so that nothing can lie in the repository that nobody knows of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import (
    Connection,
    RowMapping,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.catalog.mapping import is_among, table
from shared.catalog.models import ChunkRow, SnapshotChunkRow
from shared.catalog.statements import statement
from shared.domain.manifest import Chunk

CHUNK = table(ChunkRow)
USED = table(SnapshotChunkRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    sha256: str
    is_stored: bool
    is_new: bool
    """Nobody knew of it before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownChunk:
    chunk: Chunk
    is_stored: bool
    """False while it is being stored, or deleted."""

    @property
    def stored_bytes(self) -> int:
        return self.chunk.stored_bytes


class Chunks:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def touch(self, database: str, sha256: str) -> Chunk | None:
        """A stored chunk, kept from retention for another day; None when it must be stored."""
        change = (
            update(CHUNK)
            .where(CHUNK.c.database == database, CHUNK.c.sha256 == sha256)
            .where(CHUNK.c.state == "stored")
            .values(touched_at=func.now())
            .returning(CHUNK.c.sha256, CHUNK.c.raw_bytes, CHUNK.c.stored_bytes, CHUNK.c.stored_sha256)
        )
        row = self._db.execute(change).mappings().one_or_none()
        return Chunk(**row) if row else None

    def touch_all(self, database: str, sha256s: Collection[str]) -> Mapping[str, Chunk]:
        """Of these, those that are stored, by name; kept from retention for most of a day at least."""
        of_them = (CHUNK.c.database == database, is_among(CHUNK.c.sha256, sha256s), CHUNK.c.state == "stored")
        # Written seldom: a snapshot every minute names the same chunks again and again.
        aged = func.now() - timedelta(hours=1)
        self._db.execute(
            update(CHUNK).where(*of_them, CHUNK.c.touched_at < aged).values(touched_at=func.now())
        )
        rows = self._db.execute(select(CHUNK).where(*of_them)).mappings()
        return {row["sha256"]: to_known(row).chunk for row in rows}

    def intend(self, database: str, chunk: Chunk) -> None:
        """Note that a chunk is about to be stored."""
        values = {
            "raw_bytes": chunk.raw_bytes,
            "stored_bytes": chunk.stored_bytes,
            "stored_sha256": chunk.stored_sha256,
            "state": "storing",
        }
        row = upsert(CHUNK).values(database=database, sha256=chunk.sha256, **values)
        again = row.on_conflict_do_update(
            index_elements=["database", "sha256"], set_=values | {"touched_at": func.now()}
        )
        self._db.execute(again)

    def stored(self, database: str, sha256: str) -> None:
        change = update(CHUNK).where(CHUNK.c.database == database, CHUNK.c.sha256 == sha256)
        self._db.execute(change.values(state="stored", touched_at=func.now()))

    def known(self, database: str, sha256s: Collection[str]) -> frozenset[str]:
        """Those of them that are stored, as far as is known."""
        query = select(CHUNK.c.sha256).where(
            CHUNK.c.database == database, is_among(CHUNK.c.sha256, sha256s), CHUNK.c.state == "stored"
        )
        return frozenset(self._db.execute(query).scalars())

    def claim(self, database: str, chunks: Collection[Chunk]) -> Sequence[Claimed]:
        """Keep chunks from retention for a day, for a snapshot that is about to count on them."""
        columns = ("sha256", "raw_bytes", "stored_bytes", "stored_sha256")
        given = {column: [getattr(chunk, column) for chunk in chunks] for column in columns}
        rows = self._db.execute(statement("claim_chunks"), {"database": database} | given)
        return [Claimed(**row) for row in rows.mappings()]

    def all_stored(self, database: str, sha256s: Collection[str]) -> None:
        """Note that storage holds these."""
        change = update(CHUNK).where(CHUNK.c.database == database, is_among(CHUNK.c.sha256, sha256s))
        self._db.execute(change.where(CHUNK.c.state == "storing").values(state="stored"))

    def listing(self, database: str, *, only: Collection[str] | None = None) -> Mapping[str, KnownChunk]:
        """What is known of every chunk, or of these, by its name."""
        query = select(CHUNK).where(CHUNK.c.database == database)
        if only is not None:
            query = query.where(is_among(CHUNK.c.sha256, only))
        return {row["sha256"]: to_known(row) for row in self._db.execute(query).mappings()}

    def of_snapshot(self, snapshot_id: str) -> Sequence[Chunk]:
        """As they are stored now, by name: what a manifest tells of them that nobody here can open."""
        of_it = (USED.c.database == CHUNK.c.database) & (USED.c.sha256 == CHUNK.c.sha256)
        query = select(CHUNK).join(USED, of_it).where(USED.c.snapshot_id == snapshot_id)
        return [to_known(row).chunk for row in self._db.execute(query.order_by(CHUNK.c.sha256)).mappings()]

    def users(self, database: str, sha256: str) -> Sequence[str]:
        """Ids of the snapshots that need it, the oldest first."""
        query = select(USED.c.snapshot_id).where(USED.c.database == database, USED.c.sha256 == sha256)
        return list(self._db.execute(query.order_by(USED.c.snapshot_id)).scalars())

    def condemn(self, database: str, stored_bytes: Mapping[str, int]) -> None:
        """Give objects that nobody knew of rows that say that they go; what is known by now is left alone."""
        rows = [
            {
                "database": database,
                "sha256": sha256,
                "raw_bytes": 0,
                "stored_bytes": size,
                "stored_sha256": "",
                "state": "deleting",
            }
            for sha256, size in stored_bytes.items()
        ]
        if rows:
            self._db.execute(upsert(CHUNK).on_conflict_do_nothing(), rows)

    def distrust(self, database: str, sha256s: Collection[str]) -> None:
        """Storage does not hold these as recorded: the next copy that needs them stores them again."""
        change = update(CHUNK).where(CHUNK.c.database == database, CHUNK.c.sha256.in_(list(sha256s)))
        self._db.execute(change.values(state="storing"))

    def mark_dead(
        self, database: str, *, grace: timedelta, only: Collection[str] | None = None
    ) -> Sequence[str]:
        """Mark what no snapshot uses and no copy has touched for `grace`, of these or of all; what is marked."""
        values = {"database": database, "grace": grace, "only": None if only is None else list(only)}
        return list(self._db.execute(statement("dead_chunks"), values).scalars())

    def lock_dead(self, database: str, sha256s: Collection[str]) -> Sequence[str]:
        """Of these, the ones still marked: locked until this transaction ends.

        Each object is deleted under this lock, and storage may take long to answer: a lock that ended
        meanwhile would let a copy store what is then deleted.
        """
        self._db.execute(text("set local idle_in_transaction_session_timeout = '15min'"))
        query = (
            select(CHUNK.c.sha256)
            .where(CHUNK.c.database == database, CHUNK.c.sha256.in_(list(sha256s)))
            .where(CHUNK.c.state == "deleting")
            .order_by(CHUNK.c.sha256)
            .with_for_update()
        )
        return list(self._db.execute(query).scalars())

    def forget(self, database: str, sha256s: Collection[str]) -> int:
        """The stored bytes that go with them."""
        gone = delete(CHUNK).where(CHUNK.c.database == database, CHUNK.c.sha256.in_(list(sha256s)))
        return sum(self._db.execute(gone.returning(CHUNK.c.stored_bytes)).scalars())


def to_known(row: RowMapping) -> KnownChunk:
    values = {name: row[name] for name in ("sha256", "raw_bytes", "stored_bytes", "stored_sha256")}
    return KnownChunk(chunk=Chunk(**values), is_stored=row["state"] == "stored")
