"""From the trials of a study to the state of a covariance matrix adaptation: which results make up
which generation, when a run ends, and how the next one starts.

The state is made anew at each ask. A generation is as many neighbouring trial numbers as the
population has members, so that neither the order in which results come in nor what was asked in
between matters. It closes when all its results are in, or as many beyond it; a result that comes
later takes its place in its own generation.

Hansen 2016 (arXiv:1604.00772), the adaptation and appendix B.3, its stopping rules; Auger & Hansen
2005, restarts with populations that double (IPOP); Hansen 2009, large and small populations by
turns (BIPOP), and the rule of stagnation; Hansen 2011 (inria-00628254), points from elsewhere;
Nomura et al. 2021 (arXiv:2012.06932), a start from known results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .base import Floats
from .cmaes_space import INACTIVE, Ints, Layout

SIGMA = 0.2
"""Standard deviation of the first generation, in shares of a parameter's range."""
GAMMA, ALPHA = 0.1, 0.1
"""Share of the known results that a start is made from, and its smallest standard deviation
(Nomura et al. 2021, section 5)."""
WARM = 20
"""Known results from which their best share is worth a covariance matrix."""
FOREIGN, EARLY = 4.0, 10
"""Logarithm of the odds for uniform draws against its distribution from which a generation is taken
to come from elsewhere; generations of the first run at which this is asked."""
SMALLEST, LARGEST = 1e-5, 1e2
"""Standard deviations along every continuous coordinate that end a run: it has converged, or it
diverges."""
CONDITION = 1e14
"""Condition number of the covariance matrix that ends a run."""
ELSEWHERE = "results from elsewhere"
"""Why a first run is taken for none."""
MOST_DOUBLINGS = 9
"""Largest population, as a power of two of the first one."""
LEFTOVER = 4
"""For how many generations after a run has ended points of it may come in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a run begins with.

    Attributes:
        mean: in the cube, shape (g,).
        sigma: step size.
        covariance: of steps of size 1, shape (g, g).
        shares: probabilities of the values of each category.
        population: results of one generation.
    """

    mean: Floats
    sigma: float
    covariance: Floats
    shares: tuple[Floats, ...]
    population: int


class Distribution(Protocol):
    """The search distribution of a run: a normal one and one over categories."""

    name: str

    @property
    def mean(self) -> Floats:
        """Shape (g,)."""

    @property
    def deviations(self) -> Floats:
        """Standard deviation of each numeric coordinate, shape (g,)."""

    @property
    def condition(self) -> float:
        """Condition number of the covariance matrix."""

    def radii(self, numeric: Floats) -> Floats:
        """Squared Mahalanobis distances from the mean, shape (n,), of points (n, g).

        NaN, as where a parameter is inactive, stands for the mean's coordinate.
        """

    def log_odds(self, numeric: Floats) -> float:
        """Log likelihood of points (n, g) on the cube, less that of uniform draws."""

    def draw(self, rng: np.random.Generator, widening: float) -> tuple[Floats, Ints]:
        """A point with steps so much longer than its own: coordinates (g,) and codes (c,)."""

    def update(self, numeric: Floats, codes: Ints, rng: np.random.Generator) -> None:
        """Adapts to a generation, best first: rows (population, g) and (population, c).

        NaN and `INACTIVE` move nothing.
        """

    def is_sound(self) -> bool:
        """Whether every number in it is finite."""


