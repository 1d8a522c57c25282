"""From a study's history to a fitted Gaussian process, as a function of the history alone.

A warm start would make a fit depend on the chain of earlier fits. Instead the first 10, 20, 40, ...
trials are *anchors*: the newest anchor is fitted from the default start, the present fit starts
there, and it sees the trials up to the last refit point of a fixed plan. So a replay, another
process or a cache comes to the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .acquisition import Acquisition, LogExpectedImprovement, LogProbabilityBelow, Sum
from .gp_fit import default_hyper, to_theta
from .gp_kernel import Columns, Hyper
from .gp_model import GaussianProcess
from .numerics import Array, squared_distances
from .row_space import Mask, RowSpace
from .warp import HALF_RANK, model_targets

MAX_ROWS = 800
"""Above so many finished trials the model sees an active subset of `SUBSET_ROWS`."""
SUBSET_ROWS = 500
FIRST_ANCHOR = 10
FIT_ROWS = 400
"""Above so many trials the hyper-parameters are fitted to an active subset of `FIT_SUBSET`."""
FIT_SUBSET = 300
MANY_ROWS = 100
"""Up to so many trials a fit also starts from the default hyper-parameters."""
NOISY_START = 0.1
"""Noise variance of one more start: from next to none the climb never gets to a noisy optimum,
since there the likelihood hardly changes with the noise."""
MIN_FAILURES = 3
"""From so many failures on their probability is modelled."""
KEPT = 12
"""Processes kept; each is a function of its data, so it is the same without. Two kinds of targets
need up to three each, and the largest hold two matrices of 5 MB."""
SAFE_NOISE = 1e-2
"""Noise variance of the model of last resort, when no fit can be factored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Finished trials by number, as arrays.

    Attributes:
        points: shape (n, p), NaN where inactive.
        y: values to minimise, shape (n,), NaN for failures.
    """

    points: Array
    y: Array

    @property
    def n_ok(self) -> int:
        """How many trials have a value."""
        return int(np.isfinite(self.y).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The fitted processes of one history.

    Attributes:
        gp: process of the warped, standardised target.
        z: standardised targets of the modelled trials, shape (n,).
        is_ok: which of them are values, shape (n,).
        points: the modelled trials' points, shape (n, p).
        warp: name of the output warp.
        unit: size of one unit of `z` at the best value, in the metric's units, > 0; None where the
            values do not tell.
        success: acquisition part for the probability of success, or None.
        fallback: why the fit is not the one that was wanted, or None.
    """

    gp: GaussianProcess
    z: Array
    is_ok: Mask
    points: Array
    warp: str
    unit: float | None = None
    success: Acquisition | None = None
    fallback: str | None = None

    def ranking(self) -> NDArray[np.intp]:
        """Rows with a value, lowest posterior mean first."""
        means = np.where(self.is_ok, self.gp.observed_means(), np.inf)
        return np.argsort(means, kind="stable")[: int(self.is_ok.sum())]

    def _sure_best(self, gp: GaussianProcess) -> float:
        """The best value, or what is expected of a point under way when that is better: the same
        gain must not be promised twice.
        """
        best, under_way = float(self.z[self.is_ok].min()), gp.x[gp.n_observed :]
        if under_way.shape[0] == 0:
            return best
        return min(best, float(gp.predictor.mean_and_sd(under_way)[0].min()))

    def acquisition(self, gp: GaussianProcess) -> Acquisition:
        """What to maximise; `gp` is the model's own process, perhaps with pending points."""
        best = int(self.ranking()[0])
        if gp.is_noisy:
            mean = float(gp.observed_means()[best])
            gain = LogExpectedImprovement(gp=gp, best=mean, reference=best)
        else:
            gain = LogExpectedImprovement(gp=gp, best=self._sure_best(gp))
        return gain if self.success is None else Sum(parts=(gain, self.success))


