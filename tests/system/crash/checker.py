"""Reads a study's event log and tables straight from the database and holds them against the
promises. Knows nothing of the service's code beyond its tables.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from app.store.engine import parse_url

from . import checkpoint_checks
from .evidence import Evidence
from .record import Ack, Record

ENDS = frozenset({"completed", "stopped", "infeasible", "failed", "cancelled"})
GIVES_PLACE_BACK = frozenset({"failed", "cancelled"})
_OUTCOMES = {"fail": "failed", "release": "released", "pause": "paused"}
RERUN_S = 2.0
"""How long after its lease's end an open trial may wait until it runs again."""


def faults(database_url: str, study_id: str, record: Record) -> list[str]:
    """Every broken promise, in words; none when all hold."""
    engine = create_engine(parse_url(database_url), poolclass=NullPool)
    try:
        with engine.connect() as conn:
            evidence = Evidence(conn, study_id)
    finally:
        engine.dispose()
    return [fault for check in CHECKS for fault in check(evidence, record)]


def no_gap_in_the_log(found: Evidence, _: Record) -> Iterator[str]:
    """The study's events are numbered 1, 2, 3, ... up to what its row says."""
    numbers = [event["seq"] for event in found.events]
    if numbers != list(range(1, found.study["change_seq"] + 1)):
        yield f"events are numbered {numbers}, the study is at {found.study['change_seq']}"


def no_trial_lost(found: Evidence, _: Record) -> Iterator[str]:
    """Numbers are 1..n; each trial has ended, or has a way on while its study is open."""
    numbers = [trial["number"] for trial in found.trials]
    if numbers != list(range(1, found.study["next_number"])):
        yield f"trials are numbered {numbers}, the next is {found.study['next_number']}"
    is_over = found.study["ended_at"] is not None
    for trial in found.trials:
        is_held = any(lease["ended_at"] is None for lease in found.attempts[trial["id"]])
        if trial["state"] not in ENDS and is_over:
            yield f"trial {trial['number']} is {trial['state']} in a study that has ended"
        elif (trial["state"] == "running") != is_held:
            yield f"trial {trial['number']} is {trial['state']}, has a lease: {is_held}"


def none_ended_twice(found: Evidence, _: Record) -> Iterator[str]:
    """The log of each trial is one chain of changes with one end, and its row is where it ends."""
    for trial in found.trials:
        state, n_ends = None, 0
        for event in found.events:
            if event["kind"] != "trial.state" or event["trial_id"] != trial["id"]:
                continue
            if event["data"]["previous"] != state:
                yield f"trial {trial['number']} was {state}, event {event['seq']} says otherwise"
            was_ended = state in ENDS
            state = event["data"]["state"]
            n_ends += state in ENDS and not was_ended
            if was_ended and not (event["data"]["previous"] == "failed" and state == "pending"):
                yield f"trial {trial['number']} changed after its end (event {event['seq']})"
        if state != trial["state"]:
            yield f"trial {trial['number']} is {trial['state']}, its log ends with {state}"
        if n_ends != (trial["state"] in ENDS):
            yield f"trial {trial['number']} ended {n_ends} times and is {trial['state']}"


def counts_are_true(found: Evidence, _: Record) -> Iterator[str]:
    """The counters in the study's row are what counting the trials gives."""
    counted = Counter(trial["state"] for trial in found.trials)
    for name, value in found.study.items():
        if name.startswith("n_") and value != counted[name.removeprefix("n_")]:
            yield f"the study says {name} = {value}, counted {counted[name.removeprefix('n_')]}"
    places = sum(trial["state"] not in GIVES_PLACE_BACK for trial in found.trials)
    if found.study["places"] != places:
        yield f"the study says {found.study['places']} places, counted {places}"


def one_lease_at_a_time(found: Evidence, _: Record) -> Iterator[str]:
    """The attempts at a trial never overlap."""
    for trial in found.trials:
        for before, after in pairwise(found.attempts[trial["id"]]):
            if before["ended_at"] is None or before["ended_at"] > after["acquired_at"]:
                yield f"leases {before['id']} and {after['id']} of one trial overlap"


