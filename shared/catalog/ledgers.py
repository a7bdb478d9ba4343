"""The tables of what was told and asked, and of who may ask: outbox, notices, inbox, causes, tokens, audit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column

from shared.catalog.mapping import EMPTY, NOW, Base, one_of
from shared.domain.access import Role


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
