"""Equal work: the digest of what a trial's result stands for, and the source `duplicate`.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BEFORE = (
    "source IN ('suggester', 'initial', 'fallback', 'user', 'promotion', 'replicate', 'import')"
)
_AFTER = _BEFORE.replace("'replicate', ", "'replicate', 'duplicate', ")
_GIVE_SOURCES_BACK = {
    "sqlite": (
        "UPDATE trials SET source = json_extract(provenance, '$.duplicate_of.source')"
        " WHERE source = 'duplicate'"
    ),
    "postgresql": (
        "UPDATE trials SET source = CAST(provenance AS json) #>> '{duplicate_of,source}'"
        " WHERE source = 'duplicate'"
    ),
}


def upgrade() -> None:
    """Adds the column with its index, and lets trials be duplicates."""
    _check_sources(_BEFORE, _AFTER)
    op.add_column("trials", sa.Column("equivalent", sa.Text()))
    has_one = sa.text("equivalent IS NOT NULL")
    op.create_index(
        "ix_trials_equivalent",
        "trials",
        ["study_id", "equivalent", "number"],
        sqlite_where=has_one,
        postgresql_where=has_one,
    )


def downgrade() -> None:
    """Drops them; a duplicate has the source again that it had before."""
    op.execute(_GIVE_SOURCES_BACK[op.get_bind().dialect.name])
    _check_sources(_AFTER, _BEFORE)
    op.drop_index("ix_trials_equivalent", "trials")
    op.drop_column("trials", "equivalent")


def _check_sources(old: str, new: str) -> None:
    """Changes which sources trials may have."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_trials_source"), "trials", type_="check")
        op.create_check_constraint(op.f("ck_trials_source"), "trials", new)
        return
    # A table is not copied for the sake of a check that no row breaks: SQLite documents this way
    # (lang_altertable, "Making Other Kinds Of Table Schema Changes"). The changes of the table that
    # follow in the transaction have other connections read the schema again.
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.exec_driver_sql(
        "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = ? AND name = ?",
        (old, new, "table", "trials"),
    )
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")
