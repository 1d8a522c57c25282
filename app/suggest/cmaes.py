"""Covariance matrix adaptation: points from a normal distribution that follows the best ones.

Hansen & Ostermeier 2001; Hansen 2016 (arXiv:1604.00772), whose equations the library `cmaes` by
Shibata et al. (arXiv:2402.01373) implements; Hamano et al. 2025 (arXiv:2504.07884) for integers,
steps and categories (CatCMA with margin); Nomura et al. 2023 (arXiv:2304.03473) for learning rates
that adapt to noise. Restarts and starts from known results: see `cmaes_replay.py`.

The library is imported here alone, and lazily. It keeps state, sorts the lists of its caller,
checks by assertion and wants exactly one population of results; here its state is made anew from
the history at each ask, and it is told ranks, never values.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from ..domain.space import Value, point_key
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
from .cmaes_replay import SIGMA, Distribution, History, Replayed, Rules, Start, replay
from .cmaes_space import INACTIVE, Ints, Layout
from .design import design_size, design_suggestion, new_point
from .linear import Linear, linear_of
from .ranking import ranks_of

NAME = "cmaes"

N_INITIAL = 4
"""Points of the design, at most a fifth of the budget: the first generation is a better one."""
RESAMPLED = 100
"""How often a point outside of the cube is drawn again before it is moved to the border."""
PLAIN = 20
"""Attempts at a new point before the distribution is widened, or points are moved to where the
known constraints hold; where one is an equality, they are moved from the first on."""
WIDER_EVERY, UNIFORM_AFTER = 10, 200
"""Attempts after which it is widened by half again; after which draws are uniform."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The suggester's options; see the catalogue of suggesters."""

    population: int | None = None
    sigma: float = SIGMA
    restarts: str = "ipop"
    is_lr_adapted: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """The options of a request, checked before; those that are unset take their defaults."""
        given = {name: value for name, value in options.items() if value is not None}
        return cls(
            population=given.get("population"),
            sigma=float(given.get("sigma", SIGMA)),
            restarts=str(given.get("restarts", "ipop")),
            is_lr_adapted=bool(given.get("lr_adapt", False)),
        )


def suggest(request: SuggestRequest) -> Decision:
    """Points of the design, then draws from the distribution that the results have led to."""
    return _Asker(request).decide()


class _Asker:
    """One request while it is being answered."""

    def __init__(self, request: SuggestRequest) -> None:
        self._request = request
        self._settings = Settings.of(request.options)
        memory = memory_of(request)
        self._layout = memory.thing("cmaes", request.space, lambda: Layout(request.space))
        is_given = request.options.get("n_initial") is not None
        self._n_design = design_size(request) if is_given else min(design_size(request), N_INITIAL)
        self._taken = set(taken_keys(request))
        self._n_known = len(request.finished) + len(request.pending)
        self._replayed: Replayed | None = None

    def decide(self) -> Decision:
        found: list[Suggestion] = []
        for index in range(self._request.index, self._request.index + self._request.count):
            suggestion = self._one(index)
            if suggestion is None:
                return Decision(suggestions=tuple(found), exhausted=True)
            self._taken.add(point_key(suggestion.params))
            self._n_known += 1
            found.append(suggestion)
        return Decision(suggestions=tuple(found))

    def _one(self, index: int) -> Suggestion | None:
        if self._n_known < self._n_design or not self._layout.d:
            return design_suggestion(self._request, NAME, index, self._taken)
        try:
            with warnings.catch_warnings():  # what comes of them is looked at
                warnings.simplefilter("ignore")
                replayed = self._replay()
                return self._drawn(replayed, index)
        except (ArithmeticError, AssertionError, ValueError, np.linalg.LinAlgError) as error:
            reason = f"{type(error).__name__}: {error}"
            made = design_suggestion(self._request, NAME, index, self._taken, fallback=reason)
            return made and dataclasses.replace(made, source=TrialSource.FALLBACK)

    def _replay(self) -> Replayed:
        """The state that the history leads to, worked out once a request."""
        if self._replayed is None:
            settings, layout = self._settings, self._layout
            rules = Rules(
                population=settings.population or 4 + math.floor(3 * math.log(layout.d)),
                sigma=settings.sigma,
                restarts=settings.restarts,
                seed=self._request.seed,
                n_design=self._n_design,
                may_be_warm=not self._request.space.constraints,
            )
            make = partial(_distribution, layout, is_lr_adapted=settings.is_lr_adapted)
            self._replayed = replay(layout, _history(self._request, layout), rules, make)
        return self._replayed

    def _drawn(self, replayed: Replayed, index: int) -> Suggestion | None:
        """A new point from the distribution of the run that is under way."""
        run, request = replayed.last, self._request
        rng = rng_of(request, NAME, index)
        linear = linear_of(memory_of(request), request.space)
        draws = _Draws(self._layout, run.distribution, rng, linear)
        params = new_point(request, self._taken, draws.attempt, rng)
        if params is None:
            return None
        deviations = run.distribution.deviations
        known = provenance(
            request,
            NAME,
            index,
            phase="model",
            model=run.distribution.name,
            run=run.number,
            regime=run.regime,
            generation=run.generation,
            population=run.start.population,
            first_trial=run.first,
            n_told=sum(each.n_told for each in replayed.runs),
            n_start=replayed.n_known,
            largest_sd=float(deviations.max()) if len(deviations) else None,
            attempts=draws.n_attempts,
            drawn=draws.how,
            **_more(replayed, self._settings, self._layout),
        )
        return Suggestion(params=params, provenance=known)


