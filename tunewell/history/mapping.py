"""Which column of a file is which parameter, metric or field of a study; and rows as trials."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .records import BadHistory, History, Row

_PARAM_PREFIXES = ("params.", "params_", "param.", "param_", "config.", "config/", "parameters.",
                   "hyperparameters.")  # fmt: skip
_METRIC_PREFIXES = ("values.", "values_", "metrics.", "metric.", "summary.", "results.", "result.")
_FIELDS = {
    "state": ("state", "status"),
    "step": ("step",),
    "started_at": ("started_at", "datetime_start", "start_time"),
    "ended_at": ("ended_at", "datetime_complete", "end_time"),
    "failure.kind": ("failure_kind", "failure.kind"),
    "failure.message": ("failure_message", "failure.message"),
}
"""Columns that say something of the trial itself, in the order in which they are looked for."""

_STATES = {
    "complete": "completed", "completed": "completed", "finished": "completed", "ok": "completed",
    "succeeded": "completed", "done": "completed", "new": "completed",
    "pruned": "stopped", "stopped": "stopped", "early_stopped": "stopped",
    "fail": "failed", "failed": "failed", "crashed": "failed", "error": "failed",
    "infeasible": "infeasible", "cancelled": "cancelled", "canceled": "cancelled",
    "killed": "cancelled",
}  # fmt: skip
"""States of other tools, in small letters; `new` is hyperopt's word in some of its exports."""
_UNFINISHED = frozenset({"running", "waiting", "pending", "paused", "queued"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A history as trials of a study.

    Attributes:
        pairs: column, and what it becomes: "parameter lr", "metric accuracy", "state", ...
        left_out: columns that become nothing.
        items: as `POST .../trials` takes them.
        places: where each of them stands in the file.
        n_unfinished: rows that had not ended and are left out.
        n_inactive: rows with values of parameters that are not active there; these are left out.
        n_without_value: rows that count as failed, for want of a finite value.
    """

    pairs: Sequence[tuple[str, str]]
    left_out: Sequence[str]
    items: Sequence[Mapping[str, Any]]
    places: Sequence[str]
    n_unfinished: int = 0
    n_inactive: int = 0
    n_without_value: int = 0

    @property
    def states(self) -> Mapping[str, int]:
        """How many items end in which state."""
        return Counter(str(item["state"]) for item in self.items)


@dataclass(slots=True)
class _Columns:
    """Where a study's parameters, metrics and fields stand in a file."""

    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)

    def used(self) -> dict[str, str]:
        """Column -> what it becomes."""
        found = {column: f"parameter {name}" for name, column in self.params.items()}
        found |= {column: f"metric {name}" for name, column in self.metrics.items()}
        return found | {column: name for name, column in self.fields.items()}


def mapped(history: History, definition: Mapping[str, Any], renames: Mapping[str, str]) -> Mapped:
    """A file's trials as those of a study.

    Args:
        history: the file.
        definition: the study's.
        renames: column -> parameter, metric or field (`state`, `step`, `started_at`, `ended_at`).

    Raises:
        BadHistory: a rename names nothing, or a parameter or metric has no column at all.
    """
    columns = _columns(history, definition, renames)
    _check_complete(history, definition, columns)
    used = columns.used()
    items, places, counts = [], [], Counter[str]()
    for row in history.rows:
        state = _state(row, columns)
        if state in _UNFINISHED:
            counts["unfinished"] += 1
            continue
        items.append(_item(row, state, columns, definition, counts))
        places.append(row.place)
    return Mapped(
        pairs=[(column, used[column]) for column in history.columns if column in used],
        left_out=[column for column in history.columns if column not in used],
        items=items,
        places=places,
        n_unfinished=counts["unfinished"],
        n_inactive=counts["inactive"],
        n_without_value=counts["no value"],
    )


def _columns(
    history: History, definition: Mapping[str, Any], renames: Mapping[str, str]
) -> _Columns:
    params = [str(parameter["name"]) for parameter in definition["space"]]
    metrics = [str(metric["name"]) for metric in definition["metrics"]]
    _check_renames(history, renames, [*params, *metrics, *_FIELDS])
    chosen = {target: column for column, target in renames.items()}
    free = [column for column in history.columns if column not in renames]
    found = _Columns()
    for name in params:
        prefixed = [prefix + name for prefix in _PARAM_PREFIXES]
        if (column := chosen.get(name) or _first([*prefixed, name], free)) is not None:
            found.params[name] = column
    free = [column for column in free if column not in found.params.values()]
    for index, name in enumerate(metrics):
        prefixed = [prefix + name for prefix in _METRIC_PREFIXES]
        by_place = ["value", "values_0"] if len(metrics) == 1 else [f"values_{index}"]
        if (column := chosen.get(name) or _first([*prefixed, name, *by_place], free)) is not None:
            found.metrics[name] = column
    free = [column for column in free if column not in found.metrics.values()]
    for name, known in _FIELDS.items():
        if (column := chosen.get(name) or _first(known, free)) is not None:
            found.fields[name] = column
    return found


def _first(wanted: Sequence[str], there: Sequence[str]) -> str | None:
    return next((column for column in wanted if column in there), None)


def _check_renames(history: History, renames: Mapping[str, str], targets: Sequence[str]) -> None:
    for column, target in renames.items():
        if column not in history.columns:
            known = ", ".join(history.columns)
            raise BadHistory(f"--map {column}={target}: there is no such column; there are {known}")
        if target not in targets:
            known = ", ".join(targets)
            raise BadHistory(f"--map {column}={target}: a column becomes one of {known}")


def _check_complete(history: History, definition: Mapping[str, Any], columns: _Columns) -> None:
    """Sees to it that what every trial has to have is somewhere in the file."""
    missing = [
        f"parameter {parameter['name']}"
        for parameter in definition["space"]
        if parameter["name"] not in columns.params and not parameter.get("when")
    ]
    if not columns.metrics:
        missing += [f"metric {metric['name']}" for metric in definition["metrics"]]
    if missing and history.rows:
        known = ", ".join(history.columns) or "none"
        raise BadHistory(
            f"{history.name} has no column for {', '.join(missing)}; its columns are: {known}; "
            "say which is which with --map COLUMN=NAME"
        )


def _state(row: Row, columns: _Columns) -> str:
    """A row's state: ours, one that has not ended, or "" where the row does not say."""
    given = str(row.columns.get(columns.fields.get("state", ""), "")).strip().lower()
    # As Python prints Optuna's: "TrialState.COMPLETE".
    given = given.removeprefix("trialstate.")
    return _STATES.get(given, given)


def _item(
    row: Row,
    state: str,
    columns: _Columns,
    definition: Mapping[str, Any],
    counts: Counter[str],
) -> dict[str, Any]:
    """A row as a finished trial; what cannot be right is left for the service to name."""
    params = _params(row, columns, definition, counts)
    numbers = {n: _number(row.columns[c]) for n, c in columns.metrics.items() if c in row.columns}
    values = {name: v for name, v in numbers.items() if isinstance(v, str) or math.isfinite(v)}
    item: dict[str, Any] = {"params": params, "state": state or "completed", "values": values}
    names = [str(metric["name"]) for metric in definition["metrics"]]
    if item["state"] == "completed" and any(name not in values for name in names):
        counts["no value"] += 1
        said = "its value is not finite" if len(numbers) == len(names) else "it has no value"
        item |= {"state": "failed", "failure": {"kind": "nan", "message": f"imported: {said}"}}
    elif item["state"] == "failed":
        item["failure"] = _failure(row, columns)
    if item["state"] in ("failed", "cancelled"):
        item["values"] = {}
    for name in ("started_at", "ended_at"):
        if (column := columns.fields.get(name)) is not None and column in row.columns:
            item[name] = _instant(row.columns[column])
    if (column := columns.fields.get("step")) is not None and column in row.columns:
        item["step"] = _number(row.columns[column])
    if row.curve:
        item["measurements"] = [
            {"step": step, "values": {names[0]: value}} for step, value in row.curve
        ]
    if item["state"] == "stopped" and not values and row.curve:
        last = row.curve[-1][1]
        item["values"] = {names[0]: last} if math.isfinite(last) else {}
    return item


def _failure(row: Row, columns: _Columns) -> dict[str, str]:
    found = {"message": "imported as failed"}
    for name in ("kind", "message"):
        column = columns.fields.get(f"failure.{name}")
        if column is not None and column in row.columns:
            found[name] = str(row.columns[column])
    return found


def _params(
    row: Row, columns: _Columns, definition: Mapping[str, Any], counts: Counter[str]
) -> dict[str, Any]:
    params: dict[str, Any] = {}
    has_inactive = False
    for parameter in definition["space"]:
        name = parameter["name"]
        column = columns.params.get(name)
        if column is None or column not in row.columns:
            continue
        if is_active(parameter, params):
            params[name] = value_of(parameter, row.columns[column])
        else:
            has_inactive = True
    counts["inactive"] += has_inactive
    return params


def is_active(parameter: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Whether a parameter's condition holds with those before it."""
    when = parameter.get("when")
    if not when:
        return True
    parent = params.get(when["param"])
    if parent is None:
        return False
    if when.get("in") is not None:
        return any(parent == each and type(parent) is type(each) for each in when["in"])
    if isinstance(parent, str):
        return False
    low, high = when.get("low"), when.get("high")
    return (low is None or parent >= low) and (high is None or parent <= high)


def value_of(parameter: Mapping[str, Any], raw: Any) -> Any:
    """A value as the parameter has it: numbers from texts, choices by what they look like."""
    if parameter["type"] == "categorical":
        return _choice(parameter["choices"], raw)
    number = _number(raw)
    is_whole = isinstance(number, float) and number.is_integer()
    return int(number) if parameter["type"] == "int" and is_whole else number


def _choice(choices: Sequence[Any], raw: Any) -> Any:
    for each in choices:
        if each == raw and type(each) is type(raw):
            return each
    for each in choices:
        # A cell has lost the blanks around a text.
        if str(each).strip().lower() == str(raw).lower() or _is_same_number(each, raw):
            return each
    return raw


def _is_same_number(choice: Any, raw: Any) -> bool:
    if isinstance(choice, (bool, str)):
        return False
    number = _number(raw)
    return not isinstance(number, str) and number == choice


def _number(raw: Any) -> float | str:
    """A number from what a cell holds; the text itself where it is none."""
    if isinstance(raw, bool):
        return str(raw)
    if isinstance(raw, (int, float)):
        return raw
    try:
        return int(raw) if str(raw).strip().lstrip("+-").isdigit() else float(raw)
    except (TypeError, ValueError):
        return str(raw)


def _instant(raw: Any) -> Any:
    """A time with its offset: Unix seconds, or a text; one without an offset is local."""
    number = _number(raw)
    try:
        if not isinstance(number, str):
            return datetime.fromtimestamp(number).astimezone().isoformat()
        found = datetime.fromisoformat(number)
    except (ValueError, OSError, OverflowError):
        return str(raw)
    return (found if found.tzinfo else found.astimezone()).isoformat()
