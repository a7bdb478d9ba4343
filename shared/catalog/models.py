"""The tables of the catalog: our own database, the record of everything.

Rows never leave this room: the modules beside this one hand out the frozen values of `shared.domain`.
Migrations in `migrations/` create exactly this; a test compares the two.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.domain.access import Role
from shared.domain.job import LANES, JobKind, JobState, Lane, StepState
from shared.domain.snapshot import Reason, SnapshotState


class Base(DeclarativeBase):
    # Named by rule, so that a later migration can name what it changes.
    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads a plain class attribute
        str: Text(),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(),
        int: BigInteger(),
    }


def table(row: type[Base]) -> Table:
    """The plain table behind a model: what statements are built from."""
    found = row.__table__
    if not isinstance(found, Table):
        raise TypeError(f"{row.__name__} is not mapped to a table")
    return found


NOW = text("now()")
EMPTY = text("'{}'::jsonb")
NONE = text("'[]'::jsonb")
LIVE = "state in ('active', 'rolling_back')"


def one_of(column: str, values: type[JobKind | JobState | StepState | SnapshotState | Reason | Role]) -> str:
    return f"{column} in ({', '.join(repr(str(v)) for v in values)})"


def live_in(lane: Lane) -> str:
    kinds = ", ".join(repr(str(kind)) for kind in JobKind if LANES[kind] is lane)
    return f"{LIVE} and kind in ({kinds})"


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


class CanaryRow(Base):
    """When a worker last took beat's message from this queue: no job, so that none is mistaken for one."""

    __tablename__ = "canary"

    queue: Mapped[str] = mapped_column(primary_key=True)
    sung_at: Mapped[datetime] = mapped_column(server_default=NOW)
    worker: Mapped[str]


class OutboxRow(Base):
    """Events, written in the transaction that they tell of; a relay publishes them in order."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    event_id: Mapped[str] = mapped_column(UUID(as_uuid=False), server_default=text("gen_random_uuid()"))
    """What the world knows it by: the same however often it is sent, and no other's, whatever is rebuilt."""
    database: Mapped[str | None] = mapped_column(ForeignKey("database.name"))
    """None for a request that names no database of ours; such an event has no sequence."""
    sequence: Mapped[int | None]
    type: Mapped[str]
    job_id: Mapped[str | None] = mapped_column(UUID(as_uuid=False))
    cause_source: Mapped[str | None]
    cause_id: Mapped[str | None]
    data: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    published_at: Mapped[datetime | None]
    noticed_at: Mapped[datetime | None]
    """When it was looked at for whoever wants to be told of such."""

    __table_args__ = (
        UniqueConstraint("database", "sequence"),
        CheckConstraint("(database is null) = (sequence is null)", name="sequence"),
        Index("outbox_unpublished_idx", "id", postgresql_where=text("published_at is null")),
        Index("outbox_unnoticed_idx", "id", postgresql_where=text("noticed_at is null")),
        Index("outbox_job_idx", "job_id", "id"),
    )


class NoticeRow(Base):
    """An event that a hook is still to be given."""

    __tablename__ = "notice"

    hook: Mapped[str] = mapped_column(primary_key=True)
    outbox_id: Mapped[int] = mapped_column(ForeignKey("outbox.id", ondelete="CASCADE"), primary_key=True)
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    not_before: Mapped[datetime] = mapped_column(server_default=NOW)


class InboxRow(Base):
    """A request that came over the event bus, and what was answered: its key makes a repetition harmless."""

    __tablename__ = "inbox"

    source: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    entry: Mapped[str]
    """The first stream entry that brought it."""
    received_at: Mapped[datetime] = mapped_column(server_default=NOW)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("job.id"))
    error: Mapped[dict[str, Any] | None]
    """Why it was not granted; None where it was."""


class CauseRow(Base):
    """Which request a job is for: also of jobs that a job of it will ask for, by the ids they will have."""

    __tablename__ = "cause"

    job_id: Mapped[str] = mapped_column(UUID(as_uuid=False), primary_key=True)
    source: Mapped[str]
    event_id: Mapped[str]

    __table_args__ = (
        ForeignKeyConstraint(["source", "event_id"], ["inbox.source", "inbox.event_id"], ondelete="CASCADE"),
        Index("cause_request_idx", "source", "event_id"),
    )


class TokenRow(Base):
    """What stands for a caller of the API. Its secret is nowhere; this is the hash of it."""

    __tablename__ = "token"

    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    databases: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    """None: it reaches all."""
    sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

    __table_args__ = (CheckConstraint(one_of("role", Role), name="role"),)


class AuditRow(Base):
    """Who did what. A trigger refuses to change or remove an entry; each holds the hash of the one before."""

    __tablename__ = "audit"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor: Mapped[str]
    origin: Mapped[str]
    action: Mapped[str]
    outcome: Mapped[str]
    database: Mapped[str | None]
    job_id: Mapped[str | None] = mapped_column(UUID(as_uuid=False))
    """Without a key of another table: an entry outlives whatever it tells of."""
    details: Mapped[dict[str, Any]] = mapped_column(JSON())
    """Plain JSON, which keeps a number as it was written: it is part of what is hashed."""
    previous: Mapped[str]
    hash: Mapped[str]

    __table_args__ = (
        CheckConstraint("seq >= 1", name="seq"),
        Index("audit_job_idx", "job_id"),
        Index("audit_database_idx", "database", "seq"),
    )