def _more(replayed: Replayed, settings: Settings, layout: Layout) -> dict[str, Any]:
    """What only some provenances have to say."""
    more: dict[str, Any] = {}
    if len(replayed.runs) > 1:
        more["last_run_ended"] = replayed.runs[-2].end
    if settings.is_lr_adapted:
        is_done = layout.n_continuous == layout.d
        more["lr_adapt"] = "on" if is_done else "off: only for continuous parameters alone"
    return more


def _history(request: SuggestRequest, layout: Layout) -> History:
    """The results of a request by number, laid out."""
    encode, finished = layout.encoder.to_unit_many, request.finished
    u = memory_of(request).rows(
        "cmaes", request.space, lambda trials: encode([t.params for t in trials]), finished
    )
    numbers = np.array([trial.number for trial in finished], dtype=np.intp)
    order = np.argsort(numbers, kind="stable")
    numeric, codes = layout.parts(u[order])
    made = range(request.index, request.index + request.count)
    pending = [*(trial.number for trial in request.pending), *made]
    return History(
        numbers=numbers[order],
        numeric=numeric,
        codes=codes,
        ranks=ranks_of(request)[order],
        pending=np.unique(np.array(pending, dtype=np.intp)),
        index=request.index + request.count,
    )


class _Draws:
    """Attempts at a new point, each from a wider distribution than the one before.

    Attributes:
        n_attempts: how many were made.
        how: what was done to the last one, for a person.
    """

    def __init__(
        self,
        layout: Layout,
        state: Distribution,
        rng: np.random.Generator,
        linear: Linear | None,
    ) -> None:
        self._layout, self._state, self._rng = layout, state, rng
        self._linear = linear
        self._n_plain = 0 if linear is not None and linear.has_equality else PLAIN
        self.n_attempts = 0
        self.how = ""

    def attempt(self, k: int) -> dict[str, Value]:
        """The k-th attempt."""
        self.n_attempts = k + 1
        numeric, codes = self._draw(k)
        u = self._layout.whole(numeric, codes)
        point = None
        if self._linear is not None and k >= self._n_plain:
            self.how += ", moved to where the known constraints hold"
            point = self._linear.point(u, self._rng)
        return point or self._layout.encoder.from_unit(u)

    def _draw(self, k: int) -> tuple[Floats, Ints]:
        layout = self._layout
        if k >= UNIFORM_AFTER:
            self.how = "uniformly"
            codes = [int(self._rng.integers(count)) for count in layout.counts]
            return self._rng.random(len(layout.numeric)), np.array(codes, dtype=np.intp)
        n_wider = 0 if k < PLAIN else 1 + (k - PLAIN) // WIDER_EVERY
        if self._linear is not None:  # the first of those that are moved need no widening
            n_wider = max(0, n_wider - 3)
        self.how = f"{n_wider} times wider by half" if n_wider else "from the distribution"
        return self._state.draw(self._rng, 1.5**n_wider)


# The fence: what is known of the library's insides


def _distribution(layout: Layout, start: Start, *, is_lr_adapted: bool) -> Distribution:
    """The library's optimiser for a space, about to begin a run."""
    if layout.n_continuous == layout.d:
        return _Continuous(start, is_lr_adapted=is_lr_adapted)
    return _Mixed(layout, start)


