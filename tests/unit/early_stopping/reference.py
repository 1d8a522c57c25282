"""The rules as the papers have them, plain and slow: every answer from the whole history."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.trial import TrialState

DEAD = {TrialState.FAILED, TrialState.CANCELLED, TrialState.INFEASIBLE}


@dataclass
class History:
    """All that is known of one trial; losses, so that lower is better."""

    number: int
    state: TrialState = TrialState.RUNNING
    bracket: int | None = None
    to_step: int | None = None
    pauses: bool = False
    reports: list[tuple[int, float]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.state in {TrialState.PENDING, TrialState.RUNNING, TrialState.PAUSED}

    @property
    def waits(self) -> bool:
        return self.pauses and self.is_open

    def curve(self) -> dict[int, float]:
        """Loss by step; the first report of a step counts."""
        found: dict[int, float] = {}
        for step, loss in self.reports:
            found.setdefault(step, loss if math.isfinite(loss) else math.inf)
        return found

    def at(self, rung: int) -> float | None:
        """Loss of the first report, in the order of arrival, that reached the rung."""
        for step, loss in self.reports:
            if step >= rung:
                return loss if math.isfinite(loss) else math.inf
        return None


Trials = Mapping[int, History]


def order(trials: Iterable[History], rung: int) -> list[int]:
    """Trials with a result at a rung, best first; those that died on the way are the worst."""
    found = []
    for trial in trials:
        loss = trial.at(rung)
        if loss is None and trial.state in DEAD and trial.to_step == rung:
            loss = math.inf
        if loss is not None:
            found.append((loss, trial.number))
    return [number for _, number in sorted(found)]


def is_finite_at(trial: History, rung: int) -> bool:
    loss = trial.at(rung)
    return loss is not None and math.isfinite(loss)


def asha_top(trials: Trials, rung: int, eta: int) -> set[int]:
    """Algorithm 2: the best floor(n / eta) of those at a rung."""
    ranked = order(trials.values(), rung)
    return {n for n in ranked[: len(ranked) // eta] if is_finite_at(trials[n], rung)}


def stopping_asha_keeps(trials: Trials, number: int, rung: int, eta: int) -> bool:
    """Stopping variant: among the best, of whom there is at least one."""
    ranked = order(trials.values(), rung)
    top = ranked[: max(1, len(ranked) // eta)]
    return number in top and is_finite_at(trials[number], rung)


def median_keeps(
    trials: Trials, completed: Sequence[int], number: int, startup: int, percent: float
) -> bool:
    """Best so far against the percentile of the completed trials' running means."""
    mine = trials[number].curve()
    step = max(mine)
    if len(completed) < startup:
        return True
    means = []
    for other in completed:
        curve = trials[other].curve()
        if max(curve, default=0) >= step:
            known = [loss for at, loss in curve.items() if at <= step and math.isfinite(loss)]
            means.append(statistics.fmean(known) if known else math.inf)
    return not means or min(mine.values()) <= percentile(means, percent) + 1e-12


def percentile(values: Sequence[float], percent: float) -> float:
    """Linear between the neighbours in the sorted list."""
    ranked = sorted(values)
    place = percent / 100 * (len(ranked) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ranked) - 1)
    if low == place or ranked[low] == ranked[high]:
        return ranked[low]
    return ranked[low] * (1 - (place - low)) + ranked[high] * (place - low)


def patience_keeps(trial: History, steps: int, min_delta: float) -> bool:
    """A gain in the last steps over the best before them."""
    curve = trial.curve()
    since = max(curve) - steps
    before = [loss for at, loss in curve.items() if at <= since]
    recent = [loss for at, loss in curve.items() if at > since]
    return not before or min(recent) < min(before) - min_delta


def hyperband_top(trials: Trials, bracket: int, rung: int, keep: int) -> set[int]:
    """Algorithm 1: the best of those that were trained up to a rung."""
    here = [t for t in trials.values() if t.bracket == bracket]
    ranked = [n for n in order(here, rung) if is_finite_at(trials[n], rung)]
    return set(ranked[:keep])