def train(space: RowSpace, history: History, kind: str = HALF_RANK) -> Model:
    """Fits the model of a history with at least two values; `kind` is how targets are warped.

    Raises:
        np.linalg.LinAlgError: not even the model of last resort can be factored.
    """
    rows = np.arange(history.y.size)
    if rows.size > MAX_ROWS:
        rows = active_rows(space, history, SUBSET_ROWS)
    history = History(points=history.points[rows], y=history.y[rows])
    x = space.features(history.points)
    targets = model_targets(history.y, kind)
    fallback = None
    try:
        gp = _process(space, history, x, kind)
    except np.linalg.LinAlgError as problem:
        fallback = f"default hyper-parameters: {problem}"
        safe = replace(default_hyper(space.columns.n_scales, has_trend=False), noise=SAFE_NOISE)
        made = GaussianProcess.condition(x, targets.z, safe, columns=space.columns)
        gp = replace(made, is_noisy=True)
    return Model(
        gp=gp,
        z=targets.z,
        is_ok=targets.is_ok,
        points=history.points,
        warp=targets.warp,
        unit=_unit(history.y[targets.is_ok], targets.z[targets.is_ok]),
        success=_success(x, targets.is_ok, space.columns),
        fallback=fallback,
    )


def _unit(y: Array, z: Array) -> float | None:
    """Size of a unit of the targets `z`, shape (n,), in those of the values `y`: from the best to
    the next better one, since every warp but that of ranks keeps the good values in proportion.
    """
    best = int(np.argmin(z))
    above = z > z[best]
    if not above.any():
        return None
    other = int(np.argmin(np.where(above, z, np.inf)))
    with np.errstate(all="ignore"):  # values may be as large as a float can be
        unit = float((y[other] - y[best]) / (z[other] - z[best]))
    return unit if math.isfinite(unit) and unit > 0.0 else None


def refit_size(n: int) -> int:
    """How many of the first trials the hyper-parameters see when n have finished."""
    if n <= 60:
        return n
    return n - n % 3 if n <= 200 else n - n % 10


def anchor_size(m: int) -> int:
    """The newest anchor below m trials (10, 20, 40, ...), or 0."""
    if m <= FIRST_ANCHOR:
        return 0
    return int(FIRST_ANCHOR * 2 ** math.floor(math.log2((m - 1) / FIRST_ANCHOR)))


def _process(space: RowSpace, history: History, x: Array, kind: str) -> GaussianProcess:
    """The process of all n rows (n, c): fitted and factored up to the last refit point, the rest
    appended.
    """
    n, y = x.shape[0], history.y
    m = refit_size(n)
    base = _fitted(space, history, x, m, kind)
    return base if m == n else base.observing(x[m:], model_targets(y, kind).z)


def _fitted(space: RowSpace, history: History, x: Array, m: int, kind: str) -> GaussianProcess:
    """The process of the first m rows, with hyper-parameters by the plan of anchors."""
    columns, y = space.columns, history.y
    has_trend = _has_trend(m, columns)
    if m > FIT_ROWS:
        rows = active_rows(space, history, FIT_SUBSET)
        data = _Data(x=x[rows], z=model_targets(y[rows], kind).z, columns=columns)
        fitted = data.fit((), has_trend=has_trend)
        all_data = _Data(x=x[:m], z=model_targets(y[:m], kind).z, columns=columns)
        return replace(all_data.condition(fitted.hyper), is_noisy=fitted.is_noisy)
    default = default_hyper(columns.n_scales, has_trend=has_trend)
    starts: tuple[Hyper, ...] = (default,)
    anchor = anchor_size(m)
    if anchor:
        first = _Data(x=x[:anchor], z=model_targets(y[:anchor], kind).z, columns=columns)
        warm = first.fit((), has_trend=_has_trend(anchor, columns)).hyper
        if has_trend and not warm.has_trend:
            warm = replace(warm, linear=default.linear, quadratic=default.quadratic)
        starts = (warm, default) if m <= MANY_ROWS else (warm,)
    data = _Data(x=x[:m], z=model_targets(y[:m], kind).z, columns=columns)
    return data.fit(starts, has_trend=has_trend, noisy=replace(default, noise=NOISY_START))


