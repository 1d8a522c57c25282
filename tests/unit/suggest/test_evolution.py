"""Regularised evolution and NSGA-II: who has children, how children differ, what is survived."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    LinearConstraint,
    Params,
    Space,
    point_key,
)
from app.domain.study import Direction, Metric
from app.domain.trial import TrialState
from app.suggest import evolution
from app.suggest.base import FinishedTrial, SuggestRequest
from app.suggest.design import satisfies
from app.suggest.encode import Encoder
from app.suggest.evolution import (
    Settings,
    crossed,
    crowding_distances,
    mutated,
    polynomial_step,
    sort_keys,
)

LOSS = (Metric(name="loss", direction=Direction.MINIMIZE),)
TWO = (*LOSS, Metric(name="time", direction=Direction.MINIMIZE))
SPACE = Space(
    parameters=(
        FloatParameter(name="x", low=0.0, high=1.0),
        IntParameter(name="n", low=0, high=9),
        CategoricalParameter(name="kind", choices=("a", "b", "c")),
        IntParameter(name="one", low=4, high=4),
        FloatParameter(
            name="extra", low=0.0, high=1.0, when=Condition(param="kind", choices=("b",))
        ),
    )
)
LINE = Space(parameters=(FloatParameter(name="x", low=0.0, high=1.0),))


def trial(number: int, params: Params, *values: float) -> FinishedTrial:
    return FinishedTrial(
        number=number,
        params=params,
        state=TrialState.COMPLETED if values else TrialState.FAILED,
        values=values or None,
    )


def ask(space: Space, finished: tuple[FinishedTrial, ...], **more: Any) -> SuggestRequest:
    fields: dict[str, Any] = {"index": len(finished) + 1, "seed": 3, "metrics": LOSS, **more}
    return SuggestRequest(space=space, finished=finished, **fields)


def drawn(space: Space, n: int, seed: int = 0) -> list[dict[str, Any]]:
    encoder = Encoder(space)
    return [encoder.from_unit(u) for u in np.random.default_rng(seed).random((n, encoder.d))]


def value(p: Params) -> float:
    return (float(p["x"]) - 0.3) ** 2 + abs(int(p["n"]) - 6) / 5 + "bca".index(str(p["kind"]))


def known(n: int) -> tuple[FinishedTrial, ...]:
    return tuple(trial(k, p, value(p)) for k, p in enumerate(drawn(SPACE, n), start=1))


def test_a_mixed_space_is_solved() -> None:
    trials: tuple[FinishedTrial, ...] = ()
    for number in range(1, 151):
        (made,) = evolution.suggest(ask(SPACE, trials)).suggestions
        trials = (*trials, trial(number, made.params, value(made.params)))
    assert min(t.values[0] for t in trials if t.values) < 0.01
    assert len({point_key(t.params) for t in trials}) == 150


def test_a_child_differs_from_its_parent_in_one_parameter() -> None:
    trials = known(30)
    by_number = {t.number: t.params for t in trials}
    for made in evolution.suggest(ask(SPACE, trials, count=20)).suggestions:
        (number,) = made.provenance["parents"]
        parent, child = by_number[number], made.params
        (name,) = made.provenance["mutated"]
        differing = {k for k in {*parent, *child} if parent.get(k) != child.get(k)}
        assert name in differing
        assert differing <= {name, "extra"}
        assert made.provenance["method"] == "regularised evolution"


def test_members_die_of_age() -> None:
    trials = (trial(1, {"x": 0.9}, -9.0), *(trial(k, {"x": k / 100}, 1.0) for k in range(2, 40)))
    options = {"population": 20}
    for made in evolution.suggest(ask(LINE, trials, count=20, options=options)).suggestions:
        assert 20 <= made.provenance["parents"][0] < 40


def test_the_larger_the_tournament_the_better_the_parents() -> None:
    trials = known(50)
    values = {t.number: t.values[0] for t in trials if t.values}

    def mean_of_parents(size: int) -> float:
        asked = ask(SPACE, trials, count=40, options={"tournament": size})
        made = evolution.suggest(asked).suggestions
        return float(np.mean([values[s.provenance["parents"][0]] for s in made]))

    assert mean_of_parents(25) < mean_of_parents(5) < mean_of_parents(1)


def test_when_all_of_the_newest_failed_older_ones_have_children() -> None:
    trials = (*known(10), *(trial(k, p) for k, p in enumerate(drawn(SPACE, 30, 1), start=11)))
    (made,) = evolution.suggest(ask(SPACE, trials, options={"population": 20})).suggestions
    assert made.provenance["parents"][0] <= 10


def test_children_keep_away_from_failures() -> None:
    trials = tuple(
        trial(k + 1, {"x": x}, *([] if x > 0.5 else [-x])) for k, x in enumerate(np.arange(40) / 40)
    )
    made = evolution.suggest(ask(LINE, trials, count=30)).suggestions
    assert np.mean([float(s.params["x"]) > 0.55 for s in made]) < 0.2


def test_without_any_result_the_design_goes_on() -> None:
    trials = tuple(trial(k, p) for k, p in enumerate(drawn(SPACE, 20), start=1))
    (made,) = evolution.suggest(ask(SPACE, trials)).suggestions
    assert made.provenance["phase"] == "design"


def test_order_of_results_in_the_request_does_not_matter() -> None:
    trials = known(60)
    turned = tuple(trials[k] for k in np.random.default_rng(1).permutation(60))
    for metrics in (LOSS, TWO):
        both = [
            tuple(dataclasses.replace(t, values=(t.values or ()) * len(metrics)) for t in each)
            for each in (trials, turned)
        ]
        answers = [evolution.suggest(ask(SPACE, t, metrics=metrics, count=3)) for t in both]
        assert answers[0] == answers[1]


def test_known_constraints_hold() -> None:
    space = Space(
        parameters=tuple(FloatParameter(name=n, low=0.0, high=1.0) for n in "abc"),
        constraints=(LinearConstraint(terms={"a": 1.0, "b": 1.0, "c": 1.0}, op="==", bound=1.0),),
    )
    trials: tuple[FinishedTrial, ...] = ()
    for number in range(1, 61):
        (made,) = evolution.suggest(ask(space, trials)).suggestions
        assert satisfies(space, made.params)
        y = (float(made.params["a"]) - 0.7) ** 2 + (float(made.params["b"]) - 0.2) ** 2
        trials = (*trials, trial(number, made.params, y))
    assert min(t.values[0] for t in trials if t.values) < 0.01


# NSGA-II


def test_crowding_is_the_room_between_neighbours() -> None:
    y = np.array([[0.0, 4.0], [1.0, 2.0], [3.0, 1.0], [4.0, 0.0]])
    gaps = crowding_distances(y)
    assert np.isinf(gaps[[0, 3]]).all()
    assert gaps[1:3].tolist() == pytest.approx([3 / 4 + 3 / 4, 3 / 4 + 2 / 4])


def test_equal_points_take_the_room_of_one() -> None:
    y = np.array([[0.0, 2.0], [1.0, 1.0], [1.0, 1.0], [2.0, 0.0]])
    assert crowding_distances(y).tolist() == [math.inf, 2.0, 0.0, math.inf]


def test_largest_floats_leave_crowding_finite_or_infinite() -> None:
    y = np.array([[-1.7e308, 1.7e308], [0.0, 0.0], [1.7e308, -1.7e308]])
    assert crowding_distances(y).tolist() == [math.inf, 2.0, math.inf]


def test_the_infeasible_come_after_the_feasible_by_their_excess() -> None:
    y = np.array([[3.0, 3.0], [0.0, 0.0], [1.0, 1.0], [0.5, 0.5]])
    keys = sort_keys(y, np.array([0.0, 2.0, 0.0, 1.0]))
    assert sorted(range(4), key=lambda k: keys[k]) == [2, 0, 3, 1]


def test_parents_are_non_dominated() -> None:
    points = drawn(SPACE, 80)
    rng = np.random.default_rng(2)
    y = rng.random((80, 2))
    trials = tuple(
        trial(k, p, *row) for k, (p, row) in enumerate(zip(points, y, strict=True), start=1)
    )
    asked = ask(SPACE, trials, metrics=TWO, options={"population": 10}, count=20)
    made = evolution.suggest(asked).suggestions
    parents = {number for s in made for number in s.provenance["parents"]}
    dominated = [sum(bool((y < row).all()) for row in [y[n - 1]]) for n in parents]
    assert not any(dominated[1:]) or len(parents) <= 10
    assert {s.provenance["method"] for s in made} == {"NSGA-II"}
    assert any(s.provenance["is_crossed"] for s in made)


def test_feasible_parents_are_preferred() -> None:
    metrics = (*TWO, Metric(name="m", direction=Direction.MINIMIZE, role="constraint", threshold=1))
    points = drawn(SPACE, 60)
    trials = tuple(
        trial(k, p, k if k % 4 else -k, -k, 0.0 if k % 4 else 5.0)
        for k, p in enumerate(points, start=1)
    )
    asked = ask(SPACE, trials, metrics=metrics, options={"population": 20}, count=20)
    for made in evolution.suggest(asked).suggestions:
        assert all(number % 4 for number in made.provenance["parents"])


def zdt1(p: Params) -> tuple[float, float]:
    """Zitzler, Deb & Thiele 2000, T1, with six parameters."""
    x = [float(v) for v in p.values()]
    g = 1.0 + 9.0 * sum(x[1:]) / (len(x) - 1)
    return x[0], g * (1.0 - math.sqrt(x[0] / g))


def area(values: list[tuple[float, ...]]) -> float:
    """Hypervolume of two objectives below (1.1, 11)."""
    total, top = 0.0, 11.0
    for a, b in sorted(values):
        if a < 1.1 and b < top:
            total += (1.1 - a) * (top - b)
            top = b
    return total


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_front_is_found_better_than_at_random(seed: int) -> None:
    space = Space(parameters=tuple(FloatParameter(name=f"x{k}", low=0, high=1) for k in range(6)))
    trials: tuple[FinishedTrial, ...] = ()
    for number in range(1, 301):
        asked = ask(space, trials, metrics=TWO, seed=seed)
        (made,) = evolution.suggest(asked).suggestions
        trials = (*trials, trial(number, made.params, *zdt1(made.params)))
    found = area([t.values for t in trials if t.values])
    chance = area([zdt1(p) for p in drawn(space, 300, seed)])
    assert found > chance + 0.5


# Variation


def test_polynomial_steps_stay_within_and_are_mostly_short() -> None:
    rng = np.random.default_rng(1)
    for u in (0.0, 0.01, 0.5, 0.99, 1.0):
        steps = np.array([polynomial_step(u, 20.0, rng) for _ in range(2_000)])
        assert (u + steps).min() >= -1e-12
        assert (u + steps).max() <= 1.0 + 1e-12
        assert np.median(np.abs(steps)) < 0.06
    # In the middle of a wide range the density is 0.5 (eta + 1) (1 - |step|)^eta.
    steps = np.array([polynomial_step(0.5, 20.0, rng) for _ in range(20_000)])
    assert np.mean(np.abs(steps)) == pytest.approx(1 / 22, rel=0.05)


def test_children_of_a_crossing_spread_around_their_parents() -> None:
    rng = np.random.default_rng(1)
    children = np.array([crossed(0.4, 0.6, 20.0, rng) for _ in range(4_000)])
    assert children.mean() == pytest.approx(0.5, abs=0.01)
    # The spread factor's median is 1, so half of the children lie between their parents.
    assert np.mean((children > 0.4) & (children < 0.6)) == pytest.approx(0.5, abs=0.03)
    assert crossed(0.3, 0.3, 20.0, rng) == pytest.approx(0.3)
    edge = np.array([crossed(0.0, 1.0, 2.0, rng) for _ in range(500)])
    assert edge.min() >= 0.0
    assert edge.max() <= 1.0


def test_a_mutation_never_leaves_an_integer_or_a_category_as_it_was() -> None:
    rng = np.random.default_rng(1)
    axes = {axis.parameter.name: axis for axis in Encoder(SPACE).axes}
    for name, values in (("n", range(10)), ("kind", ("a", "b", "c"))):
        axis = axes[name]
        for old in values:
            for _ in range(30):
                new = axis.from_unit(mutated(axis, axis.to_unit(old), 20.0, rng))
                assert new in values
                assert new != old


def test_options_that_are_unset_take_their_defaults() -> None:
    assert Settings.of({"population": None}) == Settings()
    assert Settings.of({"population": 7, "tournament": 3}) == Settings(population=7, tournament=3)
