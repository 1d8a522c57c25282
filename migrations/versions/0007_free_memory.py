"""What was free on a worker's devices when it last asked for trials.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds what was free, and when."""
    op.add_column("workers", sa.Column("free_memory", sa.Text()))
    op.add_column("workers", sa.Column("free_memory_at", sa.BigInteger()))


def downgrade() -> None:
    """Drops both."""
    op.drop_column("workers", "free_memory_at")
    op.drop_column("workers", "free_memory")
