"""Which finished trial is best when the values are noisy: by the posterior mean at its point.

The best observed value of a noisy metric is mostly a lucky draw. A Gaussian process fitted to all
results averages over neighbours and repeats; its mean at the tried points is what a point brings on
average (the winner by "posterior mean" of Frazier 2018, arXiv 1807.02811, section 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..domain.study import Direction
from .base import SuggestRequest, modelled_metric, targets
from .gp_training import MAX_ROWS, SUBSET_ROWS, History, Model, active_rows, train
from .numerics import Array
from .row_space import RowSpace

MIN_VALUES = 3
"""With fewer values a model says nothing that the values do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """What a Gaussian process says of the trials that have a value.

    Attributes:
        numbers: numbers of the trials, ascending.
        means: posterior means at their points, in the metric's own units.
        sds: half the width of mean - sd to mean + sd, in the metric's own units.
        is_noisy: whether the model takes the differences of neighbours for noise.
        warp: name of the warp that was undone; between two observed values it is taken as linear.
    """

    numbers: tuple[int, ...]
    means: tuple[float, ...]
    sds: tuple[float, ...]
    is_noisy: bool
    warp: str


def posterior_of(request: SuggestRequest) -> Posterior | None:
    """The posterior at every finished trial with a value; None with too few to fit a model.

    A function of the finished trials alone, in whatever order they are.
    """
    finished = tuple(sorted(request.finished, key=lambda trial: trial.number))
    y = targets(SuggestRequest(space=request.space, metrics=request.metrics, finished=finished))
    space, is_ok = RowSpace(request.space), np.isfinite(y)
    if int(is_ok.sum()) < MIN_VALUES or not (space.column_of >= 0).any():
        return None
    history = History(points=space.encode([trial.params for trial in finished]), y=y)
    model, seen = _trained(space, history)
    mean, sd = model.gp.posterior(space.features(history.points[is_ok]))
    unwarp = Unwarp.of(model, seen)
    sign = 1.0 if _is_minimised(request) else -1.0
    with np.errstate(over="ignore"):
        width = np.nan_to_num(0.5 * np.abs(unwarp(mean + sd) - unwarp(mean - sd)))
    return Posterior(
        numbers=tuple(t.number for t, ok in zip(finished, is_ok, strict=True) if ok),
        means=tuple(float(value) for value in sign * unwarp(mean)),
        sds=tuple(float(value) for value in width),
        is_noisy=bool(model.gp.is_noisy),
        warp=model.warp,
    )


def _trained(space: RowSpace, history: History) -> tuple[Model, Array]:
    """The model, and the values of the trials that it sees, shape (m,), NaN for failures."""
    if history.y.size > MAX_ROWS:
        rows = active_rows(space, history, SUBSET_ROWS)
        history = History(points=history.points[rows], y=history.y[rows])
    return train(space, history), history.y


def _is_minimised(request: SuggestRequest) -> bool:
    metric = request.metrics[modelled_metric(request.metrics)]
    return metric.direction is Direction.MINIMIZE


@dataclass(frozen=True, slots=True)
class Unwarp:
    """From standardised targets back to values: linear between those seen, and beyond the best.

    The warps keep the good half of the values in proportion, so that there it is exact; the worse
    half keeps its order only, and the values seen are what there is to go by.
    """

    z: Array
    y: Array

    @classmethod
    def of(cls, model: Model, y: Array) -> Unwarp:
        """The map of a model that was fitted to the values `y`, shape (n,), NaN for failures."""
        return cls.between(model.z[model.is_ok], y[model.is_ok])

    @classmethod
    def between(cls, z: Array, y: Array) -> Unwarp:
        """The map that takes targets `z` to their values `y`, both of shape (n,)."""
        known, first = np.unique(z, return_index=True)
        return cls(z=known, y=y[first])

    def __call__(self, z: Array) -> Array:
        """Values to minimise, shape (m,), of standardised targets, shape (m,)."""
        inside = np.interp(z, self.z, self.y)
        if self.z.size < 2:
            return inside
        with np.errstate(all="ignore"):  # values may be as large as a float can be
            slope = (self.y[1] - self.y[0]) / (self.z[1] - self.z[0])
            beyond = self.y[0] + slope * (z - self.z[0])
        return np.nan_to_num(np.where(z < self.z[0], beyond, inside))