class _Gauss:
    """What both optimisers have: a mean, a step size, a covariance matrix.

    Attributes:
        name: the method, for a person.
    """

    name = ""

    def __init__(self, inner: Any, population: int, n_numeric: int, n_continuous: int) -> None:
        self._inner = inner
        self._population = population
        self._n_numeric, self._n_continuous = n_numeric, n_continuous

    @property
    def mean(self) -> Floats:
        """Shape (g,)."""
        return np.array(self._inner._mean if self._n_numeric else [], dtype=np.float64)

    @property
    def deviations(self) -> Floats:
        """Standard deviation of each numeric coordinate, shape (g,)."""
        if not self._n_numeric:
            return np.zeros(0)
        return np.asarray(self._scale() * np.sqrt(np.diag(self._inner._C)), dtype=np.float64)

    @property
    def condition(self) -> float:
        """Condition number of the covariance matrix."""
        _, roots = self._axes()
        return float((roots.max() / roots.min()) ** 2) if roots.min() > 0.0 else math.inf

    def radii(self, numeric: Floats) -> Floats:
        """Squared Mahalanobis distances from the mean, shape (n,), of points (n, g)."""
        if not self._n_numeric:
            return np.zeros(len(numeric))
        turn, roots = self._axes()
        steps = np.nan_to_num((numeric - self.mean) / self._scale(), nan=0.0)
        found: Floats = np.square(steps @ turn / roots).sum(axis=1)
        return found

    def log_odds(self, numeric: Floats) -> float:
        """Log likelihood of points (n, g) on the cube, less that of uniform draws.

        What lies outside of the cube is drawn again, so the density is larger within; by how much
        is worked out for each coordinate by itself.
        """
        _, roots = self._axes()
        mean, deviations = self.mean, self.deviations
        inside = ndtr((1.0 - mean) / deviations) - ndtr(-mean / deviations)
        log_volume = float(np.log(self._scale() * roots * math.sqrt(2.0 * math.pi) * inside).sum())
        return float(-0.5 * self.radii(numeric).sum() - len(numeric) * log_volume)

    def draw_numeric(self, rng: np.random.Generator, widening: float) -> Floats:
        """A draw from the normal distribution, shape (g,), in the cube where it is continuous."""
        if not self._n_numeric:
            return np.zeros(0)
        turn, roots = self._axes()
        steps = (rng.standard_normal((RESAMPLED, self._n_numeric)) * roots) @ turn.T
        points = self.mean + widening * self._scale() * steps
        part = points[:, : self._n_continuous]
        is_inside = ((part >= 0.0) & (part <= 1.0)).all(axis=1)
        return np.asarray(np.clip(points[int(np.argmax(is_inside))], 0.0, 1.0), dtype=np.float64)

    def is_sound(self) -> bool:
        """Whether every number in it is finite."""
        if not self._n_numeric:
            return True
        parts = (self.mean, self.deviations, self._inner._C)
        return all(bool(np.isfinite(part).all()) for part in parts)

    def _scale(self) -> Floats:
        """Step size by coordinate, shape (g,)."""
        factors = getattr(self._inner, "_A", np.ones(self._n_numeric))
        return np.asarray(self._inner._sigma * factors, dtype=np.float64)

    def _axes(self) -> tuple[Floats, Floats]:
        """Main axes of a step (g, g), as columns, and standard deviations along them (g,)."""
        turn, roots = self._inner._eigen_decomposition()
        return np.asarray(turn), np.asarray(roots)


class _Continuous(_Gauss):
    """For spaces of continuous parameters alone."""

    def __init__(self, start: Start, *, is_lr_adapted: bool) -> None:
        from cmaes import CMA

        g = len(start.mean)
        inner = CMA(
            mean=start.mean.copy(),
            sigma=start.sigma,
            cov=start.covariance.copy(),
            population_size=start.population,
            lr_adapt=is_lr_adapted,
        )
        super().__init__(inner, start.population, g, g)
        self.name = "CMA-ES, learning rates adapted" if is_lr_adapted else "CMA-ES"

    def draw(self, rng: np.random.Generator, widening: float) -> tuple[Floats, Ints]:
        """A draw from the distribution, and no codes."""
        return self.draw_numeric(rng, widening), np.zeros(0, dtype=np.intp)

    def update(self, numeric: Floats, codes: Ints, rng: np.random.Generator) -> None:
        """Adapts to a generation, best first."""
        rows = np.where(np.isnan(numeric), self.mean, numeric)
        self._inner.tell([(row, float(k)) for k, row in enumerate(rows)])


