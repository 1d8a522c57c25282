"""scikit-optimize behind the common interface: its space, its samplers for the initial design, its
Optimizer as the model. The only import site of that library, and a lazy one: it loads scikit-learn.

The Optimizer keeps state; here it is rebuilt from the history at each ask, so that the answer
depends on the request alone. It knows neither conditions nor failures nor pending trials: inactive
parameters are told as mid-range, failures as the worst value, pending trials as the best one
(constant liar; Ginsbourger et al. 2010).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ..domain.space import (
    CategoricalParameter,
    FloatParameter,
    IntParameter,
    Params,
    Value,
    is_active,
    point_key,
)
from ..domain.trial import TrialSource
from .base import (
    Decision,
    Floats,
    Suggestion,
    SuggestRequest,
    in_order,
    provenance,
    taken_keys,
    targets,
)
from .design import design_size, design_suggestion, satisfies
from .encode import CATEGORY, Axis, Encoder

NAME = "skopt"

MAX_TOLD = 200
"""Trials that the model is told; its cost grows with their cube."""

MAX_LIES = 50
"""Pending trials that the model is told, the newest ones."""

_CANDIDATES = 256
"""Random points that replace a proposal which was tried before."""

Told: TypeAlias = list[Any]
"""A point in scikit-optimize's own terms: a list with one entry a dimension."""

_ACQUISITIONS = {"ei": "EI", "pi": "PI", "lcb": "LCB", "gp_hedge": "gp_hedge"}


class _NothingNew(Exception):
    """Every proposal of the model was tried before or breaks a known constraint."""


def suggest(request: SuggestRequest) -> Decision:
    """Points of the initial design, then of the model; design points where the model fails."""
    request = in_order(request)
    taken = taken_keys(request)
    pending = [trial.params for trial in request.pending]
    found: list[Suggestion] = []
    for index in range(request.index, request.index + request.count):
        suggestion = _one(request, index, pending, taken)
        if suggestion is None:
            return Decision(suggestions=tuple(found), exhausted=True)
        taken.add(point_key(suggestion.params))
        pending.append(suggestion.params)
        found.append(suggestion)
    return Decision(suggestions=tuple(found))