Maker = Callable[[Start], Distribution]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The finished trials by number, and the numbers of the others.

    Attributes:
        numbers: of the finished trials, ascending, shape (n,).
        numeric, codes: their parts, shapes (n, g) and (n, c).
        ranks: how good they are, 0 for the best, equal ones alike; infinite for failures, (n,).
        pending: numbers of the trials without a result yet, ascending.
        index: number of the trial to make.
    """

    numbers: Ints
    numeric: Floats
    codes: Ints
    ranks: Floats
    pending: Ints
    index: int

    def between(self, first: int, end: int) -> slice:
        """The finished trials with the numbers from `first` up to `end`, exclusive."""
        low, high = np.searchsorted(self.numbers, [first, end])
        return slice(int(low), int(high))

    def is_closed(self, first: int, end: int) -> bool:
        """Whether nothing more is waited for in a generation of these numbers."""
        if end > self.index:
            return False
        low, high = np.searchsorted(self.pending, [first, end])
        n_later = len(self.numbers) - int(np.searchsorted(self.numbers, end))
        return bool(low == high) or n_later >= end - first


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The options that a replay follows.

    Attributes:
        population: of the first run.
        sigma: step size at the start of a run.
        restarts: "ipop", "bipop" or "none".
        seed: of the study, for where runs begin.
        n_design: numbers up to this one are the initial design.
        may_be_warm: whether generations from elsewhere are looked for.
    """

    population: int
    sigma: float
    restarts: str
    seed: int
    n_design: int
    may_be_warm: bool


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of the adaptation.

    Attributes:
        number: from 1.
        regime: "first", "large" or "small".
        start: what it began with.
        distribution: as it is now.
        origin: as it was when the run began; of the first run only.
        first: number of its first trial.
        generation: how many times it was updated.
        n_told: results that it was told.
        end: why it ended, or None.
        best, median: ranks of the best and the middle member of each generation.
    """

    number: int
    regime: str
    start: Start
    distribution: Distribution
    first: int
    origin: Distribution | None = None
    generation: int = 0
    n_told: int = 0
    end: str | None = None
    best: list[float] = field(default_factory=list)
    median: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The runs so far, the last one first to be asked.

    Attributes:
        runs: in order; only the last one may be without an end.
        n_known: results that the first run began with.
    """

    runs: tuple[Run, ...]
    n_known: int

    @property
    def last(self) -> Run:
        """The run that is under way."""
        return self.runs[-1]


def replay(layout: Layout, history: History, rules: Rules, make: Maker) -> Replayed:
    """The runs that the history amounts to.

    Args:
        layout: of the space.
        history: all results.
        rules: the options.
        make: gives the distribution that a run starts with.
    """
    run = _first_run(layout, history, rules, rules.n_design + 1, make)
    runs = [run]
    while (after := _went_on(layout, history, run, rules, runs)) is not None:
        if run.end == ELSEWHERE:
            run = _first_run(layout, history, rules, after, make)
            runs = [run]
        else:
            run = _next_run(layout, rules, runs, after, make)
            runs.append(run)
    known = history.between(0, runs[0].first)
    return Replayed(runs=tuple(runs), n_known=known.stop - known.start)


def _first_run(layout: Layout, history: History, rules: Rules, first: int, make: Maker) -> Run:
    """The first run, not told anything yet, if trial `first` is the first that it made itself."""
    start = _warm_start(layout, history, history.between(0, first), rules)
    return Run(
        number=1,
        regime="first",
        start=start,
        distribution=make(start),
        origin=make(start),
        first=first,
    )


def _went_on(
    layout: Layout, history: History, run: Run, rules: Rules, runs: list[Run]
) -> int | None:
    """Tells a run its generations; gives the number after its last one if it ended, else None."""
    size, first = run.start.population, run.first
    budget = _budget(run, runs)
    while history.is_closed(first, first + size):
        if rules.may_be_warm and _is_foreign(history, run, first):
            run.end = ELSEWHERE
            return _end_of_foreign(history, run, first)
        members = _members(layout, history, history.between(first, first + size), run, runs)
        first += size
        if len(members):
            _tell(history, run, members, rules.seed)
            if rules.restarts != "none" or not run.distribution.is_sound():
                run.end = _end(layout, run, first - run.first >= budget)
        if run.end is not None:
            return first
    return None


def _is_foreign(history: History, run: Run, first: int) -> bool:
    """Whether a generation looks like uniform draws rather than like draws of the distribution, as
    it is or, since points may have been asked for long ago, as it was.

    Results that were imported, or made by other means, would undo what the run has learnt; it had
    better start from the best of them. That is asked while it has not learnt much.
    """
    if run.origin is None or run.generation >= EARLY:
        return False
    members = history.numeric[history.between(first, first + run.start.population)]
    states = (run.distribution, run.origin)
    return bool(members.size) and all(each.log_odds(members) < -FOREIGN for each in states)


def _end_of_foreign(history: History, run: Run, first: int) -> int:
    """The number after the last of some neighbouring generations that came from elsewhere."""
    size = run.start.population
    while history.is_closed(first, first + size) and _is_foreign(history, run, first):
        first += size
    return first


