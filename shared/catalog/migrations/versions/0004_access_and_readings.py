"""Readings of what is stored of a snapshot; tokens; the audit"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reading",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("snapshot_id", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("objects", sa.BigInteger(), nullable=True),
        sa.Column("differences", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("reading_snapshot_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("reading_pkey")),
    )
    op.create_index("reading_snapshot_idx", "reading", ["snapshot_id", "ended_at"])
    op.create_table(
        "canary",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("sung_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("queue", name=op.f("canary_pkey")),
    )
    op.add_column("outbox", sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=True))
    # What happened before anybody could be told is no news.
    op.execute("update outbox set noticed_at = created_at")
    op.create_index("outbox_unnoticed_idx", "outbox", ["id"], postgresql_where=sa.text("noticed_at is null"))
    op.create_table(
        "notice",
        sa.Column("hook", sa.Text(), nullable=False),
        sa.Column("outbox_id", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["outbox_id"], ["outbox.id"], name=op.f("notice_outbox_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hook", "outbox_id", name=op.f("notice_pkey")),
    )
    op.add_column("job", sa.Column("request_digest", sa.Text(), nullable=True))
    op.create_index(
        "job_finished_at_idx", "job", ["finished_at"], postgresql_where=sa.text("finished_at is not null")
    )
    op.create_index("slot_missed_idx", "slot", ["database"], postgresql_where=sa.text("job_id is null"))
    op.create_index("job_created_at_idx", "job", [sa.text("created_at desc"), sa.text("id desc")])
    op.create_index("job_state_idx", "job", ["state", sa.text("created_at desc"), sa.text("id desc")])
    op.create_index("job_kind_idx", "job", ["kind", sa.text("created_at desc"), sa.text("id desc")])
    op.create_index(
        "snapshot_newest_verified_idx",
        "snapshot",
        ["database", sa.text("sequence desc")],
        postgresql_where=sa.text("state = 'sealed' and verified_at is not null"),
    )
    op.create_index(
        "snapshot_shown_idx",
        "snapshot",
        ["database", sa.text("sequence desc")],
        postgresql_where=sa.text("state not in ('deleting', 'deleted')"),
    )
    op.create_index("snapshot_state_idx", "snapshot", ["database", "state", sa.text("sequence desc")])
    op.create_table(
        "token",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("databases", postgresql.JSONB(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role in ('read', 'operate', 'restore', 'admin')", name=op.f("token_role_check")),
        sa.PrimaryKeyConstraint("name", name=op.f("token_pkey")),
        sa.UniqueConstraint("sha256", name=op.f("token_sha256_key")),
    )
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=True),
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.CheckConstraint("seq >= 1", name=op.f("audit_seq_check")),
        sa.PrimaryKeyConstraint("seq", name=op.f("audit_pkey")),
    )
    op.create_index("audit_job_idx", "audit", ["job_id"])
    op.create_index("audit_database_idx", "audit", ["database", "seq"])
    # Grants keep a role that is not the owner from it; this keeps the owner, until he takes it away.
    op.execute(
        """
        create function audit_is_append_only() returns trigger language plpgsql as $$
        begin
            raise exception 'entries of the audit are neither changed nor removed';
        end $$"""
    )
    op.execute(
        """
        create trigger append_only before update or delete or truncate on audit
            for each statement execute function audit_is_append_only()"""
    )