def no_value_of_a_stale_lease(found: Evidence, _: Record) -> Iterator[str]:
    """Each measurement and final value was written under the lease that was current then."""
    values: dict[str, set[float]] = defaultdict(set)
    for row in found.measurements:
        values[row["lease_id"]].update(row["reported_values"].values())
        lease = found.lease_of.get(row["lease_id"])
        if lease is None or lease["trial_id"] != row["trial_id"]:
            yield f"measurement {row['id']} is of lease {row['lease_id']}, which is not its trial's"
        elif not found.is_current(lease, row["reported_at"]):
            yield f"measurement {row['id']} came under {lease['id']}, which was stale by then"
    for trial in found.trials:
        if trial["state"] not in ("completed", "stopped") or not trial["final_values"]:
            continue
        yield from _final_faults(found, trial, values)


def _final_faults(
    found: Evidence, trial: Mapping[str, Any], values: Mapping[str, set[float]]
) -> Iterator[str]:
    last = found.attempts[trial["id"]][-1]
    if trial["state"] == "stopped" and last["outcome"] in ("paused", "expired"):
        # It paused, was lost at its rung, or was to go on, and its study ended.
        if not set(trial["final_values"].values()) <= values[last["id"]]:
            yield f"trial {trial['number']} has a value that its last lease never reported"
        return
    lease = found.lease_of.get(trial["lease_id"])
    if lease is None or lease["id"] != found.attempts[trial["id"]][-1]["id"]:
        yield f"trial {trial['number']} ended under {trial['lease_id']}, not its last lease"
        return
    if lease["outcome"] != trial["state"] or lease["ended_at"] != trial["ended_at"]:
        yield f"trial {trial['number']} and its last lease ended differently"
    # A worker here reports one value throughout an attempt, and another in each attempt.
    if values[lease["id"]] - set(trial["final_values"].values()):
        yield f"trial {trial['number']} has a value that its last lease never reported"


def nothing_counted_twice(found: Evidence, _: Record) -> Iterator[str]:
    """A report is in the tables once: as its event says, each of its steps one row."""
    rows = Counter((row["lease_id"], row["seq"], row["step"]) for row in found.measurements)
    yield from (f"measurement {key} is there {n} times" for key, n in rows.items() if n > 1)
    told: Counter[tuple[str, int]] = Counter()
    for event in found.events:
        if event["kind"] == "trial.measurement":
            told[event["data"]["lease_id"], event["data"]["seq"]] += event["data"]["n_points"]
    kept = Counter((row["lease_id"], row["seq"]) for row in found.measurements)
    if told != kept:
        yield f"the log tells of measurements {dict(told)}, the table has {dict(kept)}"
    per_trial = Counter(row["trial_id"] for row in found.measurements)
    for trial in found.trials:
        if trial["n_measurements"] != per_trial[trial["id"]]:
            yield f"trial {trial['number']} says {trial['n_measurements']} measurements"


