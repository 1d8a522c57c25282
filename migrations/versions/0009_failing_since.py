"""Since when trials fail on a worker's infrastructure.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds it; a worker whose trials fail right now is judged by its slots alone."""
    op.add_column("workers", sa.Column("failing_since", sa.BigInteger()))


def downgrade() -> None:
    """Drops it."""
    op.drop_column("workers", "failing_since")