def _one(
    request: SuggestRequest, index: int, pending: Sequence[Params], taken: set[str]
) -> Suggestion | None:
    n_known, n_design = len(request.finished) + len(pending), design_size(request)
    y = targets(request)
    is_design = n_known < n_design or not np.isfinite(y).any()
    try:
        with warnings.catch_warnings():  # it warns of what is dealt with here
            warnings.simplefilter("ignore")
            bridge = _Bridge.over(request)
            if is_design:
                return _designed(request, bridge, index, n_design, taken)
            return _modelled(request, bridge, index, pending, y, taken)
    except _NothingNew:
        reason = "no proposal was new"
    except Exception as error:  # a foreign library; whatever it raises, the study goes on
        reason = f"{type(error).__name__}: {error}"
    made = design_suggestion(request, NAME, index, taken, fallback=reason)
    return None if made is None else replace(made, source=TrialSource.FALLBACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bridge:
    """A search space in scikit-optimize's terms; parameters with one value are left out.

    Attributes:
        encoder: of the whole space.
        axes: the parameters that have a dimension.
        dimensions: their Real, Integer and Categorical dimensions.
    """

    encoder: Encoder
    axes: tuple[Axis, ...]
    dimensions: list[Any]

    @classmethod
    def over(cls, request: SuggestRequest) -> _Bridge:
        """Lays the request's space out.

        Raises:
            _NothingNew: no parameter has more than one value.
        """
        encoder = Encoder(request.space)
        axes = tuple(axis for axis in encoder.axes if axis.n_cells != 1)
        if not axes:
            raise _NothingNew
        return cls(encoder=encoder, axes=axes, dimensions=[_dimension(axis) for axis in axes])

    def told(self, params: Params) -> Told:
        """A point as the Optimizer is told it."""
        return [
            _outward(axis, params[name]) if (name := axis.parameter.name) in params else middle
            for axis, middle in zip(self.axes, self._middles(), strict=True)
        ]

    def params(self, told: Told) -> dict[str, Value]:
        """The point that a proposal stands for, in plain Python values."""
        given = {
            axis.parameter.name: _inward(axis, x) for axis, x in zip(self.axes, told, strict=True)
        }
        params: dict[str, Value] = {}
        for axis in self.encoder.axes:
            parameter = axis.parameter
            if is_active(parameter, params):
                value = given.get(parameter.name)
                params[parameter.name] = axis.value_of_cell(0) if value is None else value
        return params

    def _middles(self) -> Told:
        return [_outward(axis, axis.from_unit(0.5)) for axis in self.axes]


def _dimension(axis: Axis) -> Any:
    from skopt.space import Categorical, Integer, Real

    p, count = axis.parameter, axis.n_cells or 1
    if axis.kind == CATEGORY:
        return Categorical(list(range(count)))
    if isinstance(p, FloatParameter) and axis.n_cells is None:
        return Real(p.low, p.high, prior="log-uniform" if p.log else "uniform")
    if isinstance(p, IntParameter) and p.step == 1:
        return Integer(p.low, p.high, prior="log-uniform" if p.log else "uniform")
    return Integer(0, count - 1)


def _is_by_cell(axis: Axis) -> bool:
    """Whether the dimension counts values instead of holding them."""
    p = axis.parameter
    if isinstance(p, IntParameter):
        return p.step != 1
    return isinstance(p, CategoricalParameter) or axis.n_cells is not None


def _outward(axis: Axis, value: Value) -> Any:
    if _is_by_cell(axis):
        return axis.exact_cell(value)
    return int(value) if isinstance(axis.parameter, IntParameter) else float(value)


def _inward(axis: Axis, x: Any) -> Value:
    p = axis.parameter
    if _is_by_cell(axis):
        return axis.value_of_cell(min(max(int(x), 0), (axis.n_cells or 1) - 1))
    if isinstance(p, IntParameter):
        return min(max(int(x), p.low), p.high)
    if isinstance(p, CategoricalParameter) or not math.isfinite(x):
        raise ValueError(f"{x!r} stands for no value of {p.name}")
    return min(max(float(x), float(p.low)), float(p.high))


def _designed(
    request: SuggestRequest, bridge: _Bridge, index: int, n_design: int, taken: set[str]
) -> Suggestion | None:
    """A point of the library's own sampler; the one with the trial's number comes first."""
    from skopt.space import Space as Flat
    from skopt.utils import cook_initial_point_generator

    kind = request.options.get("initial_point_generator", "sobol")
    flat, seed = Flat(bridge.dimensions), _state_of(request, 0)
    if kind == "random":  # no sampler of its own
        rows = flat.rvs(n_samples=n_design, random_state=seed)
    else:
        sampler = cook_initial_point_generator(kind)
        rows = sampler.generate(flat.dimensions, n_design, random_state=seed)
    for k in range(n_design):
        params = bridge.params(rows[(index - 1 + k) % n_design])
        if point_key(params) not in taken and satisfies(request.space, params):
            first = design_suggestion(request, NAME, index, set(), design=kind)
            return None if first is None else _with(first, params)
    return design_suggestion(request, NAME, index, taken, design="own")


def _with(suggestion: Suggestion, params: dict[str, Value]) -> Suggestion:
    return Suggestion(params=params, source=suggestion.source, provenance=suggestion.provenance)


def _modelled(
    request: SuggestRequest,
    bridge: _Bridge,
    index: int,
    pending: Sequence[Params],
    y: Floats,
    taken: set[str],
) -> Suggestion:
    """The Optimizer's proposal after it was told the history.

    Raises:
        _NothingNew: nothing that it proposes is new.
    """
    from skopt import Optimizer

    estimator = request.options.get("base_estimator", "gp")
    acquisition = request.options.get("acq_func", "ei")
    told = _told_rows(y)
    z = _standardised(y)[told]
    optimizer = Optimizer(
        bridge.dimensions,
        base_estimator=estimator.upper(),
        n_initial_points=1,
        acq_func=_ACQUISITIONS[acquisition],
        random_state=_state_of(request, index),
    )
    points = [bridge.told(request.finished[i].params) for i in told]
    lies = pending[-MAX_LIES:]
    points += [bridge.told(params) for params in lies]
    optimizer.tell(points, [*z.tolist(), *[float(z.min())] * len(lies)])
    for params in _proposals(optimizer, bridge, _state_of(request, index)):
        if point_key(params) not in taken and satisfies(request.space, params):
            known = provenance(
                request,
                NAME,
                index,
                phase="model",
                base_estimator=estimator,
                acq_func=acquisition,
                n_told=len(told),
                n_failed_told_as_worst=int(np.isnan(y[told]).sum()),
                n_lies=len(lies),
                **_subsampled(len(told), len(y)),
            )
            return Suggestion(params=params, provenance=known)
    raise _NothingNew


def _subsampled(n_told: int, n: int) -> dict[str, str]:
    if n_told == n:
        return {}
    return {"subsample": f"told the best third and an even share of the rest, {n_told} of {n}"}


def _proposals(optimizer: Any, bridge: _Bridge, state: int) -> Iterator[dict[str, Value]]:
    """The Optimizer's choice, then random points by their lower confidence bound."""
    yield bridge.params(optimizer.ask())
    rows = optimizer.space.rvs(n_samples=_CANDIDATES, random_state=state)
    mean, sd = optimizer.models[-1].predict(optimizer.space.transform(rows), return_std=True)
    for k in np.argsort(mean - 1.96 * sd, kind="stable"):
        yield bridge.params(rows[int(k)])


def _told_rows(y: Floats) -> list[int]:
    """Which trials the model is told: all, or the best third and an even share of the rest.

    Args:
        y: `(n,)`, minimised, NaN where a trial failed.

    Returns:
        At most `MAX_TOLD` indices, ascending.
    """
    n = len(y)
    if n <= MAX_TOLD:
        return list(range(n))
    order = np.argsort(np.where(np.isnan(y), np.inf, y), kind="stable")
    best, rest = order[: MAX_TOLD // 3], np.sort(order[MAX_TOLD // 3 :])
    share = rest[np.linspace(0, len(rest) - 1, MAX_TOLD - len(best)).round().astype(int)]
    return sorted({*best.tolist(), *share.tolist()})


def _standardised(y: Floats) -> Floats:
    """Targets with mean 0 and standard deviation 1, failures at the worst value: array `(n,)`.

    Divided by the largest magnitude first, so that 1e300 does not overflow.
    """
    z = np.where(np.isnan(y), np.nanmax(y), y)
    scale = float(np.abs(z).max())
    z = z / scale if scale > 0 else z
    sd = float(z.std())
    return np.asarray((z - z.mean()) / sd if sd > 0 else np.zeros_like(z), dtype=np.float64)


def _state_of(request: SuggestRequest, index: int) -> int:
    """A seed for the library, which takes 32 bits: of the study's seed and the trial's number."""
    return int(np.random.SeedSequence([request.seed, index]).generate_state(1)[0])
