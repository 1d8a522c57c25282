"""Shares against closed forms, symmetries, branches, and studies with little to say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, replace

import numpy as np
import pytest

from app.analysis.axes import Floats, active_axes, places
from app.analysis.forest import TooFewTrials, grow
from app.analysis.importance import Block, importance
from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    Params,
    Space,
)

from .spaces import (
    ISHIGAMI_PAIR,
    ISHIGAMI_SHARES,
    LINEAR_SHARES,
    cube,
    ishigami,
    linear,
    sobol_g,
    sobol_g_shares,
    uniform,
)


def first_block(space: Space, x: Floats, values: Floats, clip: float = 1.0) -> Block:
    return importance(space, x, values, is_maximized=False, clip=clip)[0]


def singles(block: Block) -> dict[str, float]:
    return {s.param: s.share for s in block.shares if s.pair is None}


def pairs(block: Block) -> dict[tuple[str, str], float]:
    return {(s.param, s.pair): s.share for s in block.shares if s.pair is not None}


def columns(block: Block, p: int) -> Floats:
    found = singles(block)
    return np.array([found[f"x{j}"] for j in range(p)])


@pytest.mark.parametrize(("n", "most"), [(1_000, 0.06), (10_000, 0.04)])
@pytest.mark.parametrize(
    ("function", "truth"),
    [(sobol_g, sobol_g_shares()), (linear, LINEAR_SHARES)],
    ids=["sobol-g", "linear"],
)
def test_shares_are_those_of_the_closed_form(
    function: Callable[[Floats], Floats], truth: Floats, n: int, most: float
) -> None:
    x = uniform(n, len(truth))
    found = columns(first_block(cube(len(truth)), x, function(x)), len(truth))
    assert np.abs(found - truth).max() <= most


@pytest.mark.parametrize(("n", "most"), [(4_000, 0.06), (10_000, 0.04)])
def test_ishigami_has_its_shares_and_its_one_pair(n: int, most: float) -> None:
    x = uniform(n, 3)
    block = first_block(cube(3), x, ishigami(x))
    assert np.abs(columns(block, 3) - ISHIGAMI_SHARES).max() <= most
    found = pairs(block)
    assert next(iter(found)) == ("x0", "x2")
    assert found["x0", "x2"] == pytest.approx(ISHIGAMI_PAIR, abs=0.04)
    assert max(v for key, v in found.items() if key != ("x0", "x2")) < 0.04
    # What no single parameter explains is mostly that pair.
    assert block.unexplained == pytest.approx(1 - ISHIGAMI_SHARES.sum(), abs=0.08)


@pytest.mark.parametrize("n", [1_000, 4_000])
def test_an_additive_function_has_its_parameters_in_order(n: int) -> None:
    x = uniform(n, 8)
    block = first_block(cube(8), x, linear(x))
    order = [s.param for s in block.shares if s.pair is None]
    assert order[:6] == [f"x{j}" for j in range(6)]


def test_what_does_nothing_has_no_share() -> None:
    x = uniform(2_000, 12)
    found = columns(first_block(cube(12), x, linear(x)), 12)
    assert found[8:].max() < 0.005


def test_a_pair_without_singles_is_found_among_many() -> None:
    x = uniform(3_000, 20)
    block = first_block(cube(20), x, np.sign(x[:, 4] - 0.5) * np.sign(x[:, 11] - 0.4))
    assert next(iter(pairs(block))) == ("x4", "x11")
    assert len(pairs(block)) == 10


def test_shares_are_the_variances_of_the_trees_in_full() -> None:
    space = Space(
        parameters=(
            FloatParameter(name="x", low=0, high=1),
            CategoricalParameter(name="c", choices=("a", "b", "c")),
            IntParameter(name="k", low=1, high=5, log=True),
        )
    )
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.random(200), rng.integers(0, 3, 200), rng.random(200)])
    values = x[:, 0] * x[:, 1] + x[:, 2]
    block = first_block(space, x, values)
    forest = grow(list(active_axes(space, {}).values()), x, values, seed=0)
    starts = forest.layout.starts
    w = [forest.layout.masses[starts[j] : starts[j + 1]] for j in range(3)]
    shares = []
    for tree in forest.trees:
        parts = [tree.inside[:, starts[j] : starts[j + 1]] * 1.0 for j in range(3)]
        full = np.einsum("l,lx,lc,lk->xck", tree.values, *parts)
        full -= np.einsum("xck,x,c,k->", full, *w)
        one = np.einsum("xck,c,k->x", full, w[1], w[2]) ** 2 @ w[0]
        two = np.einsum("xck,x,k->c", full, w[0], w[2]) ** 2 @ w[1]
        joint = np.einsum("xck,k->xc", full, w[2]) ** 2
        both = w[0] @ joint @ w[1]
        shares.append(
            np.array([one, two, both - one - two]) / np.einsum("xck,x,c,k->", full**2, *w)
        )
    mean = np.mean(shares, axis=0)
    assert singles(block)["x"] == pytest.approx(mean[0], abs=1e-6)
    assert singles(block)["c"] == pytest.approx(mean[1], abs=1e-6)
    assert pairs(block)["x", "c"] == pytest.approx(mean[2], abs=1e-6)
    low, high = np.quantile([s[0] for s in shares], (0.05, 0.95))
    found = next(s for s in block.shares if s.param == "x" and s.pair is None)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


def test_the_same_call_gives_the_same_bits() -> None:
    x = uniform(600, 5)
    calls = [importance(cube(5), x, ishigami(x), is_maximized=False) for _ in range(2)]
    assert calls[0] == calls[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda x, y: (x, 1e6 + y, False),
        lambda x, y: (x, 1e-9 * y, False),
        lambda x, y: (x, -y, True),
        lambda x, y: (x[::-1], y[::-1], False),
    ],
    ids=["shifted", "scaled", "turned", "reordered"],
)
def test_shares_do_not_depend_on_how_values_are_given(change: Callable[..., tuple]) -> None:
    x = uniform(600, 4)
    before = importance(cube(4), x, ishigami(x), is_maximized=False)[0]
    places_, values, is_maximized = change(x, ishigami(x))
    after = importance(cube(4), places_, values, is_maximized=is_maximized)[0]
    assert [(s.param, s.pair) for s in after.shares] == [(s.param, s.pair) for s in before.shares]
    assert [s.share for s in after.shares] == pytest.approx(
        [s.share for s in before.shares], abs=1e-4
    )


def test_a_logarithm_taken_before_changes_nothing() -> None:
    exponents = -5 + 4 * uniform(300, 2)
    logged = Space(parameters=(FloatParameter(name="x0", low=-5, high=-1), cube(2).parameters[1]))
    raw = replace(
        logged,
        parameters=(
            FloatParameter(name="x0", low=1e-5, high=1e-1, log=True),
            cube(2).parameters[1],
        ),
    )
    values = ishigami(np.column_stack([uniform(300, 2), np.zeros(300)]))
    found = []
    for space, first in ((logged, exponents[:, 0]), (raw, 10.0 ** exponents[:, 0])):
        points: list[Params] = [
            {"x0": float(a), "x1": float(b)}
            for a, b in zip(first, uniform(300, 2)[:, 1], strict=True)
        ]
        found.append(columns(first_block(space, places(space, points), values), 2))
    assert found[0].tolist() == pytest.approx(found[1].tolist(), abs=1e-6)


def test_clipping_asks_what_matters_among_the_better_ones() -> None:
    x = uniform(2_000, 2)
    # One parameter ruins a tenth of the trials, the other one decides among the rest.
    values = np.where(x[:, 0] > 0.9, 100.0, 0.0) + x[:, 1]
    assert next(iter(singles(first_block(cube(2), x, values)))) == "x0"
    assert next(iter(singles(first_block(cube(2), x, values, clip=0.5)))) == "x1"
    maximized = importance(cube(2), x, -values, is_maximized=True, clip=0.5)[0]
    assert singles(maximized) == singles(first_block(cube(2), x, values, clip=0.5))


@pytest.mark.parametrize("clip", [0.0, -1.0, 1.5, math.nan])
def test_a_clip_that_is_no_quantile_is_refused(clip: float) -> None:
    with pytest.raises(ValueError, match="clip"):
        first_block(cube(1), uniform(20, 1), np.arange(20.0), clip=clip)


WHEN_NET = Condition(param="model", choices=("net",))
WHEN_DEEP = Condition(param="layers", low=3)
BRANCHED = Space(
    parameters=(
        CategoricalParameter(name="model", choices=("tree", "net", "line")),
        FloatParameter(name="rate", low=0, high=1),
        IntParameter(name="layers", low=1, high=4, when=WHEN_NET),
        FloatParameter(name="skip", low=0, high=1, when=WHEN_DEEP),
        FloatParameter(
            name="depth", low=0, high=1, when=Condition(param="model", choices=("tree",))
        ),
    )
)


def branched(n: int, n_tree: int) -> tuple[Floats, Floats]:
    """Trials of which the first `n_tree` are trees; a net's value is its skip or its layers."""
    rng = np.random.default_rng(0)
    points, values = [], []
    for i in range(n):
        params: dict[str, str | int | float] = {"model": "tree", "rate": float(rng.random())}
        if i < n_tree:
            params["depth"] = float(rng.random())
            values.append(10.0)
        elif i % 2:
            params |= {"model": "net", "layers": int(rng.integers(1, 5))}
            values.append(float(params["layers"]))
            if params["layers"] > 2:
                params["skip"] = float(rng.random())
                values[-1] = 3.0 + params["skip"]
        else:
            params["model"] = "line"
            values.append(float(rng.random()))
        points.append(params)
    return places(BRANCHED, points), np.array(values)


