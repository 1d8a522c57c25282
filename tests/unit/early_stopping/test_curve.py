"""Running means and lowest losses of a curve, against plain sums over fractions."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from random import Random

import pytest

from app.early_stopping.curve import Curve

HUGE = 1.7976931348623157e308
LOSSES = (1e308, -HUGE, HUGE, 5e-324, 0.1, 0.0, -0.3, math.inf)


def plain_mean(losses: list[float]) -> float:
    finite = [Fraction(loss) for loss in losses if math.isfinite(loss)]
    return float(sum(finite) / len(finite)) if finite else math.inf


@pytest.mark.parametrize("seed", range(100))
def test_means_are_exact_for_any_size_of_losses_and_order_of_steps(seed: int) -> None:
    rng, curve = Random(seed), Curve()
    first: dict[int, float] = {}
    for _ in range(rng.randint(1, 30)):
        step, loss = rng.randint(1, 15), rng.choice((*LOSSES, rng.gauss(0, 1)))
        assert curve.add(step, loss) is (step not in first)
        first.setdefault(step, loss)
    for step in range(1, 16):
        before = [loss for at, loss in first.items() if at <= step]
        after = [loss for at, loss in first.items() if at > step]
        reaches = bool(before) and max(first) >= step
        assert curve.mean_at(step) == (plain_mean(before) if reaches else None)
        assert curve.best(up_to=step) == min(before, default=math.inf)
        assert curve.best_after(step) == min(after, default=math.inf)
    assert curve.best() == min(first.values())


def test_a_long_curve_costs_no_more_for_each_report() -> None:
    curve, began = Curve(), time.process_time()
    for step in range(1, 20_001):
        curve.add(step, 1.0 / step)
    assert curve.mean_at(20_000) == pytest.approx(math.fsum(1 / k for k in range(1, 20_001)) / 2e4)
    assert time.process_time() - began < 10  # a minute or more, if each report looks at all others
