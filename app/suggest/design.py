"""Points without a model: the design that comes first, completed user points, distinct draws."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from scipy.stats import qmc

from ..domain.points import constraint_holds, is_complete
from ..domain.space import Params, Space, Value, is_active, point_key
from ..domain.trial import TrialSource
from .base import (
    Decision,
    Floats,
    Suggestion,
    SuggestRequest,
    memory_of,
    provenance,
    rng_of,
    taken_keys,
)
from .constrained import drawn_within, solved_within
from .encode import Encoder
from .enumeration import Enumeration, is_finite
from .linear import Linear, linear_of
from .row_space import RowSpace

MAX_TRIES = 1_000
"""How many attempts look for a point that is new and keeps the known constraints."""

FEW_TRIES = 50
"""How many do where a known constraint is an equality, which draws of real numbers never hit."""

MAX_REPAIRS = 20
"""How many points are moved into the known constraints when attempts bring nothing new."""

MAX_SOLVED = 5
"""How many are looked for by a program when no point can be moved into them."""

MAX_WALK = 200_000
"""How many points of a finite space are looked at when attempts bring nothing new."""

ENUMERATED = 20_000
"""A space of at most this many points may be listed whole."""

_STRETCH = 4_099
"""How much further on in the Sobol sequence the next attempt for the same number lies. Odd, since
numbers that agree in their low bits lie in the same small box."""

_BLOCK = 1_024

_SOBOL_LENGTH = 1 << 29
"""Numbers beyond this start over; scipy's sequence has 2**30 points."""


def satisfies(space: Space, params: Params) -> bool:
    """Whether a point keeps the known linear constraints; an inactive parameter counts as 0."""
    return all(constraint_holds(constraint, params) for constraint in space.constraints)


