"""Every table, as the migrations make them; a test holds the two against each other.

Constraints have names by one convention, so that a migration can name what it drops. Checks tie the
time of an end to the states that are ends: no row can say both that it runs and when it ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from ..domain.checkpoint import CheckpointState
from ..domain.lease import LeaseEnd
from ..domain.study import OPEN_STUDY_STATES, StudyState
from ..domain.token import Role
from ..domain.trial import OPEN_TRIAL_STATES, TrialSource, TrialState
from .types import Instant, Json, MetricValues, Rungs, SafeText

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

AnyInteger = BigInteger().with_variant(Integer, "sqlite")
"""An integer key that the database counts: SQLite counts by itself only what is called INTEGER."""


def _one_of(column: str, values: Iterable[StrEnum]) -> str:
    listed = ", ".join(f"'{value.value}'" for value in values)
    return f"{column} IN ({listed})"


def _ended(values: Iterable[StrEnum], open_values: Iterable[StrEnum]) -> str:
    kept = frozenset(open_values)
    return f"({_one_of('state', [v for v in values if v not in kept])}) = (ended_at IS NOT NULL)"


studies = Table(
    "studies",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("name", SafeText, nullable=False),
    Column("objective", SafeText),
    Column("priority", BigInteger, nullable=False),
    Column("labels", Json, nullable=False),
    Column("definition", Text, nullable=False),
    Column("state", SafeText, nullable=False),
    Column("stop_reason", SafeText),
    Column("stop_detail", SafeText),
    Column("pause_reason", SafeText),
    Column("pause_detail", SafeText),
    *(Column(f"n_{state.value}", Integer, nullable=False) for state in TrialState),
    Column("places", Integer, nullable=False),
    Column("next_number", Integer, nullable=False),
    Column("results_seq", BigInteger, nullable=False),
    Column("change_seq", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("best_trial_id", SafeText),
    Column("best_value", Float),
    Column("best_number", Integer),
    Column("best_at", Instant),
    Column("resource_used", BigInteger, nullable=False),
    Column("resource_granted", BigInteger, nullable=False, server_default=text("0")),
    Column("resource_saved", BigInteger, nullable=False, server_default=text("0")),
    Column("saved_s", Float, nullable=False, server_default=text("0")),
    Column("data_digest", SafeText),
    Column("exhausted", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("deleted_at", Instant),
    Column("purge_at", Instant),
    CheckConstraint(_one_of("state", StudyState), name="state"),
    CheckConstraint(_ended(StudyState, OPEN_STUDY_STATES), name="ended"),
    CheckConstraint("(deleted_at IS NULL) = (purge_at IS NULL)", name="deleted"),
    CheckConstraint(
        " AND ".join(f"n_{state.value} >= 0" for state in TrialState) + " AND places >= 0",
        name="counts",
    ),
    Index(
        "uq_studies_name_live",
        "name",
        unique=True,
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index(None, "created_at", "id"),
    Index(None, "state", "objective"),
)

trials = Table(
    "trials",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("study_id", SafeText, ForeignKey("studies.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", SafeText, nullable=False),
    Column("queue_rank", Integer, nullable=False),
    Column("source", SafeText, nullable=False),
    Column("params", Json, nullable=False),
    Column("final_values", MetricValues, nullable=False),
    Column("value", Float),
    Column("step", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("lease_id", SafeText),
    Column("worker_id", SafeText),
    Column("client_id", SafeText),
    Column("reserved_for", SafeText),
    Column("reserved_until", Instant),
    Column("failure", Json),
    Column("note", SafeText, nullable=False),
    Column("provenance", Json, nullable=False),
    Column("usage", Json, nullable=False),
    Column("data", Json),
    Column("n_measurements", Integer, nullable=False),
    Column("last_step", BigInteger),
    Column("last_values", MetricValues),
    Column("checkpoint_id", SafeText),
    Column("not_before", Instant),
    Column("min_memory_bytes", BigInteger),
    Column("bracket", Integer),
    Column("to_step", BigInteger),
    Column("rungs", Rungs, nullable=False, server_default=text("'[]'")),
    Column("directive", SafeText),
    Column("directive_reason", SafeText, nullable=False, server_default=text("''")),
    Column("equivalent", SafeText),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("updated_at", Instant, nullable=False),
    Column("change_seq", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    CheckConstraint(_one_of("state", TrialState), name="state"),
    CheckConstraint(_one_of("source", TrialSource), name="source"),
    CheckConstraint(_ended(TrialState, OPEN_TRIAL_STATES), name="ended"),
    CheckConstraint("state <> 'running' OR lease_id IS NOT NULL", name="running_has_lease"),
    CheckConstraint("number >= 1", name="number"),
    UniqueConstraint("study_id", "number"),
    Index(None, "study_id", "state", "number"),
    Index(None, "study_id", "change_seq"),
    Index(None, "study_id", "value", "number"),
    Index(None, "study_id", "created_at", "number"),
    Index(
        "ix_trials_queue",
        "study_id",
        "queue_rank",
        "number",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_trials_reserved",
        "study_id",
        "reserved_for",
        sqlite_where=text("state = 'pending' AND reserved_for IS NOT NULL"),
        postgresql_where=text("state = 'pending' AND reserved_for IS NOT NULL"),
    ),
    Index(
        "ix_trials_equivalent",
        "study_id",
        "equivalent",
        "number",
        sqlite_where=text("equivalent IS NOT NULL"),
        postgresql_where=text("equivalent IS NOT NULL"),
    ),
)

# What a study's definition was before it was changed; needed to derive points again, never purged
# before the study itself.
past_definitions = Table(
    "past_definitions",
    metadata,
    Column("study_id", SafeText, ForeignKey("studies.id"), primary_key=True),
    Column("last_revision", BigInteger, primary_key=True),
    Column("definition", Text, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("trial_id", SafeText, ForeignKey("trials.id"), nullable=False),
    Column("study_id", SafeText, ForeignKey("studies.id"), nullable=False),
    Column("worker_id", SafeText),
    Column("client_id", SafeText),
    Column("token_id", SafeText),
    Column("duration_s", Float, nullable=False),
    Column("acquired_at", Instant, nullable=False),
    Column("renewed_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", SafeText),
    Column("failure", Json),
    Column("last_seq", BigInteger, nullable=False),
    Column("last_step", BigInteger),
    Column("from_step", BigInteger, nullable=False, server_default=text("0")),
    Column("to_step", BigInteger),
    Column("answer", Json),
    Column("slot", Integer),
    # What the last beat that told of it said: bytes, and the share of the device in use.
    Column("memory_bytes", BigInteger),
    Column("utilisation", Float),
    CheckConstraint(_one_of("outcome", LeaseEnd), name="outcome"),
    CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name="ended"),
    CheckConstraint("duration_s > 0", name="duration"),
    Index(None, "trial_id", "acquired_at"),
    Index(
        "uq_leases_trial_active",
        "trial_id",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index(
        "ix_leases_expiry",
        "expires_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index(
        "ix_leases_worker_active",
        "worker_id",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index(
        "ix_leases_client_active",
        "study_id",
        "client_id",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

measurements = Table(
    "measurements",
    metadata,
    Column("id", AnyInteger, primary_key=True, autoincrement=True),
    Column("trial_id", SafeText, ForeignKey("trials.id"), nullable=False),
    Column("lease_id", SafeText),
    Column("seq", BigInteger, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("reported_values", MetricValues, nullable=False),
    Column("elapsed_s", Float),
    Column("reported_at", Instant, nullable=False),
    CheckConstraint("step >= 1", name="step"),
    Index(None, "trial_id", "id"),
)

# What a trial's process has printed; `start` counts bytes of UTF-8 from the attempt's beginning.
log_chunks = Table(
    "log_chunks",
    metadata,
    Column("id", AnyInteger, primary_key=True, autoincrement=True),
    Column("trial_id", SafeText, ForeignKey("trials.id"), nullable=False),
    Column("lease_id", SafeText, ForeignKey("leases.id"), nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    Column("content", SafeText, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("lease_id", "start"),
    Index(None, "trial_id"),
    Index(None, "created_at"),
)

events = Table(
    "events",
    metadata,
    Column("id", AnyInteger, primary_key=True, autoincrement=True),
    # The writing transaction's id on Postgres, where rows do not become visible in the order of
    # their ids; 0 on SQLite.
    Column("xid", BigInteger, nullable=False),
    Column("study_id", SafeText, ForeignKey("studies.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("kind", SafeText, nullable=False),
    Column("trial_id", SafeText),
    Column("data", Json, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("token_id", SafeText),
    UniqueConstraint("study_id", "seq"),
    Index(None, "xid", "id"),
    Index(None, "study_id", "xid", "id"),
    sqlite_autoincrement=True,
)

workers = Table(
    "workers",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("name", SafeText, nullable=False),
    Column("boot_id", SafeText, nullable=False),
    Column("labels", Json, nullable=False),
    Column("devices", Json, nullable=False),
    Column("objectives", Json, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("drain_reason", SafeText),
    # Trials that ended on this worker's infrastructure, one after the other.
    Column("n_infrastructure_failures", Integer, nullable=False, server_default=text("0")),
    Column("failing_since", Instant),  # when the first of them did; null: none has
    Column("registered_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    # Free bytes of its devices by index when it last asked for trials; null: it did not say.
    Column("free_memory", Json),
    Column("free_memory_at", Instant),
    UniqueConstraint("name"),
    Index(None, "registered_at", "id"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("name", SafeText, nullable=False),
    Column("role", SafeText, nullable=False),
    Column("secret_hash", SafeText, nullable=False),
    Column("prefix", SafeText, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    CheckConstraint(_one_of("role", Role), name="role"),
    UniqueConstraint("secret_hash"),
    Index(None, "created_at", "id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key_hash", SafeText, primary_key=True),
    Column("body_hash", SafeText, nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", Json, nullable=False),
    Column("body", SafeText, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index(None, "created_at"),
)

replicas = Table(
    "replicas",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("trial_id", SafeText, ForeignKey("trials.id"), nullable=False),
    Column("study_id", SafeText, ForeignKey("studies.id"), nullable=False),
    Column("lease_id", SafeText, ForeignKey("leases.id"), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", SafeText, nullable=False),
    Column("state", SafeText, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("committed_at", Instant),
    Column("deleted_at", Instant),
    CheckConstraint(_one_of("state", CheckpointState), name="state"),
    CheckConstraint("state <> 'committed' OR committed_at IS NOT NULL", name="committed"),
    CheckConstraint("(state = 'deleted') = (deleted_at IS NOT NULL)", name="deleted"),
    CheckConstraint("size_bytes >= 0 AND step >= 1", name="sizes"),
    Index(None, "trial_id", "created_at"),
    Index(None, "study_id", "state"),
    Index(None, "state", "created_at"),
)

# Which replica does what only one may do at a time; a row that has run out is anyone's.
leaders = Table(
    "leaders",
    metadata,
    Column("duty", SafeText, primary_key=True),
    Column("replica_id", SafeText, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

# A study's next points, prepared by one replica for whichever is asked; on Postgres only.
prepared_points = Table(
    "prepared_points",
    metadata,
    Column("study_id", SafeText, ForeignKey("studies.id"), primary_key=True),
    Column("first_number", Integer, nullable=False),
    Column("results_seq", BigInteger, nullable=False),
    Column("exhausted", Boolean, nullable=False),
    Column("points", Json, nullable=False),
)

# What of a study has been purged. Up to `seq` in its own sequence and up to (`xid`, `event_id`) in
# the feed of all, events may be missing: who comes with an older cursor has to read anew. The
# others are its `change_seq` when the rest of its events, and its measurements, had gone.
purges = Table(
    "purges",
    metadata,
    Column("study_id", SafeText, ForeignKey("studies.id"), primary_key=True),
    *(
        Column(name, BigInteger, nullable=False, server_default=text("0"))
        for name in ("seq", "xid", "event_id", "ended_seq", "measurements_seq")
    ),
    Index(None, "xid", "event_id"),
)

# Changes that belong to no study; those of a study are its events.
audit = Table(
    "audit",
    metadata,
    Column("id", AnyInteger, primary_key=True, autoincrement=True),
    Column("occurred_at", Instant, nullable=False),
    Column("token_id", SafeText),
    Column("request_id", SafeText),
    Column("action", SafeText, nullable=False),
    Column("target_id", SafeText),
    Column("data", Json, nullable=False),
    Index(None, "occurred_at", "id"),
    sqlite_autoincrement=True,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("study_id", SafeText, ForeignKey("studies.id"), nullable=False),
    Column("url", SafeText, nullable=False),
    Column("body", SafeText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant),
    Column("delivered_at", Instant),
    Column("last_error", SafeText),
    Column("created_at", Instant, nullable=False),
    Index(
        None,
        "next_at",
        sqlite_where=text("next_at IS NOT NULL"),
        postgresql_where=text("next_at IS NOT NULL"),
    ),
    Index(None, "study_id"),
)

# Keys that the service makes for itself, such as the one that signs sessions.
signing_keys = Table(
    "signing_keys",
    metadata,
    Column("name", SafeText, primary_key=True),
    Column("secret", SafeText, nullable=False),
    Column("created_at", Instant, nullable=False),
)
