"""The test functions: known minima, noise, failures on demand."""

from __future__ import annotations

import math

import pytest

from workers.objectives import function

from .trials import Kept, trial

HARTMANN_MINIMUM = [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573]


@pytest.mark.parametrize(
    ("name", "point", "minimum"),
    [
        ("sphere", [0.0, 0.0, 0.0], 0.0),
        ("branin", [math.pi, 2.275], 0.39788735772973816),
        ("branin", [-math.pi, 12.275], 0.39788735772973816),
        ("hartmann6", HARTMANN_MINIMUM, -3.32237),
        ("rosenbrock", [1.0, 1.0, 1.0], 0.0),
        ("ackley", [0.0, 0.0], 0.0),
        ("rastrigin", [0.0, 0.0], 0.0),
    ],
)
def test_a_known_minimum_is_met(name: str, point: list[float], minimum: float) -> None:
    params = {f"x{index}": value for index, value in enumerate(point)}
    values = function.evaluate(trial(params, {"function": name}))
    assert values["value"] == pytest.approx(minimum, abs=1e-5)


def test_parameters_are_ordered_by_number_not_by_name() -> None:
    params = {f"x{index}": float(index) for index in range(12)}
    assert function.point("sphere", params) == [float(index) for index in range(12)]


@pytest.mark.parametrize(
    ("name", "params"),
    [("branin", {"x0": 1.0}), ("sphere", {}), ("sphere", {"x1": 1.0}), ("sphere", {"y": 1.0})],
)
def test_wrong_arguments_are_named(name: str, params: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{name} takes"):
        function.point(name, params)


def test_a_curve_falls_to_the_exact_value() -> None:
    kept = Kept()
    values = function.evaluate(trial({"x0": 2.0}, {"steps": 5}, kept=kept))
    curve = [reported["value"] for _, reported in kept.reports]
    assert curve == sorted(curve, reverse=True)
    assert values == {"value": 4.0}


def test_noise_depends_on_the_trial_alone() -> None:
    options = {"noise_sd": 1.0}
    first, again, other = (
        function.evaluate(trial({"x0": 2.0}, options, number=number)) for number in (1, 1, 2)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("option", "error"), [("fail_rate", RuntimeError), ("oom_rate", MemoryError)]
)
def test_failures_come_at_the_rate_asked_for(option: str, error: type[Exception]) -> None:
    n_failed = 0
    for number in range(1, 201):
        try:
            function.evaluate(trial({"x0": 2.0}, {option: 0.3}, number=number))
        except error:
            n_failed += 1
    assert 40 <= n_failed <= 80
