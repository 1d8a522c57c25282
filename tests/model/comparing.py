"""Compares the tables with the reference model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ..audit import Ledger
from .real import elapsed
from .values import Lease, Study, Trial


def same_study(study: Study, ledger: Ledger) -> None:
    """Compares a study and its trials with the rows."""
    found = ledger.study
    assert (found.state, found.stop_reason) == (study.state, study.reason)
    assert found.places == study.places
    reports: dict[str, list[Any]] = {trial.id: [] for trial in ledger.trials}
    for point in ledger.measurements:
        reports[point.trial_id].append(
            (point.lease_id, point.seq, point.step, point.values["value"])
        )
    for trial, row in zip(study.trials, ledger.trials, strict=True):
        assert row.state == trial.state
        assert (row.attempts, row.losses) == (trial.attempts, trial.losses)
        assert row.lease_id == (trial.lease.id if trial.lease else None)
        assert row.reserved_for == trial.reserved_for
        assert row.values == trial.values
        _learn_wait(trial, row.not_before)
        assert reports[row.id] == trial.reports


def _learn_wait(trial: Trial, not_before: datetime | None) -> None:
    """How long a failed trial waits is drawn by the service: the model knows only the bound."""
    until = 0.0 if not_before is None else elapsed(not_before)
    if trial.longest_wait_s and trial.state == "pending" and not trial.not_before:
        assert trial.failed_at <= until <= trial.failed_at + trial.longest_wait_s
        trial.not_before = until
    assert trial.state != "pending" or until == trial.not_before


def same_leases(leases: Sequence[Lease], ledger: Ledger) -> None:
    """Compares all leases of a study with the rows."""
    rows = {row.id: row for row in ledger.leases}
    assert set(rows) == {lease.id for lease in leases}
    for lease in leases:
        row = rows[lease.id]
        assert row.end == lease.end
        assert elapsed(row.expires_at) == lease.expires_at
        assert (row.last_seq, row.last_step) == (lease.last_seq, lease.last_step)
