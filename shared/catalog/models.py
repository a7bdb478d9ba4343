"""The tables of the catalog: our own database, the record of everything.

Rows never leave this room: the modules beside this one hand out the frozen values of `shared.domain`.
Migrations in `migrations/` create exactly this; a test compares the two.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column

from shared.catalog.mapping import EMPTY, NONE, NOW, Base, live_in, one_of
from shared.domain.job import JobKind, JobState, Lane, StepState
from shared.domain.snapshot import Reason, SnapshotState


class DatabaseRow(Base):
    __tablename__ = "database"

    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    slots_until: Mapped[datetime] = mapped_column(server_default=NOW)
    """Every slot at or before this moment is decided: made or missed."""
    event_sequence: Mapped[int] = mapped_column(server_default=text("0"))
    blocked_at: Mapped[datetime | None]
    blocked_why: Mapped[str | None]
    """Why no snapshot of it is taken until somebody decides."""


class JobRow(Base):
    __tablename__ = "job"

    id: Mapped[str] = mapped_column(UUID(as_uuid=False), primary_key=True)
    kind: Mapped[str]
    database: Mapped[str] = mapped_column(ForeignKey("database.name"))
    request: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    idempotency_key: Mapped[str] = mapped_column(unique=True)
    request_digest: Mapped[str | None]
    state: Mapped[str] = mapped_column(server_default=text("'pending'"))
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    next_seq: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    rings: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    progress: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    result: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    not_before: Mapped[datetime] = mapped_column(server_default=NOW)
    deadline_at: Mapped[datetime]
    enqueued_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    lease_owner: Mapped[str | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(one_of("kind", JobKind), name="kind"),
        CheckConstraint(one_of("state", JobState), name="state"),
        CheckConstraint("epoch >= 0 and next_seq >= 1", name="counters"),
        # Whatever messages say, at most one live job per database changes it; the same for each other lane.
        Index(
            "job_one_live_per_database",
            "database",
            unique=True,
            postgresql_where=text(live_in(Lane.CHANGES)),
        ),
        Index(
            "job_one_proof_per_database", "database", unique=True, postgresql_where=text(live_in(Lane.PROOF))
        ),
        Index(
            "job_one_watch_per_database", "database", unique=True, postgresql_where=text(live_in(Lane.WATCH))
        ),
        Index(
            "job_unfinished_idx",
            "not_before",
            postgresql_where=text("state in ('pending', 'active', 'rolling_back')"),
        ),
        Index("job_database_created_at_idx", "database", text("created_at desc")),
        Index("job_created_at_idx", text("created_at desc"), text("id desc")),
        # Of a state, or a kind, that few have: the newest of those are found without reading all the others.
        Index("job_state_idx", "state", text("created_at desc"), text("id desc")),
        Index("job_kind_idx", "kind", text("created_at desc"), text("id desc")),
        Index("job_finished_at_idx", "finished_at", postgresql_where=text("finished_at is not null")),
    )


class JobStepRow(Base):
    __tablename__ = "job_step"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'new'"))
    data: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (CheckConstraint(one_of("state", StepState), name="state"),)


class PartRow(Base):
    """A part of a copy or a load, with a lease of its own, so that lead and hands can share them."""

    __tablename__ = "part"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    epoch: Mapped[int]
    state: Mapped[str] = mapped_column(server_default=text("'new'"))
    spec: Mapped[dict[str, Any]]
    expected_bytes: Mapped[int]
    done_bytes: Mapped[int] = mapped_column(server_default=text("0"))
    result: Mapped[dict[str, Any] | None]
    lease_until: Mapped[datetime | None]
    lease_owner: Mapped[str | None]

    __table_args__ = (CheckConstraint("state in ('new', 'taken', 'done')", name="state"),)


class SnapshotRow(Base):
    __tablename__ = "snapshot"

    id: Mapped[str] = mapped_column(primary_key=True)
    database: Mapped[str] = mapped_column(ForeignKey("database.name"))
    sequence: Mapped[int]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("job.id"))
    state: Mapped[str] = mapped_column(server_default=text("'copying'"))
    reason: Mapped[str]
    labels: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    pinned: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    taken_at: Mapped[datetime | None]
    sealed_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    server_version: Mapped[str | None]
    tool_version: Mapped[str | None]
    raw_bytes: Mapped[int | None]
    stored_bytes: Mapped[int | None]
    new_bytes: Mapped[int | None]
    row_count: Mapped[int | None]
    table_rows: Mapped[dict[str, Any] | None]
    duration_seconds: Mapped[float | None]
    manifest_sha256: Mapped[str | None]
    error: Mapped[dict[str, Any] | None]
    verified_at: Mapped[datetime | None]
    refuted_at: Mapped[datetime | None]
    suspicions: Mapped[list[str]] = mapped_column(JSONB(), server_default=NONE)
    accepted_at: Mapped[datetime | None]
    kept_until: Mapped[datetime | None]
    standing_of: Mapped[str | None]
    """The fingerprint that the rest of the row had when what it says was last written beside the manifest."""
    how_read: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))

    __table_args__ = (
        UniqueConstraint("database", "sequence"),
        CheckConstraint(one_of("state", SnapshotState), name="state"),
        CheckConstraint(one_of("reason", Reason), name="reason"),
        CheckConstraint(
            "state <> 'sealed' or (manifest_sha256 is not null and taken_at is not null)", name="sealed"
        ),
        Index(
            "snapshot_newest_sealed_idx",
            "database",
            text("sequence desc"),
            postgresql_where=text("state = 'sealed'"),
        ),
        Index("snapshot_taken_at_idx", "database", text("taken_at desc")),
        Index(
            "snapshot_newest_verified_idx",
            "database",
            text("sequence desc"),
            postgresql_where=text("state = 'sealed' and verified_at is not null"),
        ),
        Index(
            "snapshot_shown_idx",
            "database",
            text("sequence desc"),
            postgresql_where=text("state not in ('deleting', 'deleted')"),
        ),
        Index("snapshot_state_idx", "database", "state", text("sequence desc")),
    )


class VerificationRow(Base):
    """One comparison of a snapshot with what a real restore of it gave: what an auditor asks for."""

    __tablename__ = "verification"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"))
    database: Mapped[str] = mapped_column(ForeignKey("database.name"))
    verified_at: Mapped[datetime] = mapped_column(server_default=NOW)
    matched: Mapped[bool]
    restore_seconds: Mapped[float]
    prove_seconds: Mapped[float]
    raw_bytes: Mapped[int]
    compared: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    """How much of each kind was compared: tables, rows, digests, sequences, assertions, …"""
    differences: Mapped[list[str]] = mapped_column(JSONB(), server_default=NONE)

    __table_args__ = (
        Index("verification_snapshot_idx", "snapshot_id", "verified_at"),
        Index("verification_database_idx", "database", "verified_at"),
    )


class SnapshotHoldRow(Base):
    """A job that needs a snapshot to stay: retention leaves it alone until the job has ended."""

    __tablename__ = "snapshot_hold"

    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)


class ReadingRow(Base):
    """One reading of all that is stored of a snapshot; until it ends, or is not heard of, it holds the snapshot."""

    __tablename__ = "reading"

    id: Mapped[str] = mapped_column(UUID(as_uuid=False), primary_key=True)
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"))
    began_at: Mapped[datetime] = mapped_column(server_default=NOW)
    held_until: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    objects: Mapped[int | None]
    differences: Mapped[list[str]] = mapped_column(JSONB(), server_default=NONE)

    __table_args__ = (Index("reading_snapshot_idx", "snapshot_id", "ended_at"),)


class ChunkRow(Base):
    __tablename__ = "chunk"

    database: Mapped[str] = mapped_column(ForeignKey("database.name"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    raw_bytes: Mapped[int]
    stored_bytes: Mapped[int]
    stored_sha256: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'storing'"))
    touched_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (
        CheckConstraint("state in ('storing', 'stored', 'deleting')", name="state"),
        Index("chunk_touched_at_idx", "database", "touched_at"),
    )


class SnapshotChunkRow(Base):
    __tablename__ = "snapshot_chunk"

    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"), primary_key=True)
    database: Mapped[str]
    sha256: Mapped[str] = mapped_column(primary_key=True)

    __table_args__ = (
        ForeignKeyConstraint(["database", "sha256"], ["chunk.database", "chunk.sha256"]),
        Index("snapshot_chunk_chunk_idx", "database", "sha256"),
    )


class SlotRow(Base):
    """One due moment of a schedule; the unique key makes two beats harmless."""

    __tablename__ = "slot"

    database: Mapped[str] = mapped_column(ForeignKey("database.name"), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(primary_key=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("job.id"))
    """None: missed, because nobody was there to run it and a later one was due as well."""

    __table_args__ = (Index("slot_missed_idx", "database", postgresql_where=text("job_id is null")),)


class ParkedRow(Base):
    """A database that a swap took out of the way, kept for the undo window."""

    __tablename__ = "parked"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    database: Mapped[str] = mapped_column(ForeignKey("database.name"))
    parked_name: Mapped[str]
    live_name: Mapped[str]
    parked_oid: Mapped[int]
    expires_at: Mapped[datetime]
    dropped_at: Mapped[datetime | None]


class WarmRow(Base):
    """The side database of a proof, kept so that its snapshot can be swapped in: never a backup.

    It is ours from before it was renamed until `dropped_at`: dropped, or made a live one.
    """

    __tablename__ = "warm"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    """The verify job that has proven it. Until that has succeeded it is nobody's to take."""
    database: Mapped[str] = mapped_column(ForeignKey("database.name"))
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"))
    name: Mapped[str]
    oid: Mapped[int]
    system_identifier: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=NOW)
    assertions: Mapped[str]
    """A hash of the queries that it was proven with."""
    first_seal: Mapped[dict[str, Any]]
    """What the server said of it once nobody could get in any more, before it was renamed."""
    seal: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """The same after that; None until then."""
    size_bytes: Mapped[int | None]
    taken_by: Mapped[str | None] = mapped_column(ForeignKey("job.id"))
    """The restore that relies on it."""
    let_go_at: Mapped[datetime | None]
    """From then on nobody may take it: it is being dropped."""
    dropped_at: Mapped[datetime | None]

    __table_args__ = (Index("warm_there_idx", "database", postgresql_where=text("dropped_at is null")),)


class CanaryRow(Base):
    """When a worker last took beat's message from this queue: no job, so that none is mistaken for one."""

    __tablename__ = "canary"

    queue: Mapped[str] = mapped_column(primary_key=True)
    sung_at: Mapped[datetime] = mapped_column(server_default=NOW)
    worker: Mapped[str]
