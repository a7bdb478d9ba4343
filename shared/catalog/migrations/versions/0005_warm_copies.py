"""Warm copies"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "warm",
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("snapshot_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("oid", sa.BigInteger(), nullable=False),
        sa.Column("system_identifier", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("assertions", sa.Text(), nullable=False),
        sa.Column("first_seal", postgresql.JSONB(), nullable=False),
        sa.Column("seal", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("taken_by", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("let_go_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["database"], ["database.name"], name=op.f("warm_database_fkey")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("warm_job_id_fkey")),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("warm_snapshot_id_fkey")),
        sa.ForeignKeyConstraint(["taken_by"], ["job.id"], name=op.f("warm_taken_by_fkey")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("warm_pkey")),
    )
    op.create_index("warm_there_idx", "warm", ["database"], postgresql_where=sa.text("dropped_at is null"))
    op.add_column("snapshot", sa.Column("how_read", postgresql.JSONB(none_as_null=True), nullable=True))
