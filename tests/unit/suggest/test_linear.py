"""Rows moved into known linear constraints, and the coordinates that follow from the others."""

from __future__ import annotations

import numpy as np
import pytest

from app.domain.points import constraint_holds
from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    LinearConstraint,
    Space,
)
from app.suggest.linear import Linear
from app.suggest.numerics import Array
from app.suggest.row_space import RowSpace


def _floats(names: str, low: float = 0.0, high: float = 1.0) -> tuple[FloatParameter, ...]:
    return tuple(FloatParameter(name=name, low=low, high=high) for name in names)


def _sum(names: str, op: str, bound: float) -> LinearConstraint:
    return LinearConstraint(terms=dict.fromkeys(names, 1.0), op=op, bound=bound)


LOGS = tuple(FloatParameter(name=name, low=1e-4, high=1.0, log=True) for name in "abc")
NARROW = Space(parameters=_floats("abcdef"), constraints=(_sum("abcdef", "<=", 0.5),))
SPACES: dict[str, Space] = {
    "shares": Space(parameters=_floats("abcdef"), constraints=(_sum("abcdef", "==", 1.0),)),
    "log shares": Space(parameters=LOGS, constraints=(_sum("abc", "==", 1.0),)),
    "a narrow corner": NARROW,
    "two equalities": Space(
        parameters=_floats("abcde", -2.0, 2.0),
        constraints=(
            LinearConstraint(terms={"a": 1.0, "b": 2.0, "c": -1.0}, op="==", bound=0.5),
            LinearConstraint(terms={"c": 1.0, "d": 1.0, "e": 3.0}, op="==", bound=-1.0),
        ),
    ),
    "said twice": Space(
        parameters=_floats("abc"),
        constraints=(
            _sum("ab", "==", 1.0),
            LinearConstraint(terms={"a": 2.0, "b": 2.0}, op="==", bound=2.0),
            _sum("ac", "<=", 1.0),
        ),
    ),
    "whole numbers": Space(
        parameters=tuple(IntParameter(name=name, low=0, high=200) for name in "abc"),
        constraints=(LinearConstraint(terms={"a": 3.0, "b": 5.0, "c": 7.0}, op="==", bound=401.0),),
    ),
    "steps and a real number": Space(
        parameters=(
            FloatParameter(name="a", low=0.0, high=10.0, step=0.25),
            IntParameter(name="b", low=0, high=50, step=2),
            FloatParameter(name="c", low=0.0, high=3.0),
            IntParameter(name="n", low=1, high=1000, log=True),
        ),
        constraints=(_sum("abc", "==", 12.3), _sum("bn", "<=", 40.0)),
    ),
    "a branch": Space(
        parameters=(
            CategoricalParameter(name="m", choices=("p", "q")),
            *_floats("ab"),
            FloatParameter(name="c", low=0.0, high=1.0, when=Condition(param="m", choices=("p",))),
        ),
        constraints=(_sum("abc", "==", 1.0),),
    ),
    "far apart in size": Space(
        parameters=(
            FloatParameter(name="a", low=-1e299, high=1e299),
            FloatParameter(name="b", low=-1e299, high=1e299),
            FloatParameter(name="c", low=0.0, high=1e-300),
        ),
        constraints=(_sum("ab", "==", 0.0), _sum("c", ">=", 5e-301)),
    ),
}


