"""What the tables and the event log must say together, whatever has happened: checked without any
knowledge of the calls that were made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from sqlalchemy import Connection

from app.domain.event import Event
from app.domain.lease import Lease, LeaseEnd
from app.domain.study import Study
from app.domain.trial import (
    OPEN_TRIAL_STATES,
    PLACE_FREEING_STATES,
    TRIAL_TRANSITIONS,
    Measurement,
    Trial,
    TrialSource,
    TrialState,
)
from app.store import events, leases, measurements, studies, trial_sets

_ALL = 1 << 20
_ENDED_WELL = (LeaseEnd.COMPLETED, LeaseEnd.STOPPED, LeaseEnd.INFEASIBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All rows of one study, from one snapshot."""

    study: Study
    trials: Sequence[Trial]
    leases: Sequence[Lease]
    measurements: Sequence[Measurement]
    events: Sequence[Event]


def read(conn: Connection, study_id: str) -> Ledger:
    """Everything that the database knows of a study."""
    trials = trial_sets.numbered_from(conn, study_id, 1)
    return Ledger(
        study=studies.get(conn, study_id, deleted=True),
        trials=trials,
        leases=[lease for t in trials for lease in leases.of_trial(conn, t.id)],
        measurements=[point for t in trials for point in measurements.page(conn, t.id).items],
        events=events.of_study(conn, study_id, 0, _ALL),
    )


def faults(ledger: Ledger) -> list[str]:
    """Every promise that these rows break, in words; none when all is well."""
    return [
        *_counts(ledger),
        *_log(ledger),
        *_states(ledger),
        *_leases(ledger),
        *_measurements(ledger),
    ]


def _counts(ledger: Ledger) -> list[str]:
    study = ledger.study
    found = []
    states = Counter(trial.state for trial in ledger.trials)
    if states != Counter({state: n for state, n in study.counts.items() if n}):
        found.append(f"the study counts {study.counts}, its trials are {dict(states)}")
    held = [t for t in ledger.trials if t.source is not TrialSource.IMPORT]
    places = sum(trial.state not in PLACE_FREEING_STATES for trial in held)
    if places != study.places:
        found.append(f"the study counts {study.places} places, its trials hold {places}")
    most = study.definition.limits.max_trials
    if most is not None and places > most:
        found.append(f"{places} places are held of {most}")
    if [trial.number for trial in ledger.trials] != list(range(1, study.next_number)):
        found.append("the trials are not numbered from 1 without a gap")
    return found


def _log(ledger: Ledger) -> list[str]:
    seqs = [event.seq for event in ledger.events]
    if seqs != list(range(1, ledger.study.change_seq + 1)):
        return [f"the events are numbered {seqs}, up to {ledger.study.change_seq}"]
    return []


def _states(ledger: Ledger) -> list[str]:
    """The log, played from the start, must lead through legal changes to what the tables say."""
    found = []
    now: dict[str, TrialState] = {}
    for event in ledger.events:
        if event.kind != "trial.state" or event.trial_id is None:
            continue
        state = TrialState(event.data["state"])
        before = now.get(event.trial_id)
        told = event.data["previous"]
        if told != before:
            found.append(f"event {event.seq} says it comes after {told}, the log after {before}")
        if before not in (None, state) and state not in TRIAL_TRANSITIONS[before]:
            found.append(f"event {event.seq} goes from {before} to {state}")
        now[event.trial_id] = state
    if now != {trial.id: trial.state for trial in ledger.trials}:
        found.append("the events lead to other states than the trials have")
    return found


def _leases(ledger: Ledger) -> list[str]:
    found = []
    for trial in ledger.trials:
        mine = [lease for lease in ledger.leases if lease.trial_id == trial.id]
        active = [lease.id for lease in mine if lease.end is None]
        expected = [trial.lease_id] if trial.state is TrialState.RUNNING else []
        if active != expected:
            found.append(f"trial {trial.number} is {trial.state} with the active leases {active}")
        ended = [lease for lease in mine if lease.end in _ENDED_WELL]
        is_ended = trial.state not in OPEN_TRIAL_STATES | PLACE_FREEING_STATES
        may_be_none = trial.source is TrialSource.IMPORT or trial.state is TrialState.STOPPED
        if len(ended) > is_ended or (is_ended and not ended and not may_be_none):
            found.append(f"trial {trial.number} is {trial.state}, ended by {len(ended)} leases")
        if ended and (ended[0].id != trial.lease_id or ended[0].end != trial.state):
            found.append(f"trial {trial.number} ended under another lease than its current one")
        if any(_overlap(one, other) for one, other in combinations(mine, 2)):
            found.append(f"trial {trial.number} had two leases at once")
    return found


def _overlap(one: Lease, other: Lease) -> bool:
    return _is_before(one.acquired_at, other.ended_at) and _is_before(
        other.acquired_at, one.ended_at
    )


def _is_before(begin: datetime, end: datetime | None) -> bool:
    return end is None or begin < end


def _measurements(ledger: Ledger) -> list[str]:
    found = []
    by_id = {lease.id: lease for lease in ledger.leases}
    seqs: dict[str, int] = {}
    for point in ledger.measurements:
        if point.lease_id is None:
            continue
        lease = by_id[point.lease_id]
        if lease.ended_at is not None and point.reported_at > lease.ended_at:
            found.append(f"a report of lease {lease.id} was taken after its end")
        if point.reported_at < lease.acquired_at or lease.trial_id != point.trial_id:
            found.append(f"a report was taken that lease {lease.id} cannot have made")
        if point.seq < seqs.get(lease.id, 0):
            found.append(f"reports of lease {lease.id} were taken out of order")
        seqs[lease.id] = point.seq
    for lease_id, seq in seqs.items():
        if by_id[lease_id].last_seq != seq:
            found.append(f"lease {lease_id} does not know its last report")
    return found
