"""What the trials' processes print, in chunks by attempt.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ANY_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "log_chunks",
        sa.Column("id", _ANY_INTEGER, primary_key=True, autoincrement=True),
        sa.Column("trial_id", sa.Text(), sa.ForeignKey("trials.id"), nullable=False),
        sa.Column("lease_id", sa.Text(), sa.ForeignKey("leases.id"), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("lease_id", "start", name="uq_log_chunks_lease_id_start"),
    )
    op.create_index("ix_log_chunks_trial_id", "log_chunks", ["trial_id"])
    op.create_index("ix_log_chunks_created_at", "log_chunks", ["created_at"])


def downgrade() -> None:
    """Drops it, with all that was printed."""
    op.drop_table("log_chunks")