def _members(layout: Layout, history: History, span: slice, run: Run, runs: list[Run]) -> Ints:
    """Places of the results that a generation is told, best first; none where too few are in.

    Points asked of a run that had converged, which came in after its end, would draw the next one
    back; they are left out. Where most of a generation failed, the best results before it stand at
    its head, so that it leads away from the failures.
    """
    size, places = run.start.population, np.arange(span.start, span.stop)
    if len(runs) > 1:
        places = places[~_is_leftover(layout, history, places, run, runs[-2])]
    if 2 * len(places) < size:
        return places[:0]
    n_lacking = size // 2 - int(np.isfinite(history.ranks[places]).sum())
    if n_lacking > 0:
        low = 0 if run.number == 1 else history.between(run.first, run.first).start
        before = low + np.argsort(history.ranks[low : span.start], kind="stable")[:n_lacking]
        places = np.concatenate([before[np.isfinite(history.ranks[before])], places])
    if not np.isfinite(history.ranks[places]).any():
        return places[:0]
    return places[np.argsort(history.ranks[places], kind="stable")][:size]


def _is_leftover(
    layout: Layout, history: History, places: Ints, run: Run, before: Run
) -> NDArray[np.bool_]:
    """Which results, (n,) bool, lie where a converged run has ended, soon after its end."""
    is_early = history.numbers[places] < run.first + LEFTOVER * before.start.population
    widths = before.distribution.deviations
    if not len(widths) or float(widths.max()) > 0.1 * run.start.sigma:
        return np.zeros(len(places), dtype=np.bool_)
    radii = before.distribution.radii(history.numeric[places])
    return np.asarray(is_early & (radii <= 9.0 * len(layout.numeric)))


