"""Recovery: verifications, suspicions, lanes of jobs, blocked databases"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KINDS = "kind in ('snapshot', 'verify', 'prune', 'restore', 'undo', 'tables', 'reset', 'check')"
REASONS = "reason in ('manual', 'schedule', 'guard', 'safeguard')"
LANES = {
    "job_one_live_per_database": "kind in ('snapshot', 'prune', 'restore', 'undo', 'tables', 'reset')",
    "job_one_proof_per_database": "kind in ('verify')",
    "job_one_watch_per_database": "kind in ('check')",
}


def upgrade() -> None:
    op.drop_index("job_one_live_per_database", table_name="job")
    op.drop_constraint(op.f("job_kind_check"), "job", type_="check")
    op.create_check_constraint(op.f("job_kind_check"), "job", KINDS)
    for name, kinds in LANES.items():
        op.create_index(
            name,
            "job",
            ["database"],
            unique=True,
            postgresql_where=sa.text(f"state in ('active', 'rolling_back') and {kinds}"),
        )
    op.add_column("database", sa.Column("blocked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("database", sa.Column("blocked_why", sa.Text(), nullable=True))
    op.drop_constraint(op.f("snapshot_reason_check"), "snapshot", type_="check")
    op.create_check_constraint(op.f("snapshot_reason_check"), "snapshot", REASONS)
    for moment in ("verified_at", "refuted_at", "accepted_at", "kept_until"):
        op.add_column("snapshot", sa.Column(moment, sa.DateTime(timezone=True), nullable=True))
    nothing = sa.text("'[]'::jsonb")
    op.add_column(
        "snapshot", sa.Column("suspicions", postgresql.JSONB(), server_default=nothing, nullable=False)
    )
    op.add_column("snapshot", sa.Column("standing_of", sa.Text(), nullable=True))
    op.create_table(
        "verification",
        sa.Column("job_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("snapshot_id", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("matched", sa.Boolean(), nullable=False),
        sa.Column("restore_seconds", sa.Float(), nullable=False),
        sa.Column("prove_seconds", sa.Float(), nullable=False),
        sa.Column("raw_bytes", sa.BigInteger(), nullable=False),
        sa.Column("compared", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("differences", postgresql.JSONB(), server_default=nothing, nullable=False),
        sa.ForeignKeyConstraint(["database"], ["database.name"], name=op.f("verification_database_fkey")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("verification_job_id_fkey")),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("verification_snapshot_id_fkey")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("verification_pkey")),
    )
    op.create_index("verification_snapshot_idx", "verification", ["snapshot_id", "verified_at"])
    op.create_index("verification_database_idx", "verification", ["database", "verified_at"])
