"""What the suggester believes along one parameter, all others as in one point: the model that makes
the next point, looked at and not fitted anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from ..domain.space import Params, Space, Value
from ..domain.study import Direction
from . import auto, bohb, gp, tpe
from .base import SuggestRequest, modelled_metric
from .encode import Axis, Encoder
from .numerics import Array
from .partial import with_partial_results
from .registry import ENTRIES
from .winner import Unwarp

PLACES = 200
"""Places along the parameter, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Where to look: along a parameter that is active in a point."""

    param: str
    point: Params


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a model says along a line.

    Attributes:
        suggester: the one that makes the next point.
        model: "gp", "tpe" or None.
        why: in words, where there is no model.
        x: values of the parameter.
        mean, sd: of the first objective in its own units, empty for "tpe".
        below, above: densities of the good trials and of the others along the line, 1 on average;
            empty for "gp".
        acquisition: the logarithm of what is maximised.
        acquisition_name: what that is.
        n_fit: trials that the model was fitted to.
    """

    suggester: str
    model: str | None = None
    why: str | None = None
    x: tuple[Value, ...] = ()
    mean: tuple[float, ...] = ()
    sd: tuple[float, ...] = ()
    below: tuple[float, ...] = ()
    above: tuple[float, ...] = ()
    acquisition: tuple[float, ...] = ()
    acquisition_name: str | None = None
    n_fit: int = 0


NO_MODEL: Mapping[str, str] = MappingProxyType(
    {
        "random": "random draws its points and has no model",
        "grid": "grid walks through its points and has no model",
        "sobol": "sobol fills the space evenly and has no model",
        "cmaes": "cmaes moves a cloud of points and has no model of the values",
        "evolution": "evolution changes its best points and has no model of the values",
        "skopt": "the model of skopt is another library's and cannot be looked into",
    }
)
"""Why there is nothing to show of a suggester."""


def view_of(name: str, request: SuggestRequest, line: Line) -> View:
    """What the suggester of some name believes before it makes the next point.

    Raises:
        KeyError: there is no such suggester.
    """
    if name in NO_MODEL:
        return View(suggester=name, why=NO_MODEL[name])
    asked = with_partial_results(request) if ENTRIES[name].learns_early else request
    return _MODELS[name](asked, line)


def _of_gp(request: SuggestRequest, line: Line) -> View:
    try:
        found = gp.believed(request)
    except gp.UNFITTED as problem:
        return View(suggester=gp.NAME, why=f"the results cannot be fitted: {problem}")
    if found is None:
        return View(suggester=gp.NAME, why="its first points are a design, made without a model")
    points, x = along(request.space, line)
    features = found.space.features(found.space.encode(points))
    mean, sd = found.gp.posterior(features)
    unwarp = Unwarp.between(found.z, found.y)
    metric = request.metrics[modelled_metric(request.metrics)]
    sign = 1.0 if metric.direction is Direction.MINIMIZE else -1.0
    with np.errstate(over="ignore"):
        width = np.nan_to_num(0.5 * np.abs(unwarp(mean + sd) - unwarp(mean - sd)))
    return View(
        suggester=gp.NAME,
        model=gp.NAME,
        x=x,
        mean=_floats(sign * unwarp(mean)),
        sd=_floats(width),
        acquisition=_floats(found.acquisition.value(features)),
        acquisition_name=found.name,
        n_fit=len(found.z),
    )


def _of_tpe(request: SuggestRequest, line: Line) -> View:
    points, x = along(request.space, line)
    found = tpe.densities(request, points)
    if found is None:
        return View(suggester=tpe.NAME, why="its first points are a design, made without a model")
    return View(
        suggester=tpe.NAME,
        model=tpe.NAME,
        x=x,
        below=_floats(_normalised(found.below)),
        above=_floats(_normalised(found.above)),
        acquisition=_floats(found.below - found.above),
        acquisition_name="log l - log g",
        n_fit=found.n_below + found.n_above,
    )


def _of_bohb(request: SuggestRequest, line: Line) -> View:
    seen, rung = bohb.at_highest_rung(request)
    if rung is None and request.ladder is not None:
        return View(suggester=bohb.NAME, why="no rung has enough results for a model yet")
    return replace(_of_tpe(seen, line), suggester=bohb.NAME)


def _of_auto(request: SuggestRequest, line: Line) -> View:
    chosen = auto.choose(request)
    if chosen.name in NO_MODEL:
        return View(suggester=chosen.name, why=NO_MODEL[chosen.name])
    asked = replace(request, options={**request.options, **chosen.options})
    return _MODELS[chosen.name](asked, line)


_MODELS: Mapping[str, Callable[[SuggestRequest, Line], View]] = MappingProxyType(
    {"gp": _of_gp, "tpe": _of_tpe, "bohb": _of_bohb, "auto": _of_auto}
)


def along(space: Space, line: Line) -> tuple[list[Params], tuple[Value, ...]]:
    """Points that differ in one parameter, and in what it switches on and off, and its values.

    Raises:
        ValueError: the parameter is not active in the point.
    """
    if line.param not in line.point:
        raise ValueError(f"{line.param!r} is not active in that point")
    encoder = Encoder(space)
    j = space.names.index(line.param)
    unit = encoder.to_unit(line.point)
    points: list[Params] = []
    for share in _places(encoder.axes[j]):
        unit[j] = share
        points.append(encoder.from_unit(unit))
    return points, tuple(point[line.param] for point in points)


def _places(axis: Axis) -> Sequence[float]:
    count = axis.n_cells
    if count is None:
        return [float(share) for share in np.linspace(0.0, 1.0, PLACES)]
    cells = np.unique(np.linspace(0, count - 1, min(count, PLACES)).astype(np.int64))
    return [axis.to_unit(axis.value_of_cell(int(cell))) for cell in cells]


def _normalised(log_density: Array) -> Array:
    density = np.exp(log_density - log_density.max())
    return np.asarray(density / density.mean())


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(value) if math.isfinite(value) else math.nan for value in values)