def _tell(history: History, run: Run, members: Ints, seed: int) -> None:
    """Updates a run by the members of a generation, best first.

    Missing members stand in the middle of the order, at the mean, where they change nothing.
    """
    distribution, size = run.distribution, run.start.population
    half = (len(members) + 1) // 2
    gap = size - len(members)
    numeric = _clipped(distribution, history.numeric[members])
    numeric = np.insert(numeric, [half] * gap, math.nan, axis=0)
    codes = np.insert(history.codes[members], [half] * gap, INACTIVE, axis=0)
    rng = np.random.default_rng([seed, run.number, run.generation])
    ranks = history.ranks[members]
    run.best.append(float(ranks[0]))
    run.median.append(float(ranks[(len(members) - 1) // 2]))
    run.n_told += len(members)
    run.generation += 1
    try:
        with np.errstate(all="ignore"):
            distribution.update(numeric, codes, rng)
    except (ArithmeticError, AssertionError, ValueError, np.linalg.LinAlgError) as error:
        run.end = f"{type(error).__name__}: {error}"


def _clipped(distribution: Distribution, numeric: Floats) -> Floats:
    """Steps no longer than those of the distribution itself may well be.

    Hansen 2011, eq. 4, with a bound of sqrt(g) + 2 g / (g + 2), here one more, since all points
    are treated alike.
    """
    g = numeric.shape[1]
    if not g:
        return numeric
    longest = math.sqrt(g) + 2.0 * g / (g + 2.0) + 1.0
    lengths = np.sqrt(distribution.radii(numeric))
    factors = np.minimum(1.0, longest / np.maximum(lengths, 1e-300))
    mean = distribution.mean
    return np.asarray(mean + (numeric - mean) * factors[:, None])


def _end(layout: Layout, run: Run, is_spent: bool) -> str | None:
    """Why a run ends now, for a person, or None (Hansen 2016, appendix B.3; Hansen 2009)."""
    if run.end is not None:
        return run.end
    if not run.distribution.is_sound():
        return "the distribution is no longer finite"
    if is_spent:
        return "its share of the trials is spent"
    widths = run.distribution.deviations
    continuous = widths[: layout.n_continuous]
    if len(widths) and continuous.shape == widths.shape and float(widths.max()) < SMALLEST:
        return "converged"
    if len(widths) and float(widths.max()) > LARGEST:
        return "diverged"
    if len(widths) and run.distribution.condition > CONDITION:
        return "the covariance matrix is ill-conditioned"
    span = 10 + math.ceil(30 * layout.d / run.start.population)
    if len(run.best) >= span and len(set(run.best[-span:])) == 1:
        return f"the best of {span} generations were equal"
    return "stagnation" if _stagnates(run, layout.d) else None


def _stagnates(run: Run, d: int) -> bool:
    """Whether neither best nor median gained over the last fifth of the generations.

    At least 120 + 30 d / population of them; the newest 30 % of these against the oldest ones.
    """
    span = max(120 + math.ceil(30 * d / run.start.population), run.generation // 5)
    if run.generation < span:
        return False
    third = max(1, int(0.3 * span))
    return all(
        _lower_median(ranks[-third:]) >= _lower_median(ranks[-span : third - span])
        for ranks in (run.best, run.median)
    )


def _lower_median(values: list[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]


def _budget(run: Run, runs: list[Run]) -> float:
    """Trials that a run may take: a small one half of those of the last large one."""
    if run.regime != "small":
        return math.inf
    return max(0.5 * _length(_last_large(runs)), run.start.population)


def _last_large(runs: list[Run]) -> Run:
    return next(run for run in reversed(runs) if run.regime != "small")


def _length(run: Run) -> int:
    return run.n_told


def _next_run(layout: Layout, rules: Rules, runs: list[Run], first: int, make: Maker) -> Run:
    """The run after those that ended, from a place at random."""
    rng = np.random.default_rng([rules.seed, len(runs), 0xC3A])
    doublings = sum(run.regime == "large" for run in runs)
    large = rules.population << min(doublings + 1, MOST_DOUBLINGS)
    small_share, small_step = rng.random(2)
    regime, population, sigma = "large", large, rules.sigma
    if rules.restarts == "none":
        population = rules.population
    elif rules.restarts == "bipop" and _told(runs, "small") < _told(runs, "large"):
        last = _last_large(runs).start.population
        ratio = max(0.5 * last / rules.population, 1.0)
        regime = "small"
        population = math.floor(rules.population * ratio ** (small_share**2))
        sigma = rules.sigma * 10.0 ** (-2.0 * small_step)
    start = Start(
        mean=rng.random(len(layout.numeric)),
        sigma=sigma,
        covariance=np.eye(len(layout.numeric)),
        shares=_equal_shares(layout),
        population=population,
    )
    return Run(
        number=len(runs) + 1, regime=regime, start=start, distribution=make(start), first=first
    )


def _told(runs: list[Run], regime: str) -> int:
    return sum(run.n_told for run in runs if run.regime == regime)


def _cold_start(layout: Layout, history: History, known: slice, rules: Rules) -> Start:
    """A start at the best of some results, or at the centre where there is none."""
    mean = np.full(len(layout.numeric), 0.5)
    ranks = history.ranks[known]
    if np.isfinite(ranks).any():
        best = history.numeric[known][int(np.argmin(ranks))]
        mean = np.where(np.isnan(best), mean, best)
    return Start(
        mean=mean,
        sigma=rules.sigma,
        covariance=np.eye(len(mean)),
        shares=_equal_shares(layout),
        population=rules.population,
    )


def _warm_start(layout: Layout, history: History, known: slice, rules: Rules) -> Start:
    """A start from the best share of the known results, if there are enough of them.

    Nomura et al. 2021, eqs. 9 and 10: their mean, and their covariance plus alpha^2.
    """
    cold = _cold_start(layout, history, known, rules)
    ranks = history.ranks[known]
    if int(np.isfinite(ranks).sum()) < WARM:
        return cold
    order = np.argsort(ranks, kind="stable")
    top = order[: max(1, int(GAMMA * np.isfinite(ranks).sum()))]
    numeric = history.numeric[known][top]
    numeric = np.where(np.isnan(numeric), cold.mean, numeric)
    spread = numeric - numeric.mean(axis=0)
    g = len(layout.numeric)
    covariance = ALPHA**2 * np.eye(g) + spread.T @ spread / len(top)
    # sigma^(2 g) is the determinant, so that what is left has determinant 1.
    sigma = math.exp(0.5 * float(np.linalg.slogdet(covariance)[1]) / g) if g else rules.sigma
    return Start(
        mean=numeric.mean(axis=0),
        sigma=sigma,
        covariance=covariance / sigma**2,
        shares=tuple(_shares_of(layout, history.codes[known][top])),
        population=rules.population,
    )


def _shares_of(layout: Layout, codes: Ints) -> Iterator[Floats]:
    """How often each value of a category occurs, once more each: one array a category."""
    for column, count in zip(codes.T, layout.counts, strict=True):
        counts = 1.0 + np.bincount(column[column != INACTIVE], minlength=count)
        yield counts / counts.sum()


def _equal_shares(layout: Layout) -> tuple[Floats, ...]:
    return tuple(np.full(count, 1.0 / count) for count in layout.counts)
