"""Readings of what is stored of a snapshot"""

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