def _drawn(space: RowSpace, m: int = 200) -> Array:
    return space.snap(np.random.default_rng(1).random((m, space.p)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("is_spread", [False, True])
def test_rows_are_moved_into_the_constraints(name: str, is_spread: bool) -> None:
    """All of them; of whole numbers in odd proportions, which are sought at random, nearly all."""
    space = SPACES[name]
    rows = RowSpace(space)
    mended = Linear(rows).mended(_drawn(rows), np.random.default_rng(2), is_spread=is_spread)
    points = [rows.decode(row) for row in rows.points(mended)]
    kept = [all(constraint_holds(c, point) for c in space.constraints) for point in points]
    assert np.mean(kept) >= (0.95 if name == "whole numbers" else 1.0)
    assert np.array_equal(rows.snap(mended), mended)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_a_row_that_keeps_them_stays(space: Space) -> None:
    rows = RowSpace(space)
    linear = Linear(rows)
    mended = linear.mended(_drawn(rows), np.random.default_rng(2))
    mended = mended[rows.keeps_constraints(rows.points(mended))]
    assert np.array_equal(linear.mended(mended, np.random.default_rng(3)), mended)


def test_spread_rows_lie_on_the_border_and_inside() -> None:
    rows = RowSpace(NARROW)
    linear = Linear(rows)
    drawn = _drawn(rows, 400)
    sums = linear.mended(drawn, np.random.default_rng(2), is_spread=True).sum(axis=1)
    is_inside = sums < 0.5 - 1e-6
    assert 0.3 < is_inside.mean() < 0.7
    assert sums[is_inside].std() > 0.05
    assert np.allclose(linear.mended(drawn, np.random.default_rng(2)).sum(axis=1), 0.5)


def test_spread_shares_are_about_uniform() -> None:
    """Against the means of a flat Dirichlet distribution's shares, in order."""
    rows = RowSpace(SPACES["shares"])
    spread = Linear(rows).mended(_drawn(rows, 3000), np.random.default_rng(2), is_spread=True)
    flat = np.random.default_rng(3).dirichlet(np.ones(6), 30_000)
    means = [np.sort(shares, axis=1).mean(axis=0) for shares in (spread, flat)]
    np.testing.assert_allclose(*means, atol=0.01)


def test_held_parameters_stay() -> None:
    rows = RowSpace(SPACES["shares"])
    linear, drawn = Linear(rows), 0.2 * _drawn(rows)
    is_held = np.array([True, False, True, False, False, False])
    mended = linear.mended(drawn, np.random.default_rng(2), is_held=is_held)
    assert np.array_equal(mended[:, is_held], drawn[:, is_held])
    assert rows.keeps_constraints(mended).all()


def test_the_rest_of_a_row_is_left_alone() -> None:
    space = Space(
        parameters=(*_floats("abx"), CategoricalParameter(name="c", choices=("u", "v", "w"))),
        constraints=(_sum("ab", "==", 1.0),),
    )
    rows = RowSpace(space)
    drawn = _drawn(rows)
    assert np.array_equal(Linear(rows).mended(drawn, np.random.default_rng(2))[:, 2:], drawn[:, 2:])


@pytest.mark.parametrize("name", [name for name in SPACES if name != "whole numbers"])
def test_what_follows_keeps_the_sums_and_folds_its_gradient(name: str) -> None:
    """Against central differences of a smooth function along the coordinates that are free."""
    rows = RowSpace(SPACES[name])
    linear, rng = Linear(rows), np.random.default_rng(4)
    start = linear.mended(_drawn(rows, 12), rng)
    slope, h = rng.standard_normal(rows.p), 1e-6

    def function(full: Array) -> Array:
        return np.sin(full @ slope)

    seen = 0
    for places, follower in linear.grouped(start):
        # Away from where it began, since a step must not be taken by what snapping does.
        full, is_inside = follower.followed(start[places])
        assert is_inside.all()
        gradient = np.cos(full @ slope)[:, None] * slope
        folded = follower.folded(full, gradient)
        following = linear.columns[follower.places]
        assert not folded[:, following].any()
        for j in set(range(rows.p)) - set(following.tolist()):
            if rows.is_category[j] or rows.axes[j].n_cells is not None:
                continue
            ends = [follower.followed(full + sign * h * np.eye(rows.p)[j]) for sign in (1.0, -1.0)]
            (ahead, may_ahead), (behind, may_behind) = ends
            may = may_ahead & may_behind & (np.abs(full[:, j] - 0.5) < 0.5 - h)
            measured = (function(ahead) - function(behind)) / (2.0 * h)
            assert np.allclose(measured[may], folded[may, j], rtol=1e-4, atol=1e-6)
            seen += int(may.sum())
    assert seen > 0


def test_a_row_that_would_leave_the_constraints_is_said_to_be_outside() -> None:
    rows = RowSpace(SPACES["shares"])
    full = np.array([[0.5, 0.1, 0.1, 0.1, 0.1, 0.1]])
    ((_, follower),) = Linear(rows).grouped(full)
    moved = full.copy()
    moved[0, 1:] = 0.3  # 1.5 in all, so that the first would have to be negative
    assert not follower.followed(moved)[1].any()


def test_a_border_is_followed_while_a_row_lies_on_it() -> None:
    linear = Linear(RowSpace(NARROW))
    on_border, inside = np.full((1, 6), 0.5 / 6), np.full((1, 6), 0.05)
    ((_, follower),) = linear.grouped(on_border)
    assert follower.sums.tolist() == [0]
    ((_, follower),) = linear.grouped(inside)
    assert follower.sums.tolist() == []


def test_one_point_is_moved_a_little_and_keeps_its_steps() -> None:
    space = Space(
        parameters=(
            FloatParameter(name="a", low=0.0, high=1.0),
            IntParameter(name="n", low=0, high=20),
        ),
        constraints=(LinearConstraint(terms={"n": 1.0, "a": 10.0}, op="<=", bound=12.0),),
    )
    rows = RowSpace(space)
    (u,) = rows.encode([{"a": 0.5, "n": 9}])
    point = Linear(rows).point(u, np.random.default_rng(0))
    assert point is not None
    assert point["n"] in (7, 8)
    assert 0.35 < float(point["a"]) < 0.5
    assert constraint_holds(space.constraints[0], point)


def test_a_point_that_nothing_moves_into_the_constraints_is_none() -> None:
    """The parameters of the sum are inactive, and moves switch nothing on."""
    space = Space(
        parameters=(
            CategoricalParameter(name="m", choices=("p", "q")),
            FloatParameter(name="c", low=0.0, high=1.0, when=Condition(param="m", choices=("p",))),
        ),
        constraints=(_sum("c", ">=", 0.5),),
    )
    rows = RowSpace(space)
    (u,) = rows.encode([{"m": "q"}])
    assert Linear(rows).point(np.nan_to_num(u), np.random.default_rng(0)) is None
