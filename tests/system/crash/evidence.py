"""The rows of one study, read straight from the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from app.store import tables


class Evidence:
    """The rows of one study."""

    def __init__(self, conn: Connection, study_id: str) -> None:
        of_study = [tables.trials, tables.leases, tables.events, tables.checkpoints]
        self.study = _rows(conn, tables.studies, tables.studies.c.id == study_id)[0]
        self.trials, self.leases, self.events, self.checkpoints = (
            _rows(conn, table, table.c.study_id == study_id) for table in of_study
        )
        mine = [trial["id"] for trial in self.trials]
        self.measurements = _rows(
            conn, tables.measurements, tables.measurements.c.trial_id.in_(mine)
        )
        self.events = sorted(self.events, key=lambda event: event["seq"])
        self.trials = sorted(self.trials, key=lambda trial: trial["number"])
        self.leases = sorted(self.leases, key=lambda lease: (lease["acquired_at"], lease["id"]))
        self.trial_of = {trial["id"]: trial for trial in self.trials}
        self.lease_of = {lease["id"]: lease for lease in self.leases}
        self.checkpoint_of = {row["id"]: row for row in self.checkpoints}
        self.attempts: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for lease in self.leases:
            self.attempts[lease["trial_id"]].append(lease)

    def is_current(self, lease: Mapping[str, Any], at: datetime) -> bool:
        """Whether a lease was its trial's current one at an instant."""
        later = [
            other
            for other in self.attempts[lease["trial_id"]]
            if lease["acquired_at"] < other["acquired_at"] <= at
        ]
        is_before_end = lease["ended_at"] is None or at <= lease["ended_at"]
        return lease["acquired_at"] <= at and is_before_end and not later


def _rows(conn: Connection, table: Any, where: Any) -> list[Mapping[str, Any]]:
    return [dict(row) for row in conn.execute(select(table).where(where)).mappings()]