class _Mixed(_Gauss):
    """For integers, steps and categories, with or without continuous parameters."""

    name = "CatCMA with margin"

    def __init__(self, layout: Layout, start: Start) -> None:
        from cmaes import CatCMAwM

        self._counts = layout.counts
        self._borders = [(centres[1:] + centres[:-1]) / 2 for centres in layout.centres]
        n_numeric = len(start.mean)
        inner = CatCMAwM(
            x_space=[[0.0, 1.0]] * layout.n_continuous or None,
            z_space=[list(centres) for centres in layout.centres] or None,
            c_space=layout.counts or None,
            population_size=start.population,
            mean=start.mean.copy() if n_numeric else None,
            sigma=start.sigma,
            cov=start.covariance.copy() if n_numeric else None,
            cat_param=_padded(start.shares) if layout.counts else None,
        )
        super().__init__(inner, start.population, n_numeric, layout.n_continuous)

    def draw(self, rng: np.random.Generator, widening: float) -> tuple[Floats, Ints]:
        """A draw from the distribution: coordinates (g,) and codes (c,).

        Categories are drawn uniformly with a probability that grows with the widening.
        """
        numeric = self.draw_numeric(rng, widening)
        codes = np.zeros(len(self._counts), dtype=np.intp)
        for k, (count, share) in enumerate(zip(self._counts, rng.random(len(codes)), strict=True)):
            shares = self._inner._q[k, :count] / widening + (1.0 - 1.0 / widening) / count
            codes[k] = min(int(np.searchsorted(np.cumsum(shares), share, "right")), count - 1)
        return numeric, codes

    def update(self, numeric: Floats, codes: Ints, rng: np.random.Generator) -> None:
        """Adapts to a generation, best first."""
        rows = self._raw(numeric, rng) if self._n_numeric else None
        chosen = self._one_hot(codes) if self._counts else None
        solution = self._inner.Solution
        told = [
            solution(
                c=None if chosen is None else chosen[k], _v_raw=None if rows is None else rows[k]
            )
            for k in range(self._population)
        ]
        self._inner.tell([(each, float(k)) for k, each in enumerate(told)])

    def is_sound(self) -> bool:
        """Whether every number in it is finite."""
        shares = self._inner._q if self._counts else np.zeros(0)
        steps = self._inner._s if self._counts else np.zeros(0)
        return super().is_sound() and bool(np.isfinite(shares).all() and np.isfinite(steps).all())

    def _raw(self, numeric: Floats, rng: np.random.Generator) -> Floats:
        """Points as they may have been before integers were rounded, shape (population, g).

        Where within its cell an integer came from is not known, so it is drawn anew from the
        normal distribution truncated to the cell.
        """
        mean, deviations = self.mean, self.deviations
        rows = np.where(np.isnan(numeric), mean, numeric)
        for j, borders in enumerate(self._borders, start=self._n_continuous):
            ends = np.concatenate(([-math.inf], borders, [math.inf]))
            cell = np.searchsorted(borders, rows[:, j])
            low, high = ends[cell], ends[cell + 1]
            drawn = _truncated(mean[j], deviations[j], low, high, rng.random(len(rows)))
            is_known = ~np.isnan(numeric[:, j])
            rows[:, j] = np.where(is_known & np.isfinite(drawn), drawn, rows[:, j])
        return rows

    def _one_hot(self, codes: Ints) -> Floats:
        """Categories as rows of 0 and 1, (population, c, largest count); inactive ones as they are
        distributed.
        """
        shares = self._inner._q
        chosen = np.where((codes == INACTIVE)[:, :, None], shares, 0.0)
        rows, columns = np.nonzero(codes != INACTIVE)
        chosen[rows, columns, codes[rows, columns]] = 1.0
        return chosen


def _padded(shares: tuple[Floats, ...]) -> Floats:
    """Probabilities as one array (c, largest count), zeros at the end."""
    table = np.zeros((len(shares), max(map(len, shares))))
    for row, share in zip(table, shares, strict=True):
        row[: len(share)] = share
    return table


def _truncated(mean: float, sd: float, low: Floats, high: Floats, shares: Floats) -> Floats:
    """Quantiles of a normal distribution truncated to [low, high], shape (n,).

    Not finite, or the nearer end, where the interval is far out.
    """
    a, b = (low - mean) / sd, (high - mean) / sd
    sign = np.where(a > 0.0, -1.0, 1.0)  # on the left side, where probabilities keep their digits
    a, b = np.where(sign < 0.0, -b, a), np.where(sign < 0.0, -a, b)
    below, above = ndtr(a), ndtr(b)
    z = np.clip(ndtri(below + (above - below) * shares), a, b)
    return np.asarray(mean + sd * sign * z, dtype=np.float64)
