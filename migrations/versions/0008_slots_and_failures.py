"""The slot of the worker that an attempt runs in; since when a worker's infrastructure fails.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds both; a slot is not known of attempts before, and a worker whose trials fail right now
    is judged by its slots alone.
    """
    op.add_column("leases", sa.Column("slot", sa.Integer()))
    op.add_column("workers", sa.Column("failing_since", sa.BigInteger()))


def downgrade() -> None:
    """Drops both."""
    op.drop_column("workers", "failing_since")
    op.drop_column("leases", "slot")
