"""Trials as data frames: pandas and polars, loaded when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from .errors import NotInstalled
from .models import Study, Trial

_HEAD: Mapping[str, Callable[[Trial], Any]] = {
    "number": lambda trial: trial.number,
    "state": lambda trial: trial.state,
}
_TAIL: Mapping[str, Callable[[Trial], Any]] = {
    "step": lambda trial: trial.step,
    "source": lambda trial: trial.source,
    "started_at": lambda trial: trial.started_at,
    "ended_at": lambda trial: trial.ended_at,
    "took_s": lambda trial: _took_s(trial),
    "failure": lambda trial: trial.failure.kind if trial.failure else None,
    "note": lambda trial: trial.note or None,
    "id": lambda trial: trial.id,
}


def columns(study: Study, trials: Sequence[Trial]) -> dict[str, list[Any]]:
    """The columns of a frame: number and state, each metric, each parameter, and the rest.

    A metric or parameter with the name of another column is prefixed, `metrics.` or `params.`.
    What a trial has not is None.
    """
    reported = {name for trial in trials for name in trial.values}
    metrics = [*study.metrics, *sorted(reported - set(study.metrics))]
    made = {name: [get(trial) for trial in trials] for name, get in _HEAD.items()}
    taken = {*_HEAD, *_TAIL}
    for name in metrics:
        key = _free(name, "metrics", taken)
        made[key] = [trial.values.get(name) for trial in trials]
    for name in study.params:
        key = _free(name, "params", taken)
        made[key] = [trial.params.get(name) for trial in trials]
    made.update({name: [get(trial) for trial in trials] for name, get in _TAIL.items()})
    return made


def to_pandas(study: Study, trials: Sequence[Trial]) -> Any:
    """A pandas data frame, in types that have NA.

    Raises:
        NotInstalled: pandas is not.
    """
    pandas = load("pandas", "frames")
    return pandas.DataFrame(columns(study, trials)).convert_dtypes()


def to_polars(study: Study, trials: Sequence[Trial]) -> Any:
    """A polars data frame.

    Raises:
        NotInstalled: polars is not.
    """
    polars = load("polars", "frames")
    found = columns(study, trials)
    series = [polars.Series(name, _alike(values), strict=False) for name, values in found.items()]
    return polars.DataFrame(series)


def load(name: str, extra: str) -> Any:
    """A library that an extra of this package brings.

    Raises:
        NotInstalled: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise NotInstalled(
            f"this needs {error.name}, which is not installed",
            next_step=f"pip install 'tunewell[{extra}]'",
        ) from error


def _free(name: str, prefix: str, taken: set[str]) -> str:
    """A column's name that no other has, which is then taken."""
    key = f"{prefix}.{name}" if name in taken else name
    taken.add(key)
    return key


def _alike(values: Iterable[Any]) -> list[Any]:
    """Choices of different kinds as text: a column of polars has one kind."""
    found = list(values)
    kinds = {type(value) for value in found if value is not None}
    if len(kinds) > 1 and not kinds <= {int, float}:
        return [None if value is None else str(value) for value in found]
    return found


def _took_s(trial: Trial) -> float | None:
    if trial.started_at is None or trial.ended_at is None:
        return None
    return (trial.ended_at - trial.started_at).total_seconds()
