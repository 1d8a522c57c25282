"""The first schema.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes all tables."""
    _create_idempotency_keys()
    _create_replicas()
    _create_studies()
    _create_tokens()
    _create_workers()
    _create_events()
    _create_trials()
    _create_leases()
    _create_measurements()


def downgrade() -> None:
    """Drops all tables, those first that refer to others."""
    for table in (
        "measurements",
        "leases",
        "trials",
        "events",
        "workers",
        "tokens",
        "studies",
        "replicas",
        "idempotency_keys",
    ):
        op.drop_table(table)


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def _create_replicas() -> None:
    op.create_table(
        "replicas",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_replicas"),
    )


def _create_studies() -> None:
    op.create_table(
        "studies",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("objective", sa.Text(), nullable=True),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stop_reason", sa.Text(), nullable=True),
        sa.Column("n_pending", sa.Integer(), nullable=False),
        sa.Column("n_running", sa.Integer(), nullable=False),
        sa.Column("n_paused", sa.Integer(), nullable=False),
        sa.Column("n_completed", sa.Integer(), nullable=False),
        sa.Column("n_stopped", sa.Integer(), nullable=False),
        sa.Column("n_infeasible", sa.Integer(), nullable=False),
        sa.Column("n_failed", sa.Integer(), nullable=False),
        sa.Column("n_cancelled", sa.Integer(), nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column("next_number", sa.Integer(), nullable=False),
        sa.Column("results_seq", sa.BigInteger(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("best_trial_id", sa.Text(), nullable=True),
        sa.Column("best_value", sa.Float(), nullable=True),
        sa.Column("best_number", sa.Integer(), nullable=True),
        sa.Column("best_at", sa.BigInteger(), nullable=True),
        sa.Column("resource_used", sa.BigInteger(), nullable=False),
        sa.Column("data_digest", sa.Text(), nullable=True),
        sa.Column("exhausted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("purge_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(state IN ('completed', 'cancelled', 'failed')) = (ended_at IS NOT NULL)",
            name=op.f("ck_studies_ended"),
        ),
        sa.CheckConstraint(
            "state IN ('active', 'paused', 'stopping', 'completed', 'cancelled', 'failed')",
            name=op.f("ck_studies_state"),
        ),
        sa.CheckConstraint(
            "(deleted_at IS NULL) = (purge_at IS NULL)", name=op.f("ck_studies_deleted")
        ),
        sa.CheckConstraint(
            "n_pending >= 0 AND n_running >= 0 AND n_paused >= 0 AND n_completed "
            ">= 0 AND n_stopped >= 0 AND n_infeasible >= 0 AND n_failed >= 0 AND "
            "n_cancelled >= 0 AND places >= 0",
            name=op.f("ck_studies_counts"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
    )
    op.create_index("ix_studies_created_at_id", "studies", ["created_at", "id"])
    op.create_index("ix_studies_state_objective", "studies", ["state", "objective"])
    op.create_index(
        "uq_studies_name_live",
        "studies",
        ["name"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def _create_tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "role IN ('reader', 'worker', 'submitter', 'admin')", name=op.f("ck_tokens_role")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("secret_hash", name="uq_tokens_secret_hash"),
    )
    op.create_index("ix_tokens_created_at_id", "tokens", ["created_at", "id"])


def _create_workers() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("devices", sa.Text(), nullable=False),
        sa.Column("objectives", sa.Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
        sa.UniqueConstraint("name", name="uq_workers_name"),
    )
    op.create_index("ix_workers_registered_at_id", "workers", ["registered_at", "id"])


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("trial_id", sa.Text(), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_events_study_id_studies"),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.UniqueConstraint("study_id", "seq", name="uq_events_study_id_seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_study_id_xid_id", "events", ["study_id", "xid", "id"])
    op.create_index("ix_events_xid_id", "events", ["xid", "id"])


def _create_trials() -> None:
    op.create_table(
        "trials",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("queue_rank", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("final_values", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("step", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("lease_id", sa.Text(), nullable=True),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("reserved_for", sa.Text(), nullable=True),
        sa.Column("reserved_until", sa.BigInteger(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("usage", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=True),
        sa.Column("n_measurements", sa.Integer(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.Column("last_values", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(state IN ('completed', 'stopped', 'infeasible', 'failed', "
            "'cancelled')) = (ended_at IS NOT NULL)",
            name=op.f("ck_trials_ended"),
        ),
        sa.CheckConstraint(
            "source IN ('suggester', 'initial', 'fallback', 'user', 'promotion', "
            "'replicate', 'import')",
            name=op.f("ck_trials_source"),
        ),
        sa.CheckConstraint(
            "state <> 'running' OR lease_id IS NOT NULL", name=op.f("ck_trials_running_has_lease")
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'running', 'paused', 'completed', 'stopped', "
            "'infeasible', 'failed', 'cancelled')",
            name=op.f("ck_trials_state"),
        ),
        sa.CheckConstraint("number >= 1", name=op.f("ck_trials_number")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_trials_study_id_studies"),
        sa.PrimaryKeyConstraint("id", name="pk_trials"),
        sa.UniqueConstraint("study_id", "number", name="uq_trials_study_id_number"),
    )
    op.create_index(
        "ix_trials_queue",
        "trials",
        ["study_id", "queue_rank", "number"],
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_trials_reserved",
        "trials",
        ["study_id", "reserved_for"],
        sqlite_where=sa.text("state = 'pending' AND reserved_for IS NOT NULL"),
        postgresql_where=sa.text("state = 'pending' AND reserved_for IS NOT NULL"),
    )
    op.create_index("ix_trials_study_id_change_seq", "trials", ["study_id", "change_seq"])
    op.create_index(
        "ix_trials_study_id_created_at_number", "trials", ["study_id", "created_at", "number"]
    )
    op.create_index("ix_trials_study_id_state_number", "trials", ["study_id", "state", "number"])
    op.create_index("ix_trials_study_id_value_number", "trials", ["study_id", "value", "number"])


def _create_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("trial_id", sa.Text(), nullable=False),
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("token_id", sa.Text(), nullable=True),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("acquired_at", sa.BigInteger(), nullable=False),
        sa.Column("renewed_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('completed', 'stopped', 'infeasible', 'failed', "
            "'expired', 'released', 'paused', 'cancelled', 'superseded')",
            name=op.f("ck_leases_outcome"),
        ),
        sa.CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name=op.f("ck_leases_ended")),
        sa.CheckConstraint("duration_s > 0", name=op.f("ck_leases_duration")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_leases_study_id_studies"),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.id"], name="fk_leases_trial_id_trials"),
        sa.PrimaryKeyConstraint("id", name="pk_leases"),
    )
    op.create_index(
        "ix_leases_client_active",
        "leases",
        ["study_id", "client_id"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "ix_leases_expiry",
        "leases",
        ["expires_at"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_leases_trial_id_acquired_at", "leases", ["trial_id", "acquired_at"])
    op.create_index(
        "ix_leases_worker_active",
        "leases",
        ["worker_id"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "uq_leases_trial_active",
        "leases",
        ["trial_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def _create_measurements() -> None:
    op.create_table(
        "measurements",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("trial_id", sa.Text(), nullable=False),
        sa.Column("lease_id", sa.Text(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("reported_values", sa.Text(), nullable=False),
        sa.Column("elapsed_s", sa.Float(), nullable=True),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("step >= 1", name=op.f("ck_measurements_step")),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trials.id"], name="fk_measurements_trial_id_trials"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_measurements"),
    )
    op.create_index("ix_measurements_trial_id_id", "measurements", ["trial_id", "id"])
