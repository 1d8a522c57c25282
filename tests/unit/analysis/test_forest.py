"""The forest: leaves that tile the space, equal for equal trials, honest about what it knows."""

from __future__ import annotations

import numpy as np
import pytest

from app.analysis.axes import active_axes
from app.analysis.forest import MIN_TRIALS, Forest, TooFewTrials, grow, marginal
from app.domain.space import CategoricalParameter, FloatParameter, IntParameter, Space

from .spaces import cube, ishigami, linear, uniform

MIXED = Space(
    parameters=(
        FloatParameter(name="x", low=0, high=1),
        CategoricalParameter(name="c", choices=("a", "b", "c", "d", "e")),
        IntParameter(name="k", low=1, high=9, log=True),
    )
)


def mixed_forest(n: int = 300, seed: int = 0) -> Forest:
    rng = np.random.default_rng(seed)
    axes = list(active_axes(MIXED, {}).values())
    places = np.column_stack([rng.random(n), rng.integers(0, 5, n), rng.random(n)])
    values = places[:, 0] * np.array([3.0, -1.0, 2.0, 0.0, -2.0])[places[:, 1].astype(int)]
    return grow(axes, places, values + places[:, 2], seed=seed)


def test_leaves_are_disjoint_and_fill_the_space() -> None:
    forest = mixed_forest()
    starts = forest.layout.starts
    for tree in forest.trees:
        first, second, third = (tree.inside[:, starts[j] : starts[j + 1]] for j in range(3))
        covered = np.einsum("lx,lc,lk->xck", first * 1, second * 1, third * 1)
        assert (covered == 1).all()
        assert tree.extents.prod(axis=1).sum() == pytest.approx(1.0)


def test_marginals_are_those_of_the_tree_in_full() -> None:
    forest = mixed_forest()
    starts, masses = forest.layout.starts, forest.layout.masses
    parts = [slice(starts[j], starts[j + 1]) for j in range(3)]
    weights = [masses[part] for part in parts]
    for tree in forest.trees[:4]:
        blocks = [tree.inside[:, part] * 1.0 for part in parts]
        full = np.einsum("l,lx,lc,lk->xck", tree.values, *blocks)
        mean = np.einsum("xck,x,c,k->", full, *weights)
        assert tree.mean == pytest.approx(mean)
        variance = np.einsum("xck,x,c,k->", (full - mean) ** 2, *weights)
        assert tree.variance == pytest.approx(variance)
        joint = np.einsum("xck,k->xc", full, weights[2]) - mean
        assert np.allclose(marginal(forest.layout, tree, 0, 1), joint, atol=1e-12)


def test_a_step_is_found_where_it_is() -> None:
    places = np.linspace(0, 1, 400)[:, None]
    axes = list(active_axes(cube(1), {}).values())
    forest = grow(axes, places, (places[:, 0] > 0.25).astype(float), seed=0)
    assert forest.r2_oob == pytest.approx(1.0, abs=0.01)
    for tree in forest.trees:
        assert forest.centre + forest.scale * tree.mean == pytest.approx(0.75, abs=1e-6)


def test_unordered_choices_are_told_apart_in_one_cut() -> None:
    space = Space(parameters=(CategoricalParameter(name="c", choices=tuple("abcdef")),))
    places = np.tile(np.arange(6.0), 20)[:, None]
    values = (places[:, 0] % 2).copy()
    forest = grow(list(active_axes(space, {}).values()), places, values, seed=0)
    assert all(len(tree.values) == 2 for tree in forest.trees)
    assert forest.r2_oob == pytest.approx(1.0)


def test_the_untried_middle_belongs_to_both_sides() -> None:
    places = np.array([[0.0]] * 50 + [[1.0]] * 50)
    axes = list(active_axes(cube(1), {}).values())
    forest = grow(axes, places, places[:, 0].copy(), seed=0)
    assert all(tree.mean == pytest.approx(0.0, abs=1e-6) for tree in forest.trees)


def test_the_same_trials_give_the_same_forest_bit_for_bit_in_any_order() -> None:
    x = uniform(500, 3)
    axes = list(active_axes(cube(3), {}).values())
    first = grow(axes, x, ishigami(x), seed=3)
    order = np.random.default_rng(1).permutation(500)
    for again in (
        grow(axes, x, ishigami(x), seed=3),
        grow(axes, x[order], ishigami(x)[order], seed=3),
    ):
        assert again.r2_oob == pytest.approx(first.r2_oob, abs=1e-12)
        for one, two in zip(first.trees, again.trees, strict=True):
            assert np.array_equal(one.inside, two.inside)
    other = grow(axes, x, ishigami(x), seed=4)
    assert other.r2_oob != first.r2_oob


def test_the_forest_explains_trials_that_it_did_not_see_or_says_that_it_does_not() -> None:
    x = uniform(1_000, 8)
    axes = list(active_axes(cube(8), {}).values())
    assert grow(axes, x, linear(x), seed=0).r2_oob > 0.85
    noise = np.random.default_rng(1).normal(size=1_000)
    assert grow(axes, x, noise, seed=0).r2_oob < 0.05


@pytest.mark.parametrize("value", [0.0, 0.1, 1e150, -3.3e-300])
def test_equal_values_give_one_leaf(value: float) -> None:
    x = uniform(37, 2)
    forest = grow(list(active_axes(cube(2), {}).values()), x, np.full(37, value), seed=0)
    assert all(len(tree.values) == 1 for tree in forest.trees)
    assert forest.r2_oob == 0.0


@pytest.mark.parametrize("n", [0, 1, 9])
def test_too_few_trials_are_refused_with_their_number(n: int) -> None:
    with pytest.raises(TooFewTrials, match=f"Needs 10 completed trials, {n} so far") as refusal:
        grow(list(active_axes(cube(2), {}).values()), uniform(n, 2), np.ones(n), seed=0)
    assert (refusal.value.n, refusal.value.needed) == (n, MIN_TRIALS)
