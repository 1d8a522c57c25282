"""The slot of the worker that an attempt runs in.

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
    """Adds it; it is not known of attempts before."""
    op.add_column("leases", sa.Column("slot", sa.Integer()))


def downgrade() -> None:
    """Drops it."""
    op.drop_column("leases", "slot")
