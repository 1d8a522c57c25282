"""A lease with its trial and its study, locked and read by one statement: what every write under a
lease begins with.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, literal_column, select

from ..domain.copies import with_fields
from ..domain.lease import Lease
from ..domain.trial import Trial
from . import studies as study_rows
from .locked import LockedStudy
from .row_types import LeaseRow, StudyRow, TrialRow
from .rows import lease_of, study_of, trial_of
from .tables import leases, studies, trials
from .transaction import POSTGRES_MICROS, Tx


@dataclass(frozen=True, slots=True)
class Found:
    """A lease, the trial that it is a lease of, and the trial's study, as they are under the
    study's lock.
    """

    study: LockedStudy
    trial: Trial
    lease: Lease


_STUDY_END = len(studies.c)
_TRIAL_END = _STUDY_END + len(trials.c)
_LEASE_END = _TRIAL_END + len(leases.c)

_JOINED = (
    select(*studies.c, *trials.c, *leases.c)
    .join_from(leases, trials, trials.c.id == leases.c.trial_id)
    .join(studies, studies.c.id == leases.c.study_id)
    .where(leases.c.id == bindparam("b_id"))
)
_LOCKS = {
    # SQLite's only writer holds the file already.
    "sqlite": _JOINED.add_columns(literal_column("NULL").label("now_micros")),
    # In this order, the study first as everywhere. Who had to wait for it gets the rows as its last
    # holder left them: all three are locked, so all three are read anew.
    "postgresql": _JOINED.add_columns(
        literal_column(POSTGRES_MICROS).label("now_micros")
    ).with_for_update(key_share=True, of=[studies, trials, leases]),
}


def find(tx: Tx, lease_id: str) -> Found | None:
    """Locks the study of a lease, deleted or not, and reads all three; None without such a lease.

    The trial's `lease_expires_at` is that of this lease, where it is the trial's current one.
    """
    row = tx.conn.execute(_LOCKS[tx.dialect], {"b_id": lease_id}).one_or_none()
    if row is None:
        return None
    if row.now_micros is not None:
        tx.set_now(row.now_micros)
    lease = lease_of(LeaseRow._make(row[_TRIAL_END:_LEASE_END]))
    trial = trial_of(TrialRow(*row[_STUDY_END:_TRIAL_END], None))
    if trial.lease_id == lease.id and lease.end is None:
        trial = with_fields(trial, lease_expires_at=lease.expires_at)
    study = study_rows.hold(tx, study_of(StudyRow._make(row[:_STUDY_END])))
    return Found(study, trial, lease)
