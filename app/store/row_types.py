"""Rows of one table cut out of a row of a join, with the names that `rows.py` reads."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from sqlalchemy import Table

from .tables import leases, studies, trials


def _row_type(table: Table, *more: str) -> Any:
    return namedtuple(f"{table.name}_row", [*(column.name for column in table.c), *more])


StudyRow: Any = _row_type(studies)
LeaseRow: Any = _row_type(leases)
TrialRow: Any = _row_type(trials, "lease_expires_at")
