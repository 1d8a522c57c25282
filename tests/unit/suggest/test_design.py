"""Points without a model: design, Sobol, completion, constraints, distinct points."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc

from app.domain.points import check_point
from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    LinearConstraint,
    Parameter,
    Space,
    Value,
    point_key,
)
from app.domain.study import Direction, Metric
from app.suggest import design
from app.suggest.base import Floats, SuggestRequest, rng_of
from app.suggest.design import (
    complete_point,
    design_point,
    design_size,
    design_suggestion,
    first_point,
    new_point,
    satisfies,
    sobol_attempts,
)
from app.suggest.registry import suggest

METRICS = (Metric(name="y", direction=Direction.MINIMIZE),)
PLANE = Space(
    parameters=(
        FloatParameter(name="x", low=0.0, high=1.0),
        FloatParameter(name="y", low=0.0, high=1.0),
    )
)
TREE = Space(
    parameters=(
        CategoricalParameter(name="c", choices=("a", "b"), default="b"),
        IntParameter(name="n", low=1, high=9, when=Condition(param="c", choices=("b",))),
        FloatParameter(name="x", low=0.0, high=1.0, default=0.125),
    )
)


def request(space: Space, **more: Any) -> SuggestRequest:
    return SuggestRequest(space=space, metrics=METRICS, **more)


def test_first_point_takes_defaults_and_the_middle_of_the_rest() -> None:
    assert first_point(TREE) == {"c": "b", "n": 5, "x": 0.125}
    assert design_point(TREE, 3, 0) == first_point(TREE)
    assert design_point(PLANE, 3, 0) == {"x": 0.5, "y": 0.5}


def sobol_point(space: Space, seed: int, k: int) -> Floats:
    return next(sobol_attempts(space, seed, k))


def test_point_k_of_the_sequence_needs_no_earlier_ones() -> None:
    rng = np.random.default_rng(5)
    whole = [sobol_point(PLANE, 9, k) for k in rng.permutation(16)]
    again = [sobol_point(PLANE, 9, k) for k in range(16)]
    assert {tuple(u) for u in whole} == {tuple(u) for u in again}
    assert not np.array_equal(sobol_point(PLANE, 10, 3), again[3])


def test_the_sequence_fills_the_cube_evenly() -> None:
    u = np.array([sobol_point(PLANE, 1, k) for k in range(64)])
    cells = {(int(a * 8), int(b * 8)) for a, b in u}
    assert len(cells) == 64
    assert qmc.discrepancy(u) < 0.3 * qmc.discrepancy(np.random.default_rng(1).random((64, 2)))


def test_replacements_are_spread_over_the_whole_cube() -> None:
    """Steps of a power of two would stay in one small box."""
    u = np.array(list(itertools.islice(sobol_attempts(PLANE, 1, 7), 64)))
    assert len({(int(a * 4), int(b * 4)) for a, b in u}) >= 14


def test_a_seed_of_64_bits_is_fine() -> None:
    assert 0.0 <= sobol_point(PLANE, 2**64 - 1, 0)[0] <= 1.0


def test_design_size_follows_parameters_budget_and_option() -> None:
    assert design_size(request(PLANE)) == 4
    wide = Space(parameters=tuple(IntParameter(name=f"i{k}", low=0, high=1) for k in range(30)))
    assert design_size(request(wide)) == 10
    assert design_size(request(wide, max_trials=25)) == 5
    assert design_size(request(wide, max_trials=2)) == 1
    assert design_size(request(wide, max_trials=2, options={"n_initial": 17})) == 17


def test_design_suggestions_skip_what_is_taken() -> None:
    centre = design_suggestion(request(PLANE), "gp", 1, set())
    assert centre is not None
    assert centre.params == {"x": 0.5, "y": 0.5}
    other = design_suggestion(request(PLANE), "gp", 1, {point_key(centre.params)})
    assert other is not None
    assert other.params != centre.params


def test_new_point_finds_the_last_one_left() -> None:
    space = Space(parameters=(IntParameter(name="n", low=1, high=30_000),))
    taken = {point_key({"n": n}) for n in range(1, 30_001) if n != 12_345}
    asked = request(space)
    rng = rng_of(asked, "t", 1)
    assert new_point(asked, taken, lambda k: {"n": 1}, rng) == {"n": 12_345}
    taken.add(point_key({"n": 12_345}))
    assert new_point(asked, taken, lambda k: {"n": 1}, rng) is None


def test_an_equality_of_integers_in_a_large_space_is_met() -> None:
    space = Space(
        parameters=tuple(IntParameter(name=name, low=0, high=10_000) for name in "abc"),
        constraints=(LinearConstraint(terms=dict.fromkeys("abc", 1.0), op="==", bound=9_000.0),),
    )
    decision = suggest("sobol", request(space, count=5))
    assert [sum(int(v) for v in s.params.values()) for s in decision.suggestions] == [9_000] * 5


def test_left_out_parameters_are_drawn() -> None:
    made = complete_point(TREE, {"c": "b", "x": 0.75}, 1, 4, ())
    assert made["c"] == "b"
    assert made["x"] == 0.75
    assert list(made) == ["c", "n", "x"]
    assert not check_point(TREE, made, partial=False, pointer="")[1]
    assert made == complete_point(TREE, {"c": "b", "x": 0.75}, 1, 4, ())


def test_completed_points_differ_from_taken_ones() -> None:
    partial = {"c": "b", "x": 0.5}
    taken: set[str] = set()
    for index in range(9):
        made = complete_point(TREE, partial, 1, index, taken)
        assert point_key(made) not in taken
        taken.add(point_key(made))


def test_a_complete_point_stays_as_it_is() -> None:
    assert complete_point(TREE, {"x": 0.5, "c": "a"}, 1, 1, ()) == {"c": "a", "x": 0.5}


@pytest.mark.parametrize("partial", [{}, {"a": 0.5}])
def test_completed_points_keep_the_constraints(partial: dict[str, float]) -> None:
    space = Space(
        parameters=tuple(FloatParameter(name=name, low=0.0, high=1.0) for name in "ab"),
        constraints=(LinearConstraint(terms={"a": 1.0, "b": 1.0}, op="<=", bound=0.6),),
    )
    assert satisfies(space, complete_point(space, partial, 1, 1, ()))


@pytest.mark.parametrize("partial", [{}, {"a": 0.25}, {"a": 0.25, "b": 0.5}, {"m": "q", "b": 0.1}])
def test_completed_points_keep_an_equality(partial: dict[str, Value]) -> None:
    numbers = tuple(FloatParameter(name=name, low=0.0, high=1.0) for name in "ab")
    only_p = Condition(param="m", choices=("p",))
    space = Space(
        parameters=(
            CategoricalParameter(name="m", choices=("p", "q")),
            *numbers,
            FloatParameter(name="c", low=0.0, high=1.0, when=only_p),
        ),
        constraints=(LinearConstraint(terms=dict.fromkeys("abc", 1.0), op="==", bound=1.0),),
    )
    for index in range(1, 9):
        made = complete_point(space, partial, 1, index, ())
        assert satisfies(space, made)
        assert partial.items() <= made.items()


def test_a_point_is_found_within_many_constraints() -> None:
    """Forty half-spaces around the middle of 20 parameters, which no plain draw hits."""
    rng = np.random.default_rng(0)
    names = [f"x{k}" for k in range(20)]
    sides = rng.standard_normal((40, 20))
    space = Space(
        parameters=tuple(FloatParameter(name=name, low=0.0, high=1.0) for name in names),
        constraints=tuple(
            LinearConstraint(
                terms=dict(zip(names, side.tolist(), strict=True)),
                op="<=",
                bound=0.5 * float(side.sum()) + 0.5,
            )
            for side in sides
        ),
    )
    made = suggest("random", SuggestRequest(space=space, metrics=METRICS, count=4)).suggestions
    assert len({point_key(suggestion.params) for suggestion in made}) == 4
    assert all(satisfies(space, suggestion.params) for suggestion in made)


X, Y, Z = (FloatParameter(name=name, low=-5.0, high=5.0) for name in "xyz")
N = IntParameter(name="n", low=-3, high=30)
HALVES = tuple(
    LinearConstraint(terms=terms, op=op, bound=bound)
    for terms, op, bound in (
        ({"n": 0.5, "x": 1.0, "y": 1.0}, "<=", 0.0),
        ({"x": 0.5, "n": 2.0, "y": 2.0}, "==", 3.0),
        ({"y": 2.0, "x": -1.0, "n": 1.7}, ">=", -2.0),
        ({"y": 2.0, "x": 1.0, "n": -1.0}, "==", -2.0),
    )
)


@pytest.mark.parametrize(
    ("parameters", "constraints"),
    [
        ((X, N, Y), HALVES),  # one point: n = 1, x = -4, y = 1.5
        (
            (X, Y, Z),  # an equality that an inequality makes of two
            (
                LinearConstraint(terms={"x": 1.0, "y": -1.0, "z": 1.0}, op="==", bound=-6.0),
                LinearConstraint(terms={"x": 1.0, "z": 1.0}, op=">=", bound=-1.0),
            ),
        ),
    ],
)
def test_a_point_is_found_where_none_can_be_moved_into(
    parameters: tuple[Parameter, ...], constraints: tuple[LinearConstraint, ...]
) -> None:
    space = Space(parameters=parameters, constraints=constraints)
    decision = suggest("random", SuggestRequest(space=space, metrics=METRICS, count=1))
    (made,) = decision.suggestions
    assert satisfies(space, made.params)
    partial = {"y": made.params["y"]}
    completed = complete_point(space, partial, 1, 2, ())
    assert satisfies(space, completed)
    assert partial.items() <= completed.items()


def test_a_large_space_is_walked_through_when_nothing_else_finds_a_point(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor draws nor the program, which may take too long, say that there is no point."""
    for name in ("drawn_within", "solved_within"):
        monkeypatch.setattr(design, name, lambda *_: None)
    space = Space(
        parameters=tuple(IntParameter(name=name, low=0, high=999) for name in "ab"),
        constraints=(LinearConstraint(terms={"a": 1.0, "b": -1.0}, op=">=", bound=0.0),),
    )
    asked = request(space)
    made = new_point(asked, set(), lambda _: {"a": 0, "b": 1}, rng_of(asked, "t", 1))
    assert made is not None
    assert satisfies(space, made)


def test_what_cannot_be_completed_within_the_constraints_breaks_them() -> None:
    space = Space(
        parameters=tuple(FloatParameter(name=name, low=0.0, high=1.0) for name in "ab"),
        constraints=(LinearConstraint(terms={"a": 1.0, "b": 1.0}, op="==", bound=1.5),),
    )
    assert not satisfies(space, complete_point(space, {"a": 0.25}, 1, 1, ()))