def sobol_attempts(space: Space, seed: int, k: int) -> Iterator[Floats]:
    """Point `k` of the sequence, then what replaces it when it will not do: arrays `(d,)`.

    Attempt j is point k + 4,099 j, so that the replacements of neighbours are evenly spread too.
    """
    d, k = len(space.parameters), int(k) % _SOBOL_LENGTH
    yield _sobol_block(d, seed, k // _BLOCK)[k % _BLOCK]
    engine = _sobol_engine(d, seed)
    engine.fast_forward(k + _STRETCH)
    while True:
        yield np.asarray(engine.random(1)[0], dtype=np.float64)
        engine.fast_forward(_STRETCH - 1)


@functools.lru_cache(maxsize=8)
def _sobol_block(d: int, seed: int, block: int) -> Floats:
    """1,024 neighbouring points of the sequence: array `(1024, d)`, read-only.

    Kept for the next points of the same study, since scrambling anew costs more than a point.
    """
    engine = _sobol_engine(d, seed)
    if block:  # scipy cannot skip nothing
        engine.fast_forward(block * _BLOCK)
    points = np.asarray(engine.random(_BLOCK), dtype=np.float64)
    points.flags.writeable = False
    return points


def _sobol_engine(d: int, seed: int) -> qmc.Sobol:
    return qmc.Sobol(d, scramble=True, rng=np.random.default_rng([seed, zlib.crc32(b"sobol")]))


def first_point(space: Space) -> dict[str, Value]:
    """The user's defaults where there are any, the middle of every other parameter."""
    params: dict[str, Value] = {}
    for axis in Encoder(space).axes:
        parameter = axis.parameter
        if is_active(parameter, params):
            default = parameter.default
            params[parameter.name] = axis.from_unit(0.5) if default is None else default
    return params


def design_point(space: Space, seed: int, k: int) -> dict[str, Value]:
    """Point `k` (from 0) of the design: first the defaults or the centre, then scrambled Sobol."""
    return next(design_attempts(space, seed, k))


def design_attempts(space: Space, seed: int, k: int) -> Iterator[dict[str, Value]]:
    """Point `k` of the design, then what replaces it when it will not do."""
    encoder = Encoder(space)
    if k == 0:
        yield first_point(space)
    for u in sobol_attempts(space, seed, max(0, k - 1)):
        yield encoder.from_unit(u)


def design_suggestion(
    request: SuggestRequest, name: str, index: int, taken: set[str], **more: Any
) -> Suggestion | None:
    """A point of the design for trial `index`, new and within the known constraints.

    Args:
        request: gives space and seed.
        name: of the suggester, for the provenance.
        index: the trial's number; number 1 gets the defaults or the centre.
        taken: keys of points that must not be proposed again.
        more: goes into the provenance.

    Returns:
        A suggestion with the source `initial`, or None when no new point is left.
    """
    attempts = design_attempts(request.space, request.seed, index - 1)
    rng = rng_of(request, "design", index)
    params = new_point(request, taken, functools.partial(_next, attempts), rng)
    if params is None:
        return None
    known = provenance(request, name, index, phase="design", **more)
    return Suggestion(params=params, source=TrialSource.INITIAL, provenance=known)


def design_size(request: SuggestRequest) -> int:
    """How many points come before a model: the option `n_initial`, else one more than there are
    parameters, at least 4, at most 10, and at most a fifth of the budget.
    """
    given = request.options.get("n_initial")
    if given is not None:
        return int(given)
    size = min(max(len(request.space.parameters) + 1, 4), 10)
    return size if request.max_trials is None else max(1, min(size, request.max_trials // 5))


def drawn(
    request: SuggestRequest,
    name: str,
    attempts_of: Callable[[int, np.random.Generator], Iterator[dict[str, Value]]],
) -> Decision:
    """One point a number from a sampler without memory: the first attempt that is new.

    Args:
        request: what was asked.
        name: of the suggester.
        attempts_of: candidates for a trial's number, given its own random generator.
    """
    taken = taken_keys(request)
    found: list[Suggestion] = []
    for index in range(request.index, request.index + request.count):
        rng = rng_of(request, name, index)
        params = new_point(request, taken, functools.partial(_next, attempts_of(index, rng)), rng)
        if params is None:
            return Decision(suggestions=tuple(found), exhausted=True)
        if index + 1 < request.index + request.count:
            taken.add(point_key(params))  # for those that come behind it
        found.append(Suggestion(params=params, provenance=provenance(request, name, index)))
    return Decision(suggestions=tuple(found))


def _next(attempts: Iterator[dict[str, Value]], _: int) -> dict[str, Value]:
    return next(attempts)


def new_point(
    request: SuggestRequest,
    taken: set[str],
    draw: Callable[[int], Mapping[str, Value]],
    rng: np.random.Generator,
) -> dict[str, Value] | None:
    """The first attempt that is not taken and keeps the known constraints.

    Args:
        request: gives the space.
        taken: keys of points that must not be proposed again.
        draw: gives the k-th attempt; asked for k = 0, 1, ... up to 999, in order; up to 49 where
            a constraint is an equality.
        rng: for the walk through a finite space, when the attempts bring nothing.

    Returns:
        A point, or None when none is left. In a continuous space, and in one too large to walk
        through, the last resort is the last attempt that keeps the
        constraints.
    """
    space = request.space
    linear = linear_of(memory_of(request), space)
    last: dict[str, Value] | None = None
    for k in range(_tries(linear)):
        params = dict(draw(k))
        if not satisfies(space, params):
            continue
        last = params
        if not taken or point_key(params) not in taken:
            return params
    if linear is not None:
        last = _within(linear, rng, taken, drawn_within, MAX_REPAIRS) or last
        if last is None and not _is_walkable(space, taken):
            last = _within(linear, rng, taken, solved_within, MAX_SOLVED)
        if last is not None and point_key(last) not in taken:
            return last
    if not is_finite(space):
        return last
    return _walk(space, taken, rng, last)


def _within(
    linear: Linear,
    rng: np.random.Generator,
    taken: set[str],
    make: Callable[[Linear, np.random.Generator], dict[str, Value] | None],
    most: int,
) -> dict[str, Value] | None:
    """The first of some points within the constraints that is not taken, else the last one that was
    made; None where none was.
    """
    last: dict[str, Value] | None = None
    for _ in range(most):
        made = make(linear, rng)
        if made is None or not satisfies(linear.space.space, made):
            break
        last = made
        if point_key(made) not in taken:
            break
    return last


def _tries(linear: Linear | None) -> int:
    return FEW_TRIES if linear is not None and linear.has_equality else MAX_TRIES


def _is_walkable(space: Space, taken: set[str]) -> bool:
    """Whether a walk through the space sees all of it."""
    return is_finite(space) and Enumeration(space).total <= MAX_WALK + len(taken)


def _walk(
    space: Space, taken: set[str], rng: np.random.Generator, last: dict[str, Value] | None
) -> dict[str, Value] | None:
    """The next point that is free and keeps the constraints, from a random place onwards."""
    points = Enumeration(space)
    if not space.constraints and len(taken) >= points.total:
        return None
    # A total beyond 64 bits is no place to walk through, so its low end does as a start.
    start = int(rng.integers(min(points.total, 1 << 62)))
    for k in range(min(points.total, MAX_WALK + len(taken))):
        params = points.point((start + k) % points.total)
        if point_key(params) not in taken and satisfies(space, params):
            return params
    return None if _is_walkable(space, taken) else last


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
    if is_complete(space, partial):
        return {name: partial[name] for name in space.names if name in partial}
    rng = np.random.default_rng([seed, zlib.crc32(b"complete"), index])
    encoder, known = Encoder(space), set(taken)
    kept: list[dict[str, Value]] = []  # best first: new, else within the constraints, else any
    linear = Linear(RowSpace(space)) if space.constraints else None
    for _ in range(_tries(linear)):
        chosen = _completed(encoder, partial, rng.random(encoder.d))
        if not all(name in chosen for name in partial) or not satisfies(space, chosen):
            kept = kept or [chosen]
            continue
        kept = [chosen]
        if point_key(chosen) not in known:
            break
    if linear is not None and not satisfies(space, kept[0]):
        return drawn_within(linear, rng, partial) or solved_within(linear, rng, partial) or kept[0]
    return kept[0]


def _completed(encoder: Encoder, partial: Params, u: Floats) -> dict[str, Value]:
    params: dict[str, Value] = {}
    for axis, x in zip(encoder.axes, u, strict=True):
        name = axis.parameter.name
        if is_active(axis.parameter, params):
            params[name] = partial[name] if name in partial else axis.from_unit(float(x))
    return params
