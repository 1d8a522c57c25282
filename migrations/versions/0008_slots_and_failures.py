"""The slot of the worker that an attempt runs in, and what it uses; since when a worker fails.

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
    """Adds them; a slot is not known of attempts before, and a worker whose trials fail right now
    is judged by its slots alone.
    """
    op.add_column("leases", sa.Column("slot", sa.Integer()))
    op.add_column("leases", sa.Column("memory_bytes", sa.BigInteger()))
    op.add_column("leases", sa.Column("utilisation", sa.Float()))
    op.add_column("workers", sa.Column("failing_since", sa.BigInteger()))


def downgrade() -> None:
    """Drops them."""
    op.drop_column("workers", "failing_since")
    op.drop_column("leases", "utilisation")
    op.drop_column("leases", "memory_bytes")
    op.drop_column("leases", "slot")
