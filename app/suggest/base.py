"""What a suggester is asked and what it answers: plain values, finished and pending trials apart.

A suggester is a function of its request alone: the same request gives the same decision.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..domain.fidelity import Ladder
from ..domain.space import Params, Space, Value, point_key
from ..domain.study import Direction, Metric
from ..domain.trial import FailureKind, TrialSource, TrialState
from .memory import SuggestMemory

Floats: TypeAlias = NDArray[np.float64]
Rungs: TypeAlias = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedTrial:
    """A trial that has ended and says something about its point.

    Attributes:
        number: the trial's number in its study.
        params: the active parameters.
        state: `completed`, `stopped`, `infeasible` or `failed`.
        values: values in the order of the request's metrics, as reported; None without finite ones.
        failure: why it failed, or None.
        rungs: (step, value of the modelled metric) at each rung that it has reached, by step, NaN
            where it has no value; empty in a study without early stopping.
        step: the step that `values` were taken at, or None. Those of a stopped trial are values at
            that step, not of a full training.
    """

    number: int
    params: Params
    state: TrialState
    values: tuple[float, ...] | None
    failure: FailureKind | None = None
    rungs: Rungs = ()
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTrial:
    """A trial that has not ended: its point is taken, its final value unknown; `rungs` as for a
    finished one.
    """

    number: int
    params: Params
    rungs: Rungs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestRequest:
    """All that a suggester may know.

    Attributes:
        space: the search space.
        metrics: the declared metrics; the first objective is modelled.
        finished: by number, without cancelled trials and failures that say nothing of the point.
        pending: by number.
        options: the suggester's options, checked; those left out take their defaults.
        seed: the study's seed.
        index: number of the trial to make; with `count` > 1 of the first one.
        count: how many points, >= 1; made one after another, earlier ones pending for later ones.
        max_trials: the study's budget, or None.
        time_per_trial_s: what its limits leave for each trial, in seconds, or None.
        ladder: the rungs of the study's early-stopping rule, or None without one.
        memory: what was made of this study's trials before; changes no decision, only its cost.
    """

    space: Space
    metrics: tuple[Metric, ...]
    finished: tuple[FinishedTrial, ...] = ()
    pending: tuple[PendingTrial, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    index: int = 1
    count: int = 1
    max_trials: int | None = None
    time_per_trial_s: float | None = None
    ladder: Ladder | None = None
    memory: SuggestMemory | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A point to try, where it comes from, and what the suggester knew; JSON values only."""

    params: dict[str, Value]
    source: TrialSource = TrialSource.SUGGESTER
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The points, at most as many as asked; `exhausted` when no further distinct point exists."""

    suggestions: tuple[Suggestion, ...]
    exhausted: bool = False


SuggestFunction: TypeAlias = Callable[[SuggestRequest], Decision]


def targets(request: SuggestRequest) -> Floats:
    """The first objective of the finished trials as a target to minimise.

    Returns:
        Array `(n,)`: the value, negated when it is maximised; NaN where a trial has none.
    """
    column = modelled_metric(request.metrics)
    sign = 1.0 if request.metrics[column].direction is Direction.MINIMIZE else -1.0
    raw = [t.values[column] if t.values is not None else math.nan for t in request.finished]
    y = sign * np.array(raw, dtype=np.float64)
    return np.where(np.isfinite(y), y, math.nan)


def objective_targets(request: SuggestRequest) -> Floats:
    """All objectives of the finished trials as targets to minimise.

    Returns:
        Array `(n, m)` in the order of the objectives: values, negated when maximised; a row of NaN
        where a trial lacks one of them.
    """
    columns = [k for k, metric in enumerate(request.metrics) if metric.role == "objective"]
    y = _signed(request, columns)
    y[~np.isfinite(y).all(axis=1)] = math.nan
    return y


def constraint_excess(request: SuggestRequest) -> Floats:
    """How far the finished trials are beyond the thresholds of the constraint metrics.

    Returns:
        Array `(n, c)` in the order of the constraints: positive beyond the threshold, at most 0
        within, in the metric's units; NaN where a trial has no value. What is beyond all numbers is
        the largest of them.
    """
    metrics = request.metrics
    columns = [k for k, metric in enumerate(metrics) if metric.role == "constraint"]
    y = _signed(request, columns)
    for place, k in enumerate(columns):
        limit = metrics[k].threshold or 0.0
        with np.errstate(over="ignore"):
            y[:, place] -= limit if metrics[k].direction is Direction.MINIMIZE else -limit
    largest = np.finfo(np.float64).max
    return np.clip(y, -largest, largest)


def _signed(request: SuggestRequest, columns: Sequence[int]) -> Floats:
    """Columns of the values with every metric to be minimised, NaN for what is not finite."""
    signs = [1.0 if request.metrics[k].direction is Direction.MINIMIZE else -1.0 for k in columns]
    y = np.full((len(request.finished), len(columns)), math.nan)
    for row, trial in enumerate(request.finished):
        if trial.values is not None:
            y[row] = [sign * trial.values[k] for sign, k in zip(signs, columns, strict=True)]
    return np.where(np.isfinite(y), y, math.nan)


def modelled_metric(metrics: Sequence[Metric]) -> int:
    """Position of the first metric that is an objective; of the first one where none is."""
    return next((k for k, metric in enumerate(metrics) if metric.role == "objective"), 0)


def rng_of(request: SuggestRequest, name: str, index: int) -> np.random.Generator:
    """The random generator for one point: seed, suggester's name and trial number decide it."""
    return np.random.default_rng([request.seed, zlib.crc32(name.encode()), index])


def memory_of(request: SuggestRequest) -> SuggestMemory:
    """The study's memory, or a new one."""
    return SuggestMemory() if request.memory is None else request.memory


def in_order(request: SuggestRequest) -> SuggestRequest:
    """The same request with its trials by number, in whichever order they came."""
    return replace(
        request,
        finished=tuple(sorted(request.finished, key=lambda t: t.number)),
        pending=tuple(sorted(request.pending, key=lambda t: t.number)),
    )


def taken_keys(request: SuggestRequest) -> set[str]:
    """Keys of all points that were tried or are being tried."""
    keys = set(memory_of(request).keys(request.finished))
    keys.update(point_key(trial.params) for trial in request.pending)
    return keys


def provenance(request: SuggestRequest, name: str, index: int, **more: Any) -> dict[str, Any]:
    """What every suggestion says of itself, with details of its own in `more`."""
    return {
        "suggester": name,
        "seed": request.seed,
        "index": index,
        "n_finished": len(request.finished),
        "n_pending": len(request.pending) + index - request.index,
        **more,
    }
