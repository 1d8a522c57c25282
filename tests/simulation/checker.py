"""Proves the promises from the tables, the event log and what was acknowledged."""

from __future__ import annotations

from collections import Counter

from app.domain.lease import Lease, LeaseEnd
from app.domain.trial import OPEN_TRIAL_STATES, FailureKind, Trial, TrialState

from .. import audit
from ..audit import Ledger
from . import rungs
from .record import Acknowledged, Record

_ENDS = {
    "complete": LeaseEnd.COMPLETED,
    "stop": LeaseEnd.STOPPED,
    "pause": LeaseEnd.PAUSED,
    "fail": LeaseEnd.FAILED,
    "release": LeaseEnd.RELEASED,
}


def faults(ledgers: dict[str, Ledger], record: Record) -> list[str]:
    """Every broken promise, in words.

    Args:
        ledgers: each study's rows by what it is called, after all of them should have ended.
        record: what was sent and acknowledged.
    """
    found = []
    for name, ledger in ledgers.items():
        found += [f"{name}: {fault}" for fault in audit.faults(ledger)]
        found += [f"{name}: {fault}" for fault in _budget(ledger)]
        found += [f"{name}: {fault}" for fault in _values(ledger, record)]
    found += _acknowledged(list(ledgers.values()), record)
    found += _grid(ledgers["grid"])
    found += _enqueued(ledgers["workers"], record)
    found += rungs.faults(ledgers["rungs"])
    return found


def _budget(ledger: Ledger) -> list[str]:
    study, found = ledger.study, []
    if study.ended_at is None:
        found.append(f"it is {study.state} with {study.counts} and not at its end")
    lost = [trial.number for trial in ledger.trials if trial.state in OPEN_TRIAL_STATES]
    if lost:
        found.append(f"the trials {lost} have never ended")
    most = study.definition.limits.max_trials
    if most is not None and study.places != most:
        found.append(f"{study.places} trials count of a budget of {most}")
    return found


def _values(ledger: Ledger, record: Record) -> list[str]:
    """No value but those that the holder of the lease itself has sent; each measurement once."""
    found = []
    for trial in ledger.trials:
        if trial.state is TrialState.COMPLETED:
            known = record.values.get(trial.lease_id or "", {})
            kind, _ = known.get(trial.values["value"], ("nothing", {}))
            if kind != "complete":
                found.append(f"trial {trial.number} has a value of another lease")
    seen: Counter[float] = Counter()
    for point in ledger.measurements:
        value = point.values["value"]
        seen[value] += 1
        kind, body = record.values.get(point.lease_id or "", {}).get(value, ("nothing", {}))
        if kind != "report" or (body["seq"], body["step"]) != (point.seq, point.step):
            found.append(f"a measurement of {point.lease_id} was never sent under that lease")
    found += [f"the measurement {value} is there {n} times" for value, n in seen.items() if n > 1]
    return found


def _acknowledged(ledgers: list[Ledger], record: Record) -> list[str]:
    leases = {lease.id: lease for ledger in ledgers for lease in ledger.leases}
    trials = {trial.id: trial for ledger in ledgers for trial in ledger.trials}
    points = {point.values["value"] for ledger in ledgers for point in ledger.measurements}
    found = []
    for said in record.acknowledged:
        lease = leases[said.lease_id]
        if said.kind == "report":
            if said.body["value"] not in points:
                found.append(f"report {said.body['seq']} of {lease.id} was taken and is not there")
        elif not _has_ended_so(lease, said):
            found.append(f"a {said.kind} of {lease.id} was taken, and the lease is {lease.end}")
        elif said.kind == "complete" and trials[lease.trial_id].values != _result(said):
            found.append(f"the result of {lease.id} was taken and is not there")
    return found


def _result(said: Acknowledged) -> dict[str, float]:
    return {"value": said.body["value"]}


def _has_ended_so(lease: Lease, said: Acknowledged) -> bool:
    return lease.end is _ENDS[said.kind]


def _grid(ledger: Ledger) -> list[str]:
    """Each point once, those trials aside that say nothing of theirs: it is asked for again."""
    told = [trial for trial in ledger.trials if not _says_nothing(trial)]
    points = Counter(trial.params["x"] for trial in told)
    space = ledger.study.definition.space.parameters[0]
    wanted = Counter(range(int(space.low), int(space.high) + 1))  # type: ignore[union-attr]
    return [] if points == wanted else [f"the grid was run as {points}"]


def _says_nothing(trial: Trial) -> bool:
    is_lost = trial.failure is not None and trial.failure.kind is FailureKind.INFRASTRUCTURE
    return trial.state is TrialState.CANCELLED or (trial.state is TrialState.FAILED and is_lost)


def _enqueued(ledger: Ledger, record: Record) -> list[str]:
    users = [trial.number for trial in ledger.trials if trial.source == "user"]
    missing = sorted(set(record.enqueued) - set(users))
    found = [f"the enqueued trials {missing} are not there"] if missing else []
    points = Counter(trial.params["x"] for trial in ledger.trials if trial.source == "user")
    return found + [f"point {x} was enqueued {n} times" for x, n in points.items() if n > 1]
