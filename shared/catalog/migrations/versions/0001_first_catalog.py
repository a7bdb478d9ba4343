"""The first catalog: databases, jobs and their steps, parts, snapshots, chunks, slots, outbox"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "database",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("slots_until", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("event_sequence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("database_pkey")),
    )
    op.create_table(
        "chunk",
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("raw_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stored_sha256", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'storing'"), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state in ('storing', 'stored', 'deleting')", name=op.f("chunk_state_check")),
        sa.ForeignKeyConstraint(["database"], ["database.name"], name=op.f("chunk_database_fkey")),
        sa.PrimaryKeyConstraint("database", "sha256", name=op.f("chunk_pkey")),
    )
    op.create_index("chunk_touched_at_idx", "chunk", ["database", "touched_at"], unique=False)
    op.create_table(
        "job",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column(
            "request",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_seq", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rings", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "progress",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "result",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("error", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("enqueued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('snapshot', 'restore', 'undo', 'prune')", name=op.f("job_kind_check")),
        sa.CheckConstraint(
            "state in ('pending', 'active', 'rolling_back', 'succeeded', 'rolled_back', 'failed', 'cancelled')",
            name=op.f("job_state_check"),
        ),
        sa.CheckConstraint("epoch >= 0 and next_seq >= 1", name=op.f("job_counters_check")),
        sa.ForeignKeyConstraint(["database"], ["database.name"], name=op.f("job_database_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("job_pkey")),
        sa.UniqueConstraint("idempotency_key", name=op.f("job_idempotency_key_key")),
    )
    op.create_index(
        "job_database_created_at_idx", "job", ["database", sa.literal_column("created_at desc")], unique=False
    )
    op.create_index(
        "job_one_live_per_database",
        "job",
        ["database"],
        unique=True,
        postgresql_where=sa.text(
            "state in ('active', 'rolling_back') and kind in ('snapshot', 'restore', 'undo', 'prune')"
        ),
    )
    op.create_index(
        "job_unfinished_idx",
        "job",
        ["not_before"],
        unique=False,
        postgresql_where=sa.text("state in ('pending', 'active', 'rolling_back')"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column(
            "data",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["database"], ["database.name"], name=op.f("outbox_database_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
        sa.UniqueConstraint("database", "sequence", name=op.f("outbox_database_sequence_key")),
    )
    op.create_index(
        "outbox_unpublished_idx",
        "outbox",
        ["id"],
        unique=False,
        postgresql_where=sa.text("published_at is null"),
    )
    op.create_table(
        "job_step",
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'new'"), nullable=False),
        sa.Column(
            "data",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state in ('new', 'doing', 'done', 'undone')", name=op.f("job_step_state_check")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("job_step_job_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "seq", name=op.f("job_step_pkey")),
    )
    op.create_table(
        "parked",
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("parked_name", sa.Text(), nullable=False),
        sa.Column("live_name", sa.Text(), nullable=False),
        sa.Column("parked_oid", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["database"], ["database.name"], name=op.f("parked_database_fkey")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("parked_job_id_fkey")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("parked_pkey")),
    )
    op.create_table(
        "part",
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'new'"), nullable=False),
        sa.Column("spec", postgresql.JSONB(), nullable=False),
        sa.Column("expected_bytes", sa.BigInteger(), nullable=False),
        sa.Column("done_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("result", postgresql.JSONB(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.CheckConstraint("state in ('new', 'taken', 'done')", name=op.f("part_state_check")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("part_job_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("part_pkey")),
    )
    op.create_table(
        "slot",
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=True),
        sa.ForeignKeyConstraint(["database"], ["database.name"], name=op.f("slot_database_fkey")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("slot_job_id_fkey")),
        sa.PrimaryKeyConstraint("database", "due_at", name=op.f("slot_pkey")),
    )
    op.create_table(
        "snapshot",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'copying'"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "labels",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("pinned", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("server_version", sa.Text(), nullable=True),
        sa.Column("tool_version", sa.Text(), nullable=True),
        sa.Column("raw_bytes", sa.BigInteger(), nullable=True),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=True),
        sa.Column("new_bytes", sa.BigInteger(), nullable=True),
        sa.Column("row_count", sa.BigInteger(), nullable=True),
        sa.Column("table_rows", postgresql.JSONB(), nullable=True),
        sa.Column("duration_seconds", sa.Double(), nullable=True),
        sa.Column("manifest_sha256", sa.Text(), nullable=True),
        sa.Column("error", postgresql.JSONB(), nullable=True),
        sa.CheckConstraint("reason in ('manual', 'schedule')", name=op.f("snapshot_reason_check")),
        sa.CheckConstraint(
            "state <> 'sealed' or (manifest_sha256 is not null and taken_at is not null)",
            name=op.f("snapshot_sealed_check"),
        ),
        sa.CheckConstraint(
            "state in ('copying', 'sealed', 'failed', 'deleting', 'deleted')",
            name=op.f("snapshot_state_check"),
        ),
        sa.ForeignKeyConstraint(["database"], ["database.name"], name=op.f("snapshot_database_fkey")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("snapshot_job_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("snapshot_pkey")),
        sa.UniqueConstraint("database", "sequence", name=op.f("snapshot_database_sequence_key")),
    )
    op.create_index(
        "snapshot_newest_sealed_idx",
        "snapshot",
        ["database", sa.literal_column("sequence desc")],
        unique=False,
        postgresql_where=sa.text("state = 'sealed'"),
    )
    op.create_index(
        "snapshot_taken_at_idx", "snapshot", ["database", sa.literal_column("taken_at desc")], unique=False
    )
    op.create_table(
        "snapshot_chunk",
        sa.Column("snapshot_id", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["database", "sha256"],
            ["chunk.database", "chunk.sha256"],
            name=op.f("snapshot_chunk_database_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["snapshot.id"], name=op.f("snapshot_chunk_snapshot_id_fkey")
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "sha256", name=op.f("snapshot_chunk_pkey")),
    )
    op.create_index("snapshot_chunk_chunk_idx", "snapshot_chunk", ["database", "sha256"], unique=False)
    op.create_table(
        "snapshot_hold",
        sa.Column("snapshot_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("snapshot_hold_job_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["snapshot.id"], name=op.f("snapshot_hold_snapshot_id_fkey")
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "job_id", name=op.f("snapshot_hold_pkey")),
    )