def test_each_condition_has_a_block_of_its_own_trials_and_parameters() -> None:
    x, values = branched(800, 100)
    all_, net, deep, tree = importance(BRANCHED, x, values, is_maximized=False, clip=1.0)
    assert (all_.condition, all_.n, all_.trial_share) == (None, 800, 1.0)
    assert set(singles(all_)) == {"model", "rate"}
    assert singles(all_)["model"] > 0.9
    assert (net.condition, net.n) == (WHEN_NET, 350)
    assert net.trial_share == pytest.approx(350 / 800)
    # The condition leaves the model no freedom, so it has no share there.
    assert set(singles(net)) == {"rate", "layers"}
    assert singles(net)["layers"] > 0.8
    assert deep.condition == WHEN_DEEP
    assert set(singles(deep)) == {"rate", "layers", "skip"}
    assert singles(deep)["skip"] > 0.9
    assert (tree.n, set(singles(tree))) == (100, {"rate", "depth"})
    assert set(singles(tree).values()) == {0.0}


@pytest.mark.parametrize("n", [0, 1, 9])
def test_a_branch_of_few_trials_is_named_without_shares(n: int) -> None:
    x, values = branched(200, n)
    tree = importance(BRANCHED, x, values, is_maximized=False)[3]
    assert (tree.n, tree.shares, tree.r2_oob, tree.unexplained) == (n, (), None, None)


