"""Evolution, one child at a time: parents are chosen from the finished trials, whoever made them.

One objective: regularised evolution (Real et al. 2019, algorithm 1). The population is the newest
trials, so that every member dies of age; the best of a random sample has a child with one mutation.

Several objectives: NSGA-II (Deb et al. 2002). Trials join the population in the order of their
numbers; the best stay, by non-dominated rank (section III.A) and crowding distance (section III.B),
those beyond a constraint after all that are not (section VI). Simulated binary crossover (Deb &
Agrawal 1995), uniform crossover of categories, polynomial mutation (Deb & Goyal 1996).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..domain.space import Value, point_key
from .base import (
    Decision,
    Floats,
    Suggestion,
    SuggestRequest,
    memory_of,
    objective_targets,
    provenance,
    rng_of,
    taken_keys,
)
from .design import design_size, design_suggestion, new_point
from .encode import CATEGORY, Axis, Encoder
from .linear import linear_of
from .pareto import Ints, non_dominated_ranks
from .ranking import ranks_of, violations

NAME = "evolution"

POPULATION, TOURNAMENT = 50, 25
ETA_CROSSOVER, ETA_MUTATION = 20.0, 20.0
"""Distribution indices of crossover and mutation (Deb et al. 2002, section V)."""
ETA_LEAST, ETA_MOST = 1.0, 100.0
"""Between these the index of regularised evolution is drawn, uniformly in its logarithm: steps of
one parameter have to be long and short ones."""
CROSSOVER, SWAP = 0.9, 0.5
"""Probabilities that parents are crossed, and that one of their parameters is."""
JOINING = 100
"""Trials that NSGA-II's population takes in at once."""
PLAIN = 20
"""Attempts at a new child before it is mutated more than once, or moved to where the known
constraints hold; where one is an equality, they are moved from the first on."""
UNIFORM_AFTER = 200
AVOIDED = 3
"""How often a child is bred again whose nearest relative, of population and failures, failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The suggester's options; see the catalogue of suggesters."""

    population: int = POPULATION
    tournament: int = TOURNAMENT

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """The options of a request, checked before; those that are unset take their defaults."""
        given = {name: value for name, value in options.items() if value is not None}
        return cls(
            population=int(given.get("population", POPULATION)),
            tournament=int(given.get("tournament", TOURNAMENT)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A trial that may have children.

    Attributes:
        number: the trial's.
        u: its point in the cube, shape (p,), NaN where inactive.
        order: smaller ones win a tournament.
    """

    number: int
    u: Floats
    order: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    """A point and how it came about.

    Attributes:
        parents: numbers of the trials it comes from.
        mutated: names of the parameters that were mutated.
        is_crossed: whether it has something of two parents.
    """

    params: dict[str, Value]
    parents: tuple[int, ...] = ()
    mutated: tuple[str, ...] = ()
    is_crossed: bool = False


def suggest(request: SuggestRequest) -> Decision:
    """Points of the design, then children of the finished trials."""
    settings = Settings.of(request.options)
    taken = set(taken_keys(request))
    n_known, n_design = len(request.finished) + len(request.pending), design_size(request)
    population = _population(request, settings)
    found: list[Suggestion] = []
    for index in range(request.index, request.index + request.count):
        if n_known < n_design or not population:
            made = design_suggestion(request, NAME, index, taken)
        else:
            made = _bred(request, settings, population, index, taken)
        if made is None:
            return Decision(suggestions=tuple(found), exhausted=True)
        taken.add(point_key(made.params))
        n_known += 1
        found.append(made)
    return Decision(suggestions=tuple(found))


def _bred(
    request: SuggestRequest,
    settings: Settings,
    population: Sequence[Member],
    index: int,
    taken: set[str],
) -> Suggestion | None:
    """A new child of the population."""
    rng = rng_of(request, NAME, index)
    failures = _failures(request, settings.population)
    breeder = _Breeder(request, settings, population, failures, rng)
    params = new_point(request, taken, breeder.attempt, rng)
    if params is None:
        return None
    child = breeder.child
    is_its_own = child is not None and point_key(child.params) == point_key(params)
    known = provenance(
        request,
        NAME,
        index,
        phase="model",
        method="NSGA-II" if _is_plural(request) else "regularised evolution",
        population=len(population),
        parents=list(child.parents) if child is not None and is_its_own else [],
        mutated=list(child.mutated) if child is not None and is_its_own else [],
        is_crossed=child.is_crossed if child is not None and is_its_own else False,
        attempts=breeder.n_attempts,
    )
    return Suggestion(params=params, provenance=known)


def _is_plural(request: SuggestRequest) -> bool:
    return sum(metric.role == "objective" for metric in request.metrics) > 1


# The population


def _population(request: SuggestRequest, settings: Settings) -> list[Member]:
    """The finished trials that may have children; none if none went well."""
    finished = request.finished
    encoder = memory_of(request).thing(NAME, request.space, lambda: Encoder(request.space))
    numbers = np.array([trial.number for trial in finished], dtype=np.intp)
    by_number = np.argsort(numbers, kind="stable")
    if _is_plural(request):
        places, orders = _survivors(request, by_number, settings.population)
    else:
        ranks = ranks_of(request)
        places = by_number[-settings.population :]
        orders = [(float(ranks[place]),) for place in places]
        if not np.isfinite(ranks[places]).any():  # all of the newest failed: the best of all live
            best = [place for place in by_number if math.isfinite(ranks[place])]
            best.sort(key=lambda place: ranks[place])
            places = np.array(best[: settings.population], dtype=np.intp)
            orders = [(float(ranks[place]),) for place in places]
    return [
        Member(number=int(numbers[place]), u=encoder.to_unit(finished[place].params), order=order)
        for place, order in zip(places, orders, strict=True)
    ]


def _survivors(
    request: SuggestRequest, by_number: Ints, size: int
) -> tuple[Ints, list[tuple[float, ...]]]:
    """Those of the trials that NSGA-II has kept, and their order: rank, then crowding.

    Trials join by number, `JOINING` at once, whereupon the population is cut back (Deb et al. 2002,
    section III.C): all of them are sorted together while they are that few, and the cost does not
    grow with their square when they are many.
    """
    y, excess = objective_targets(request), violations(request)
    able = by_number[np.isfinite(excess[by_number])]
    kept = able[:0]
    keys: list[tuple[float, ...]] = []
    for first in range(0, len(able), max(size, JOINING)):
        kept = np.concatenate([kept, able[first : first + max(size, JOINING)]])
        keys = sort_keys(y[kept], excess[kept])
        best = sorted(range(len(kept)), key=lambda k: keys[k])[:size]
        kept, keys = kept[best], [keys[k] for k in best]
    return kept, keys


def sort_keys(y: Floats, excess: Floats) -> list[tuple[float, ...]]:
    """By what NSGA-II sorts: non-dominated rank, then crowding distance, largest first.

    Args:
        y: objectives to minimise, shape (n, m).
        excess: by how much constraints are broken, shape (n,); those at 0 come first, the others
            by it (Deb et al. 2002, definition 1 of section VI).
    """
    ranks = np.zeros(len(y))
    is_feasible = excess <= 0.0
    if is_feasible.any():
        ranks[is_feasible] = non_dominated_ranks(y[is_feasible])
    n_fronts = float(ranks.max(initial=-1.0)) + 1.0
    ranks[~is_feasible] = n_fronts + np.unique(excess[~is_feasible], return_inverse=True)[1]
    crowding = np.empty(len(y))
    for rank in np.unique(ranks):
        front = np.flatnonzero(ranks == rank)
        crowding[front] = crowding_distances(y[front])
    return [(float(rank), -float(gap)) for rank, gap in zip(ranks, crowding, strict=True)]


def crowding_distances(y: Floats) -> Floats:
    """Half the girth of the box between a point's neighbours on its front, shape (n,).

    Deb et al. 2002, section III.B: for each objective the distance between the two neighbours in
    shares of its range, summed; infinite for the ends. Of equal points all but the first count as
    having no room.

    Args:
        y: objectives of one front, shape (n, m).
    """
    distinct, first = np.unique(y, axis=0, return_index=True)
    gaps = np.zeros(len(distinct))
    for column in distinct.T:
        order = np.argsort(column, kind="stable")
        ranked = column[order] / max(1.0, float(np.abs(column).max()))  # 1e308 does not overflow
        span = float(ranked[-1] - ranked[0])
        gaps[order[[0, -1]]] = math.inf
        if span > 0.0:
            gaps[order[1:-1]] += (ranked[2:] - ranked[:-2]) / span
    found = np.zeros(len(y))
    found[first] = gaps
    return found


def _failures(request: SuggestRequest, size: int) -> Floats:
    """Points of the newest failures, at most `size` of them, shape (k, p), NaN where inactive."""
    is_failed = np.isnan(violations(request))
    failed = [t for t, bad in zip(request.finished, is_failed, strict=True) if bad]
    failed.sort(key=lambda trial: trial.number)
    return Encoder(request.space).to_unit_many([trial.params for trial in failed[-size:]])


# Children


class _Breeder:
    """Attempts at a child for one trial.

    Attributes:
        n_attempts: how many were made.
        child: the last one.
    """

    def __init__(
        self,
        request: SuggestRequest,
        settings: Settings,
        population: Sequence[Member],
        failures: Floats,
        rng: np.random.Generator,
    ) -> None:
        able = [member.u for member in population if math.isfinite(member.order[0])]
        self._able, self._failures = np.array(able), failures
        self._settings = settings
        self._linear = linear_of(memory_of(request), request.space)
        self._population, self._rng = population, rng
        self._is_plural = _is_plural(request)
        self._encoder = memory_of(request).thing(
            NAME, request.space, lambda: Encoder(request.space)
        )
        self.n_attempts = 0
        self.child: _Child | None = None

    def attempt(self, k: int) -> dict[str, Value]:
        """The k-th attempt: a child, later ones with more mutations, at last a uniform draw."""
        self.n_attempts = k + 1
        n_extra = 0 if k < PLAIN else 1 + (k - PLAIN) // PLAIN
        child = self._uniform() if k >= UNIFORM_AFTER else self._bred(n_extra)
        for _ in range(AVOIDED):
            if k >= UNIFORM_AFTER or not self._takes_after_failure(child.params):
                break
            child = self._bred(n_extra)
        self.child = child
        return child.params

    def _uniform(self) -> _Child:
        u = self._rng.random(self._encoder.d)
        return self._born(u, (), (), is_crossed=False, is_moved=True)

    def _bred(self, n_extra: int) -> _Child:
        return self._crossed(n_extra) if self._is_plural else self._mutant(n_extra)

    def _takes_after_failure(self, params: dict[str, Value]) -> bool:
        """Whether the finished trial next to a point failed."""
        if not len(self._failures):
            return False
        u = self._encoder.to_unit(params)
        gaps = [self._distances(u, rows).min() for rows in (self._failures, self._able)]
        return bool(gaps[0] < gaps[1])

    def _distances(self, u: Floats, rows: Floats) -> Floats:
        """Squared distances, (n,), of a point (p,) from others (n, p), all in the cube.

        Another category, or a parameter that only one of them has, counts 1.
        """
        gaps = np.abs(rows - u)
        gaps[np.isnan(rows) != np.isnan(u)] = 1.0
        gaps[np.isnan(rows) & np.isnan(u)] = 0.0
        is_category = np.array([kind == CATEGORY for kind in self._encoder.kinds])
        gaps[:, is_category] = gaps[:, is_category] > 1e-9
        found: Floats = np.square(gaps).sum(axis=1)
        return found

    def _mutant(self, n_extra: int) -> _Child:
        """The winner of a tournament with one parameter changed, or some more."""
        parent = self._winner(self._settings.tournament)
        eta = math.exp(self._rng.uniform(math.log(ETA_LEAST), math.log(ETA_MOST)))
        u, mutated = self._mutated(parent.u, 1 + n_extra, eta)
        return self._born(u, (parent,), mutated, is_crossed=False, is_moved=n_extra > 0)

    def _crossed(self, n_extra: int) -> _Child:
        """A child of two winners, each parameter mutated with probability 1 / p."""
        mother, father = self._winner(2), self._winner(2)
        u, is_crossed = mother.u.copy(), False
        if mother.number != father.number and self._rng.random() < CROSSOVER:
            u, is_crossed = self._mixed(mother.u, father.u), True
        n_active = max(1, int(np.isfinite(u).sum()))
        n_mutated = int(self._rng.binomial(n_active, 1.0 / n_active))
        if not is_crossed or n_extra:
            n_mutated = max(n_mutated, 1)
        u, mutated = self._mutated(u, n_mutated + n_extra, ETA_MUTATION)
        parents = (mother, father) if is_crossed else (mother,)
        return self._born(u, parents, mutated, is_crossed=is_crossed, is_moved=n_extra > 0)

    def _winner(self, size: int) -> Member:
        """The best of a random sample, drawn with replacement; the first drawn of equals."""
        drawn = self._rng.integers(len(self._population), size=size)
        return min((self._population[int(k)] for k in drawn), key=lambda member: member.order)

    def _mixed(self, a: Floats, b: Floats) -> Floats:
        """Crossover of two points in the cube, shape (p,); what only one has is taken from it."""
        rng, u = self._rng, a.copy()
        is_swapped = rng.random(len(u)) < SWAP
        for j, axis in enumerate(self._encoder.axes):
            if math.isnan(a[j]) or math.isnan(b[j]):
                u[j] = b[j] if math.isnan(a[j]) else a[j]
            elif axis.kind == CATEGORY:
                u[j] = b[j] if is_swapped[j] else a[j]
            elif is_swapped[j]:
                u[j] = crossed(a[j], b[j], ETA_CROSSOVER, rng)
        return u

    def _mutated(self, u: Floats, count: int, eta: float) -> tuple[Floats, tuple[str, ...]]:
        """The point with some of its active parameters changed, and their names."""
        axes, rng = self._encoder.axes, self._rng
        able = [j for j in range(len(u)) if axes[j].n_cells != 1 and not math.isnan(u[j])]
        chosen = rng.permutation(able)[:count]
        u = u.copy()
        for j in np.sort(chosen):
            u[j] = mutated(axes[j], float(u[j]), eta, rng)
        return u, tuple(axes[j].parameter.name for j in np.sort(chosen))

    def _born(
        self,
        u: Floats,
        parents: Sequence[Member],
        mutated: tuple[str, ...],
        *,
        is_crossed: bool,
        is_moved: bool,
    ) -> _Child:
        """The child at a place in the cube; parameters that no parent had are drawn uniformly."""
        fresh = self._rng.random(len(u))
        u = np.where(np.isnan(u), fresh, u)
        params = self._encoder.from_unit(u)
        if self._linear is not None and (is_moved or self._linear.has_equality):
            params = self._linear.point(u, self._rng) or params
        numbers = tuple(parent.number for parent in parents)
        return _Child(params=params, parents=numbers, mutated=mutated, is_crossed=is_crossed)


def crossed(a: float, b: float, eta: float, rng: np.random.Generator) -> float:
    """One child of simulated binary crossover on [0, 1].

    Deb & Agrawal 1995, eqs. 13 to 15: around the middle of the parents, with a spread factor beta
    of density 0.5 (eta + 1) beta^eta below 1 and 0.5 (eta + 1) / beta^(eta + 2) above; at the bound
    of the cube it is cut off.
    """
    share = rng.random()
    power = 1.0 / (eta + 1.0)
    beta = float((2.0 * share if share <= 0.5 else 0.5 / (1.0 - share)) ** power)
    sign = -1.0 if rng.random() < 0.5 else 1.0
    return min(max(0.5 * (a + b) + sign * 0.5 * beta * (b - a), 0.0), 1.0)


def mutated(axis: Axis, u: float, eta: float, rng: np.random.Generator) -> float:
    """Another coordinate on an axis: another category, or a polynomial mutation, which moves an
    integer by a cell at least.
    """
    count = axis.n_cells
    if axis.kind == CATEGORY and count is not None:
        cell = (axis.cell_of_unit(u) + 1 + int(rng.integers(count - 1))) % count
        return (cell + 0.5) / count
    step = polynomial_step(u, eta, rng)
    if count is None:
        return min(max(u + step, 0.0), 1.0)
    old, new = axis.cell_of_unit(u), axis.cell_of_unit(min(max(u + step, 0.0), 1.0))
    if new == old:
        new = old + (1 if step > 0.0 else -1)
        new = 1 if new < 0 else count - 2 if new >= count else new
    return axis.to_unit(axis.value_of_cell(new))


def polynomial_step(u: float, eta: float, rng: np.random.Generator) -> float:
    """A step of polynomial mutation from a place in [0, 1], which stays within.

    Deb & Goyal 1996; Deb 2001, eqs. 4.34 and 4.35 with the distances to the bounds: density falls
    with (1 - |step|)^eta.
    """
    share, power = rng.random(), 1.0 / (eta + 1.0)
    if share < 0.5:
        return float((2.0 * share + (1.0 - 2.0 * share) * (1.0 - u) ** (eta + 1.0)) ** power - 1.0)
    rest = 2.0 * (1.0 - share) + 2.0 * (share - 0.5) * u ** (eta + 1.0)
    return float(1.0 - rest**power)
