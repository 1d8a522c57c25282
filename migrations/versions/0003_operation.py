"""What running it for others needs: checkpoints, backoff, audit, webhooks, replicas, signing keys.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _new_columns() -> dict[str, list[sa.Column[Any]]]:
    counted = sa.Column(
        "n_infrastructure_failures", sa.Integer(), nullable=False, server_default=sa.text("0")
    )
    return {
        "studies": [sa.Column("pause_reason", sa.Text()), sa.Column("pause_detail", sa.Text())],
        "trials": [
            sa.Column("checkpoint_id", sa.Text()),
            sa.Column("not_before", sa.BigInteger()),
            sa.Column("min_memory_bytes", sa.BigInteger()),
        ],
        "events": [sa.Column("token_id", sa.Text())],
        "workers": [sa.Column("drain_reason", sa.Text()), counted],
    }


def upgrade() -> None:
    """Adds the columns and makes the tables."""
    for table, columns in _new_columns().items():
        for column in columns:
            op.add_column(table, column)
    _make_checkpoints()
    _make_leaders_and_keys()
    _make_prepared_and_purges()
    _make_audit()
    _make_deliveries()


def _make_checkpoints() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("trial_id", sa.Text(), nullable=False),
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("lease_id", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("committed_at", sa.BigInteger()),
        sa.Column("deleted_at", sa.BigInteger()),
        sa.CheckConstraint(
            "state IN ('uploading', 'committed', 'deleted')", name=op.f("ck_checkpoints_state")
        ),
        sa.CheckConstraint(
            "state <> 'committed' OR committed_at IS NOT NULL",
            name=op.f("ck_checkpoints_committed"),
        ),
        sa.CheckConstraint(
            "(state = 'deleted') = (deleted_at IS NOT NULL)", name=op.f("ck_checkpoints_deleted")
        ),
        sa.CheckConstraint("size_bytes >= 0 AND step >= 1", name=op.f("ck_checkpoints_sizes")),
        *(
            sa.ForeignKeyConstraint(
                [f"{noun}_id"], [f"{nouns}.id"], name=f"fk_checkpoints_{noun}_id_{nouns}"
            )
            for noun, nouns in (("trial", "trials"), ("study", "studies"), ("lease", "leases"))
        ),
        sa.PrimaryKeyConstraint("id", name="pk_checkpoints"),
    )
    for columns in (("trial_id", "created_at"), ("study_id", "state"), ("state", "created_at")):
        op.create_index(f"ix_checkpoints_{'_'.join(columns)}", "checkpoints", list(columns))


def _make_leaders_and_keys() -> None:
    op.create_table(
        "leaders",
        sa.Column("duty", sa.Text(), nullable=False),
        sa.Column("replica_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("duty", name="pk_leaders"),
    )
    op.create_table(
        "signing_keys",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_signing_keys"),
    )


def _make_prepared_and_purges() -> None:
    op.create_table(
        "prepared_points",
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("first_number", sa.Integer(), nullable=False),
        sa.Column("results_seq", sa.BigInteger(), nullable=False),
        sa.Column("exhausted", sa.Boolean(), nullable=False),
        sa.Column("points", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name="fk_prepared_points_study_id_studies"
        ),
        sa.PrimaryKeyConstraint("study_id", name="pk_prepared_points"),
    )
    op.create_table(
        "purges",
        sa.Column("study_id", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))
            for name in ("seq", "xid", "event_id", "ended_seq", "measurements_seq")
        ),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_purges_study_id_studies"),
        sa.PrimaryKeyConstraint("study_id", name="pk_purges"),
    )
    op.create_index("ix_purges_xid_event_id", "purges", ["xid", "event_id"])


def _make_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", _COUNTED, autoincrement=True, nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("token_id", sa.Text()),
        sa.Column("request_id", sa.Text()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text()),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_occurred_at_id", "audit", ["occurred_at", "id"])


def _make_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger()),
        sa.Column("delivered_at", sa.BigInteger()),
        sa.Column("last_error", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name="fk_deliveries_study_id_studies"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
    )
    open_ones = sa.text("next_at IS NOT NULL")
    op.create_index(
        "ix_deliveries_next_at",
        "deliveries",
        ["next_at"],
        sqlite_where=open_ones,
        postgresql_where=open_ones,
    )
    op.create_index("ix_deliveries_study_id", "deliveries", ["study_id"])


def downgrade() -> None:
    """Drops all of it."""
    for table in (
        "deliveries", "audit", "purges", "prepared_points", "signing_keys", "leaders",
        "checkpoints",
    ):  # fmt: skip
        op.drop_table(table)
    for table, columns in _new_columns().items():
        for column in reversed(columns):
            op.drop_column(table, column.name)