def test_branches_of_true_and_of_1_are_two() -> None:
    space = Space(
        parameters=(
            CategoricalParameter(name="c", choices=(1, True)),
            FloatParameter(name="x", low=0, high=1, when=Condition(param="c", choices=(1,))),
            FloatParameter(name="y", low=0, high=1, when=Condition(param="c", choices=(True,))),
        )
    )
    u = uniform(40, 1)[:, 0]
    points: list[Params] = [
        {"c": 1, "x": float(v)} if i % 2 else {"c": True, "y": float(v)} for i, v in enumerate(u)
    ]
    blocks = importance(space, places(space, points), u, is_maximized=False)
    assert [set(singles(block)) for block in blocks] == [{"c"}, {"x"}, {"y"}]
    assert [block.n for block in blocks] == [40, 20, 20]


def is_finite(blocks: tuple[Block, ...]) -> bool:
    shares = [astuple(s)[2:] for block in blocks for s in block.shares]
    rest = [(b.r2_oob, b.unexplained, b.trial_share) for b in blocks if b.shares]
    return bool(np.isfinite(np.array([*shares, *rest], dtype=np.float64)).all())


@pytest.mark.parametrize(
    "values",
    [
        np.full(30, 0.1),
        np.zeros(30),
        1.7e308 * np.linspace(-1, 1, 30),
        np.linspace(1.0, 2.0, 30) * 5e-324,
        1e308 + 1e292 * np.arange(30),
        np.r_[np.zeros(29), 1e300],
    ],
    ids=["equal", "zero", "huge", "tiny", "nearly-equal", "one-off"],
)
def test_any_finite_values_give_finite_shares(values: Floats) -> None:
    for clip in (1.0, 0.9):
        assert is_finite(importance(cube(3), uniform(30, 3), values, is_maximized=True, clip=clip))


def test_equal_values_leave_all_shares_at_0() -> None:
    block = first_block(cube(3), uniform(30, 3), np.full(30, 0.1))
    assert {s.share for s in block.shares} == {0.0}
    assert (block.r2_oob, block.unexplained) == (0.0, 1.0)


@pytest.mark.parametrize("p", [1, 50])
def test_one_parameter_and_fifty_have_an_answer(p: int) -> None:
    x = uniform(60, p)
    blocks = importance(cube(p), x, x[:, 0], is_maximized=False)
    assert is_finite(blocks)
    assert next(iter(singles(blocks[0]))) == "x0"
    assert len(singles(blocks[0])) == p
    assert len(pairs(blocks[0])) == (10 if p > 1 else 0)


def test_a_parameter_of_one_value_has_share_0() -> None:
    space = Space(
        parameters=(
            *cube(1).parameters,
            CategoricalParameter(name="c", choices=("only",)),
            FloatParameter(name="f", low=3.0, high=3.0),
        )
    )
    x = np.column_stack([uniform(40, 1), np.zeros((40, 2))])
    found = singles(first_block(space, x, x[:, 0]))
    assert (found["c"], found["f"]) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert found["x0"] == pytest.approx(1.0)


def test_values_that_are_not_finite_are_left_out() -> None:
    x = uniform(40, 2)
    values = x[:, 0].copy()
    values[:3] = (math.nan, math.inf, -math.inf)
    assert first_block(cube(2), x, values) == first_block(cube(2), x[3:], values[3:])


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_too_few_finite_values_are_refused_with_their_number(n: int) -> None:
    values = np.full(20, math.nan)
    values[:n] = 1.0
    with pytest.raises(TooFewTrials) as refusal:
        first_block(cube(2), uniform(20, 2), values)
    assert refusal.value.n == n