def rungs_are_true(found: Evidence, _: Record) -> Iterator[str]:
    """A trial's value at a rung is the first that was reported there; it goes on from each rung
    once, and only among the best third of those that have come there or ended on their way.
    """
    results: dict[int, list[tuple[float, int]]] = defaultdict(list)
    aims: dict[str, int] = defaultdict(lambda: 1)
    for event in found.events:
        trial = found.trial_of.get(event["trial_id"])
        if trial is None or trial["to_step"] is None:
            continue
        data, number = event["data"], trial["number"]
        if event["kind"] == "trial.rung":
            results[data["step"]].append((data["value"], number))
            yield from _first_value_faults(found, trial, data)
        elif event["kind"] == "trial.state" and data["state"] in GIVES_PLACE_BACK:
            results[aims[trial["id"]]].append((math.inf, number))
        if event["kind"] in ("trial.rung", "trial.directive"):
            aim, to_step = aims[trial["id"]], data["to_step"]
            if data["directive"] == "continue" and to_step > aim:
                ranked = [n for _, n in sorted(results[aim])][: len(results[aim]) // 3]
                if number not in ranked and not data["reason"].startswith("the best of those"):
                    yield f"trial {number} went on from step {aim}, where {ranked} may"
                aims[trial["id"]] = to_step
        if event["kind"] == "trial.state" and data["state"] == "paused":
            at = aims[trial["id"]]
            if number not in [n for _, n in results[at]]:
                yield f"trial {number} pauses at step {at} and has no value there"


def _first_value_faults(
    found: Evidence, trial: Mapping[str, Any], data: Mapping[str, Any]
) -> Iterator[str]:
    rows = (row for row in found.measurements if row["trial_id"] == trial["id"])
    reached = [row for row in rows if row["step"] >= data["step"]]
    first = min(reached, key=lambda row: row["id"], default=None)
    if first is None or data["value"] not in first["reported_values"].values():
        yield f"trial {trial['number']} has {data['value']} at step {data['step']}, not {first}"


def budget_is_exact(found: Evidence, record: Record) -> Iterator[str]:
    """The study has ended with as many good trials as its budget says."""
    if found.study["ended_at"] is None:
        yield f"the study is {found.study['state']}"
    good = sum(trial["state"] not in GIVES_PLACE_BACK for trial in found.trials)
    if record.budget is not None and good != record.budget:
        yield f"{good} trials for a budget of {record.budget}"


def acknowledged_is_there(found: Evidence, record: Record) -> Iterator[str]:
    """Every write that was answered with a success is in the database."""
    for ack in record.acks:
        if not _is_there(found, ack, record):
            yield f"acknowledged but not there: {ack}"


def _is_there(found: Evidence, ack: Ack, record: Record) -> bool:
    if ack.what == "create":
        return bool(found.study["id"] == ack.id)
    if ack.what == "stop":
        states = [e["data"].get("state") for e in found.events if e["kind"] == "study.state"]
        return "stopping" in states
    if ack.what == "announce":
        return checkpoint_checks.is_announced(found, ack)
    if ack.what == "commit":
        return checkpoint_checks.is_committed(found, ack, record)
    lease = found.lease_of.get(ack.id)
    return lease is not None and _is_kept(found, ack, lease)


def _is_kept(found: Evidence, ack: Ack, lease: Mapping[str, Any]) -> bool:
    if ack.what == "claim":
        return bool(lease["trial_id"] == ack.data["trial_id"])
    if ack.what == "beat":
        return bool(lease["expires_at"] >= datetime.fromisoformat(ack.data["expires_at"]))
    if ack.what == "report":
        rows = [m for m in found.measurements if m["lease_id"] == ack.id]
        return [m["step"] for m in rows if m["seq"] == ack.data["seq"]] == ack.data["steps"]
    if ack.what == "complete":
        trial = next(t for t in found.trials if t["id"] == lease["trial_id"])
        return trial["lease_id"] == ack.id and trial["final_values"] == {"value": ack.data["value"]}
    if ack.what == "cancel":
        return bool(found.trial_of[lease["trial_id"]]["state"] == "cancelled")
    return bool(lease["outcome"] == _OUTCOMES[ack.what])


def runs_again_in_time(found: Evidence, record: Record) -> Iterator[str]:
    """A trial whose lease expired runs again soon after the lease's end."""
    for attempts in found.attempts.values():
        for lost, again in pairwise(attempts):
            if lost["outcome"] != "expired":
                continue
            waited_s = again["acquired_at"].timestamp() - _may_run_at(lost, record)
            if waited_s > RERUN_S:
                yield f"lease {lost['id']} expired and its trial ran again {waited_s:.1f} s later"


def _may_run_at(lost: Mapping[str, Any], record: Record) -> float:
    """When the trial could be taken back at the earliest: not while no service could act."""
    at = float(lost["expires_at"].timestamp())
    for since, until in sorted(record.gaps):
        if since - record.lease_s - RERUN_S <= at <= until:
            at = max(at, until)
    return at


CHECKS = (
    no_gap_in_the_log,
    no_trial_lost,
    none_ended_twice,
    counts_are_true,
    one_lease_at_a_time,
    no_value_of_a_stale_lease,
    nothing_counted_twice,
    rungs_are_true,
    budget_is_exact,
    acknowledged_is_there,
    runs_again_in_time,
    *checkpoint_checks.CHECKS,
)
