"""Past definitions of studies, so that points made before a change can be derived again.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table. Definitions changed before this are not known."""
    op.create_table(
        "past_definitions",
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("last_revision", sa.BigInteger(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name="fk_past_definitions_study_id_studies"
        ),
        sa.PrimaryKeyConstraint("study_id", "last_revision", name="pk_past_definitions"),
    )


def downgrade() -> None:
    """Drops the table."""
    op.drop_table("past_definitions")