_KEPT: dict[tuple[object, ...], GaussianProcess] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    """Rows and targets of which processes are made; the newest ones are remembered, since anchors,
    batches and appended rows ask for them again.

    Attributes:
        x: features, shape (n, c).
        z: standardised targets, shape (n,).
        columns: what the columns are.
    """

    x: Array
    z: Array
    columns: Columns

    def fit(
        self, starts: tuple[Hyper, ...], *, has_trend: bool, noisy: Hyper | None = None
    ) -> GaussianProcess:
        """The process with hyper-parameters fitted from some starts; from `noisy` too, whose
        explanation has to be clearly better.
        """
        doubtful = () if noisy is None else (noisy,)

        def make() -> GaussianProcess:
            return GaussianProcess.fit(
                self.x,
                self.z,
                columns=self.columns,
                has_trend=has_trend,
                starts=starts,
                doubtful=doubtful,
            )

        bits = (to_theta(start).tobytes() for start in (*starts, *doubtful))
        return self._kept(("fit", has_trend, *bits), make)

    def condition(self, hyper: Hyper) -> GaussianProcess:
        """The process with given hyper-parameters."""

        def make() -> GaussianProcess:
            return GaussianProcess.condition(self.x, self.z, hyper, columns=self.columns)

        return self._kept(("condition", to_theta(hyper).tobytes()), make)

    def _kept(
        self, how: tuple[object, ...], make: Callable[[], GaussianProcess]
    ) -> GaussianProcess:
        columns = (self.columns.scale_of.tobytes(), self.columns.typical_lengths.tobytes())
        key = (self.x.tobytes(), self.z.tobytes(), *columns, *how)
        made = _KEPT.get(key)
        if made is None:
            made = _KEPT[key] = make()
            while len(_KEPT) > KEPT:
                _KEPT.pop(next(iter(_KEPT)))
        return made


def _has_trend(m: int, columns: Columns) -> bool:
    """Whether m trials suffice for a quadratic trend: 2d + 2 for d numeric columns."""
    d = int(columns.is_numeric.sum())
    return d > 0 and m >= 2 * d + 2


def _success(x: Array, is_ok: Mask, columns: Columns) -> Acquisition | None:
    """ln P(success) from a process on the standardised labels 0 (value) and 1 (failure)."""
    failed = (~is_ok).astype(float)
    if failed.sum() < MIN_FAILURES or is_ok.all():
        return None
    share = float(failed.mean())
    sd = math.sqrt(share * (1.0 - share))
    if sd == 0.0:
        return None
    try:
        gp = GaussianProcess.fit(x, (failed - share) / sd, columns=columns)
    except np.linalg.LinAlgError:
        return None
    return LogProbabilityBelow(gp=gp, threshold=(0.5 - share) / sd)


def active_rows(space: RowSpace, history: History, size: int) -> NDArray[np.intp]:
    """The `size` of more trials that a model sees, by number.

    A fifth are the best, half the nearest to the best one, the rest spread out greedily (farthest
    point first).
    """
    n = history.y.size
    order = np.argsort(np.where(np.isfinite(history.y), history.y, np.inf), kind="stable")
    x = space.features(history.points)
    chosen = np.zeros(n, dtype=bool)
    chosen[order[: size // 5]] = True
    distance = squared_distances(x, x[order[:1]])[:, 0]
    near = np.argsort(np.where(chosen, np.inf, distance), kind="stable")
    chosen[near[: size // 2]] = True
    gap = squared_distances(x, x[chosen]).min(axis=1)
    for _ in range(size - int(chosen.sum())):
        farthest = int(np.argmax(np.where(chosen, -1.0, gap)))
        chosen[farthest] = True
        gap = np.minimum(gap, squared_distances(x, x[farthest : farthest + 1])[:, 0])
    return np.flatnonzero(chosen)
