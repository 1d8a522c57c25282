"""Points without a model: the design that comes first, completed user points, distinct draws."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from scipy.stats import qmc

from ..domain.space import Params, Space, Value, is_active, n_values, point_key, values_of
from .base import Floats, SuggestRequest
from .encode import Encoder

MAX_TRIES = 1_000
"""How many draws look for a point that is new and keeps the known constraints."""

ENUMERATED = 20_000
"""A space of at most this many points is searched through when draws find nothing new."""

_SOBOL_DIMENSIONS = 21_201
"""More than scipy's direction numbers cover are drawn uniformly."""


def satisfies(space: Space, params: Params) -> bool:
    """Whether a point keeps the known linear constraints; an inactive parameter counts as 0."""
    for constraint in space.constraints:
        total = 0.0
        for name, factor in constraint.terms.items():
            value = params.get(name, 0)
            total += factor * (float(value) if not isinstance(value, str) else 0.0)
        slack = 1e-9 * max(1.0, abs(constraint.bound), abs(total))
        is_kept = (
            total <= constraint.bound + slack
            if constraint.op == "<="
            else total >= constraint.bound - slack
            if constraint.op == ">="
            else abs(total - constraint.bound) <= slack
        )
        if not is_kept:
            return False
    return True


def sobol_point(space: Space, seed: int, k: int) -> Floats:
    """Point `k` (from 0) of the scrambled Sobol sequence of a space and seed: array `(d,)`.

    A dimension a parameter, those of inactive ones included (Sobol 1967; Owen 1998 scrambling).
    """
    d = max(1, len(space.parameters))
    if d > _SOBOL_DIMENSIONS:
        return np.random.default_rng([seed, k]).random(d)
    engine = qmc.Sobol(d, scramble=True, rng=np.random.default_rng([seed, zlib.crc32(b"sobol")]))
    engine.fast_forward(k)
    return np.asarray(engine.random(1)[0], dtype=np.float64)


def first_point(space: Space) -> dict[str, Value]:
    """The user's defaults where there are any, the middle of every other parameter."""
    middle = Encoder(space).from_unit([0.5] * len(space.parameters))
    params: dict[str, Value] = {}
    for parameter in space.parameters:
        if not is_active(parameter, params):
            continue
        if parameter.default is not None:
            params[parameter.name] = parameter.default
        elif parameter.name in middle:
            params[parameter.name] = middle[parameter.name]
        else:
            params[parameter.name] = _middle_of(space, parameter.name)
    return params


def _middle_of(space: Space, name: str) -> Value:
    encoder = Encoder(space)
    axis = encoder.axes[space.names.index(name)]
    return axis.from_unit(0.5)


def design_point(space: Space, seed: int, k: int) -> dict[str, Value]:
    """Point `k` (from 0) of the design: first the defaults or the centre, then scrambled Sobol."""
    if k == 0:
        return first_point(space)
    return Encoder(space).from_unit(sobol_point(space, seed, k - 1))


def new_point(
    request: SuggestRequest,
    taken: set[str],
    draw: Callable[[int], Mapping[str, Value]],
    rng: np.random.Generator,
) -> dict[str, Value] | None:
    """The first draw that is not taken and keeps the known constraints.

    Args:
        request: gives the space.
        taken: keys of points that must not be proposed again.
        draw: gives the k-th candidate, k = 0, 1, ...
        rng: for the search through a small space, when the draws find nothing.

    Returns:
        A point, or None when a space that can be searched through has none left. In a space too
        large for that the last resort is the last draw that keeps the constraints.
    """
    space = request.space
    last: dict[str, Value] | None = None
    for k in range(MAX_TRIES):
        params = dict(draw(k))
        if not satisfies(space, params):
            continue
        last = params
        if point_key(params) not in taken:
            return params
    points = all_points(space, ENUMERATED)
    if points is None:
        return last
    left = [params for params in points if point_key(params) not in taken]
    return left[int(rng.integers(len(left)))] if left else None


def all_points(space: Space, limit: int) -> list[dict[str, Value]] | None:
    """Every distinct point of a finite space that keeps the constraints; None past `limit`
    points.
    """
    points: list[dict[str, Value]] = [{}]
    for parameter in space.parameters:
        values = values_of(parameter)
        grown: list[dict[str, Value]] = []
        for params in points:
            if not is_active(parameter, params):
                grown.append(params)
            elif values is None or (n_values(parameter) or 0) > limit:
                return None
            else:
                grown += [{**params, parameter.name: value} for value in values]
            if len(grown) > limit:
                return None
        points = grown
    return [params for params in points if satisfies(space, params)]


def complete_point(
    space: Space, partial: Params, seed: int, index: int, taken: Iterable[str]
) -> dict[str, Value]:
    """A point with the given values, the rest drawn; distinct from `taken` where that is possible.

    Args:
        space: the search space.
        partial: values that are fixed; each of them stays active.
        seed: the study's seed.
        index: number of the trial to make.
        taken: keys of points that should not be made again.
    """
    rng = np.random.default_rng([seed, zlib.crc32(b"complete"), index])
    encoder, known = Encoder(space), set(taken)
    chosen: dict[str, Value] = {}
    for _ in range(MAX_TRIES):
        chosen = _completed(encoder, partial, rng.random(encoder.d))
        is_whole = all(name in chosen for name in partial)
        if is_whole and satisfies(space, chosen) and point_key(chosen) not in known:
            return chosen
    return chosen


def _completed(encoder: Encoder, partial: Params, u: Floats) -> dict[str, Value]:
    params: dict[str, Value] = {}
    for axis, x in zip(encoder.axes, u, strict=True):
        name = axis.parameter.name
        if is_active(axis.parameter, params):
            params[name] = partial[name] if name in partial else axis.from_unit(float(x))
    return params
