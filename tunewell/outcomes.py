"""What became of a trial, in one line: for people, or as fields for logs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .lines import cell, clean, duplicate_of, fields, number, one_line, params_text, took, took_s
from .terminal import padded, painted, state_style

if TYPE_CHECKING:
    from .models import Study, Trial

_STATE_WIDTH, _RESULT_WIDTH = 9, 10


def outcome_line(trial: Trial, study: Study) -> str:
    """A trial that has ended, for people: number, state, value, and what there is to say of it."""
    return _line(trial.number, trial.state, _result(trial, study), _remark(trial))


def retry_line(trial: Trial, study: Study) -> str:
    """A trial of which an attempt failed, and that is tried again, for people."""
    failure = trial.failure
    said = one_line(failure.message) if failure else ""
    again = f"will retry ({trial.n_attempts + 1} of {_max_attempts(study)})"
    kind = failure.kind if failure else ""
    return _line(trial.number, "failed", clean(kind), f"{again}: {said}" if said else again)


def _line(number: int, state: str, result: str, remark: str) -> str:
    shown = painted(padded(state, _STATE_WIDTH), state_style(state), sys.stderr)
    return f"#{number:<3} {shown} {padded(result, _RESULT_WIDTH)} {remark}".rstrip()


def _result(trial: Trial, study: Study) -> str:
    """Its declared values, or the kind of its failure."""
    if trial.state == "failed":
        return clean(trial.failure.kind) if trial.failure else "-"
    return " ".join(number(trial.values[m]) for m in study.metrics if m in trial.values) or "-"


def _remark(trial: Trial) -> str:
    if trial.state == "failed":
        return one_line(trial.failure.message) if trial.failure else ""
    if trial.state == "stopped":
        where = "stopped" if trial.step is None else f"at step {trial.step}"
        reason = one_line(trial.directive_reason)
        return f"{where} ({reason})" if reason else where
    of, seconds = duplicate_of(trial), took_s(trial)
    if of is not None:
        return f"not trained: equal to #{of['number']}"
    parts = [] if seconds is None else [took(seconds)]
    return "  ".join([*parts, _made_by(trial)])


def _made_by(trial: Trial) -> str:
    """The suggester of a point, or where else it came from."""
    found = trial.provenance.get("suggester")
    return clean(str(found)) if found and trial.source == "suggester" else trial.source


def event_line(trial: Trial, study: Study) -> str:
    """A trial that has ended, or is tried again, as fields for a log."""
    known: dict[str, Any] = {m: trial.values[m] for m in study.metrics if m in trial.values}
    state = trial.state
    if trial.failure is not None and state not in ("completed", "stopped", "infeasible"):
        will_retry = not trial.has_ended
        known |= {"kind": trial.failure.kind, "will_retry": will_retry}
        known |= {"message": one_line(trial.failure.message)} if trial.failure.message else {}
        state = "failed" if will_retry else state
    if state == "stopped" and trial.step is not None:
        known["step"] = trial.step
    if state == "stopped" and trial.directive_reason:
        known["reason"] = one_line(trial.directive_reason)
    if (seconds := took_s(trial)) is not None:
        known["took_s"] = round(seconds, 1)
    if (of := duplicate_of(trial)) is not None:
        known["equal_to"] = of["number"]
    return f"#{trial.number} {state} {fields(known, ' ')}".rstrip()


def result_line(trial: Trial, study: Study) -> str:
    """A best trial for people."""
    values = [f"{number(trial.values[m])} {clean(m)}" for m in study.metrics if m in trial.values]
    how = "" if trial.state == "completed" else f" ({cell(trial.state)})"
    return f" best {', '.join(values)}, #{trial.number}{how}: {params_text(trial, study)}"


def result_lines(trial: Trial, study: Study) -> list[str]:
    """A best trial for programs: what it is with its values, then its parameters, in full."""
    values = {m: trial.values[m] for m in study.metrics if m in trial.values}
    params = {name: trial.params[name] for name in study.params if name in trial.params}
    return [fields({"trial_id": trial.id, "number": trial.number, **values}), fields(params)]


def _max_attempts(study: Study) -> str:
    policy = study.definition.get("failure_policy") or {}
    return str(policy.get("max_attempts", "?"))
