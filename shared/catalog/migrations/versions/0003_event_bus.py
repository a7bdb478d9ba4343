"""The event bus: requests that came in, what happens for which of them, ids of events that go out"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("error", postgresql.JSONB(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("inbox_job_id_fkey")),
        sa.PrimaryKeyConstraint("source", "event_id", name=op.f("inbox_pkey")),
    )
    op.create_table(
        "cause",
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source", "event_id"],
            ["inbox.source", "inbox.event_id"],
            name=op.f("cause_source_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("cause_pkey")),
    )
    op.create_index("cause_request_idx", "cause", ["source", "event_id"])
    fresh = sa.text("gen_random_uuid()")
    op.add_column(
        "outbox", sa.Column("event_id", sa.UUID(as_uuid=False), server_default=fresh, nullable=False)
    )
    op.add_column("outbox", sa.Column("cause_source", sa.Text(), nullable=True))
    op.add_column("outbox", sa.Column("cause_id", sa.Text(), nullable=True))
    op.alter_column("outbox", "database", nullable=True)
    op.alter_column("outbox", "sequence", nullable=True)
    op.create_check_constraint(
        op.f("outbox_sequence_check"), "outbox", "(database is null) = (sequence is null)"
    )
    op.create_index("outbox_job_idx", "outbox", ["job_id", "id"])
    # What happened before there was a bus is nobody's news.
    op.execute("update outbox set published_at = now() where published_at is null")
