"""`auto`: stops a trial at a rung when training it on is expected to gain less than a new trial.

The evidence are the study's own trained trials: the regression of their final losses on their
losses at the rung predicts the final loss of every trial there, with its uncertainty. Compared are
the expected improvements on the best final loss for each step that is left to train (Jones et al.
1998 for the improvement): the trial's own against the mean one of the newest trials at this rung,
which stand for a new trial. Where early values say little, or mislead, the regression is flat and
wide, all trials gain alike and the one that has less left to train goes on: nothing is stopped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ..domain.fidelity import Directive, Ladder
from .base import Decision, Place, Promotion
from .book import Book

MIN_COMPLETED = 3
"""So many trials train to the end before any is stopped."""
FIRST_SHARE = 12
"""Rungs below this part of a full training (1/12) are passed: their order misleads too often."""
SHARE = 0.7
"""A trial goes on when it gains at least this share of what a new one does, step for step."""
RECENT = 20
"""The newest trials at a rung that stand for a new one."""
WINDOW = 200
"""A decision looks at no more than so many of the newest trials."""
PRIOR_SLOPE_WEIGHT = 2.0
"""The prior of the regression's slope counts as so many trained trials."""
PRIOR_NOISE_WEIGHT = 4.0
"""That of its noise as well."""
TAIL = 3.0
"""Losses beyond the median by more than so many times its distance from the better quartile are
cut to there."""
_TINY = 1e-12

Floats = NDArray[np.float64]
_CONTINUE = Decision(directive=Directive.CONTINUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Standardised final losses as a function of standardised losses at a rung.

    Attributes:
        slope, noise: of the regression.
        leverage: how surely the slope is known: the sum of squares behind it, prior included.
        n: trained trials behind it.
        best: the best final loss.
    """

    slope: float
    noise: float
    leverage: float
    n: int
    best: float

    def gains(self, x: Floats) -> Floats:
        """Expected improvements on the best final loss at losses `(n,)`, same shape."""
        mean = self.slope * x
        sd = self.noise * np.sqrt(1.0 + 1.0 / (self.n + 1) + x**2 / self.leverage)
        z = (self.best - mean) / sd
        density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        return np.asarray(sd * (z * ndtr(z) + density))


class Auto:
    """The rule for one ladder, whose last rung is a full training."""

    def __init__(self, ladder: Ladder) -> None:
        self._rungs = ladder.rungs
        self._full = ladder.rungs[-1]

    def place(self, book: Book) -> Place:
        """Every trial begins with its end in view."""
        return Place()

    def promotions(self, book: Book) -> tuple[Promotion, ...]:
        """None: the rule stops for good."""
        return ()

    def judge(self, book: Book, number: int) -> Decision:
        """Stops at a rung where a new trial promises more for each step."""
        rung = book.fresh_rung(number)
        if rung is None or rung >= self._full or rung * FIRST_SHARE < self._full:
            return _CONTINUE
        at, final = _losses(book, rung), _losses(book, self._full)
        both = [n for n in final if n in at]
        if len(both) < MIN_COMPLETED:
            return _CONTINUE
        if number not in at:
            reason = f"no finite value at step {rung}, where {len(at)} trials have one"
            return Decision(directive=Directive.STOP, reason=reason)
        return self._weighed(rung, number, at, {n: final[n] for n in both})

    def _weighed(
        self, rung: int, number: int, at: dict[int, float], final: dict[int, float]
    ) -> Decision:
        """The decision by the gain for each step; `final` are of trials that are `at` the rung."""
        losses = _cut(np.array([at[n] for n in at]))
        place = {n: k for k, n in enumerate(at)}
        x = losses[[place[n] for n in final]]
        centre, scale = float(x.mean()), max(float(losses.std()), float(x.std()), _TINY)
        prediction = predict(
            (x - centre) / scale, np.array(list(final.values())), prior_slope(rung / self._full)
        )
        newest = list(place.values())[-RECENT:]
        gains = prediction.gains((losses[[place[number], *newest]] - centre) / scale)
        own = float(gains[0]) / (self._full - rung)
        fresh = float(gains[1:].mean()) / self._full
        if own >= SHARE * fresh:
            return _CONTINUE
        reason = (
            f"at step {rung} of {self._full}: for each step left this trial is expected to gain "
            f"{own / max(fresh, 1e-300):.2g} times what a new one does, less than {SHARE:g} "
            f"(from {prediction.n} full trainings: slope {prediction.slope:.2f}, "
            f"noise {prediction.noise:.2f} in standard deviations)"
        )
        return Decision(directive=Directive.STOP, reason=reason)


def prior_slope(share: float) -> float:
    """What is expected of the correlation with the end after a share of a full training: 0.3 after
    1/81, 0.8 at the end, by the logarithm between.
    """
    return 0.3 + 0.5 * (1.0 + math.log(min(max(share, 1.0 / 81.0), 1.0)) / math.log(81.0))


def predict(x: Floats, y: Floats, slope: float) -> Prediction:
    """The regression of final losses on losses at a rung, drawn towards a prior slope.

    Args:
        x: standardised losses at the rung, shape (n,).
        y: final losses, shape (n,).
        slope: mean of the slope's prior, within [0, 1].
    """
    y = _cut(y)
    z = (y - y.mean()) / max(float(y.std()), _TINY)
    leverage = float(x @ x) + PRIOR_SLOPE_WEIGHT
    fitted = (float(x @ z) + PRIOR_SLOPE_WEIGHT * slope) / leverage
    rest = float(((z - fitted * x) ** 2).sum()) + PRIOR_NOISE_WEIGHT * (1.0 - slope**2)
    noise = math.sqrt(rest / (x.size + PRIOR_NOISE_WEIGHT))
    return Prediction(slope=fitted, noise=noise, leverage=leverage, n=x.size, best=float(z.min()))


def _losses(book: Book, rung: int) -> dict[int, float]:
    """Finite losses of the newest trials at a rung, by number, in order."""
    noted = book.noted(rung)
    newest = book.newest(rung, WINDOW)
    return {n: noted[n][1] for n in newest if math.isfinite(noted[n][1])}


def _cut(losses: Floats) -> Floats:
    """Losses with the far end of the bad side cut; a good one never is. In units of the largest, so
    that neither their squares nor what counts as tiny depends on the metric's unit.
    """
    smaller = losses / 16.0  # so that no difference of two overflows
    better, median = np.quantile(smaller, (0.25, 0.5))
    width = max(float(median - better), _TINY * abs(float(median)))
    kept = np.minimum(smaller, median + TAIL * width)
    return np.asarray(kept / (float(np.abs(kept).max()) or 1.0))
