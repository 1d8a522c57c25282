"""Early stopping: brackets, rungs and directives of trials, and the resource of studies in steps.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _counted(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def _new_columns() -> dict[str, list[sa.Column[Any]]]:
    return {
        "studies": [
            sa.Column("stop_detail", sa.Text()),
            _counted("resource_granted"),
            _counted("resource_saved"),
            sa.Column("saved_s", sa.Float(), nullable=False, server_default=sa.text("0")),
        ],
        "trials": [
            sa.Column("bracket", sa.Integer()),
            sa.Column("to_step", sa.BigInteger()),
            sa.Column("rungs", sa.Text(), nullable=False, server_default=sa.text("'[]'")),
            sa.Column("directive", sa.Text()),
            sa.Column("directive_reason", sa.Text(), nullable=False, server_default=sa.text("''")),
        ],
        "leases": [_counted("from_step"), sa.Column("to_step", sa.BigInteger())],
    }


def upgrade() -> None:
    """Adds the columns. Of trials that ran before no rung is known: none had a rule."""
    for table, columns in _new_columns().items():
        for column in columns:
            op.add_column(table, column)


def downgrade() -> None:
    """Drops the columns."""
    for table, columns in reversed(_new_columns().items()):
        for column in reversed(columns):
            op.drop_column(table, column.name)
