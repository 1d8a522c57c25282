"""Posterior means at the tried points, in the metric's own units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.domain.space import FloatParameter, Space
from app.domain.study import Direction, Metric
from app.domain.trial import FailureKind, TrialState
from app.suggest.base import FinishedTrial, SuggestRequest
from app.suggest.winner import posterior_of

SPACE = Space(parameters=(FloatParameter(name="x", low=0.0, high=1.0),))
LOSS = (Metric(name="loss", direction=Direction.MINIMIZE),)
GAIN = (Metric(name="gain", direction=Direction.MAXIMIZE),)


def asked(
    x: list[float], y: list[float | None], metrics: tuple[Metric, ...] = LOSS
) -> SuggestRequest:
    finished = tuple(
        FinishedTrial(
            number=k,
            params={"x": at},
            state=TrialState.FAILED if value is None else TrialState.COMPLETED,
            values=None if value is None else (value,),
            failure=FailureKind.USER_ERROR if value is None else None,
        )
        for k, (at, value) in enumerate(zip(x, y, strict=True), start=1)
    )
    return SuggestRequest(space=SPACE, metrics=metrics, finished=finished)


GRID = [float(x) for x in np.linspace(0, 1, 15)]


def test_repeats_of_a_noisy_point_share_one_mean_near_their_average() -> None:
    rng = np.random.default_rng(3)
    x = [0.2, 0.5, 0.8] * 12
    y = [float(5 * (at - 0.5) ** 2 + rng.normal(0, 0.2)) for at in x]
    found = posterior_of(asked(x, list(y)))
    assert found is not None
    assert found.is_noisy
    middle = [mean for at, mean in zip(x, found.means, strict=True) if at == 0.5]
    assert max(middle) - min(middle) < 1e-9
    assert middle[0] == pytest.approx(np.mean(y[1::3]), abs=0.1)


def test_maximised_values_keep_their_sign() -> None:
    gain = [10 - (at - 0.3) ** 2 for at in GRID]
    up = posterior_of(asked(GRID, list(gain), GAIN))
    down = posterior_of(asked(GRID, [-value for value in gain]))
    assert up is not None
    assert down is not None
    assert up.means == tuple(-mean for mean in down.means)
    assert up.sds == down.sds
    assert max(up.means) == pytest.approx(10, abs=0.01)


def test_the_order_of_the_trials_does_not_matter() -> None:
    request = asked(GRID, [(at - 0.3) ** 2 for at in GRID])
    turned = replace(request, finished=request.finished[::-1])
    assert posterior_of(turned) == posterior_of(request)


def test_failures_have_no_mean() -> None:
    y = [None if k % 5 == 0 else at for k, at in enumerate(GRID)]
    found = posterior_of(asked(GRID, y))
    assert found is not None
    assert found.numbers == tuple(k + 1 for k in range(15) if k % 5)


@pytest.mark.parametrize("scale", [1e300, 1e-300, 1e12])
def test_values_of_any_size_give_finite_means(scale: float) -> None:
    found = posterior_of(asked(GRID, [scale * (at - 0.4) for at in GRID]))
    assert found is not None
    assert np.isfinite(found.means).all()
    assert np.isfinite(found.sds).all()


def test_equal_values_have_that_value_for_a_mean() -> None:
    found = posterior_of(asked(GRID, [7.0] * 15))
    assert found is not None
    assert set(found.means) == {7.0}


def test_more_trials_than_the_model_sees_have_a_mean_all_the_same() -> None:
    rng = np.random.default_rng(1)
    x = [float(at) for at in rng.random(1_000).round(2)]
    y = [float((at - 0.4) ** 2 + rng.normal(0, 0.02)) for at in x]
    found = posterior_of(asked(x, list(y)))
    assert found is not None
    assert len(found.means) == 1_000
    best = x[int(np.argmin(found.means))]
    assert best == pytest.approx(0.4, abs=0.06)
    assert min(found.means) == pytest.approx(0.0, abs=0.02)


def test_two_values_are_too_few() -> None:
    assert posterior_of(asked([0.1, 0.2, 0.3], [1.0, 2.0, None])) is None


def test_a_space_of_one_point_has_no_model() -> None:
    space = Space(parameters=(FloatParameter(name="x", low=0.5, high=0.5),))
    assert posterior_of(replace(asked([0.5] * 4, [1.0, 2.0, 3.0, 4.0]), space=space)) is None
