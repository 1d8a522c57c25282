"""The choice among candidates, conditions, pending and failed trials, repeats."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest

from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    Params,
    Space,
    point_key,
)
from app.domain.study import Direction, Metric
from app.domain.trial import TrialSource, TrialState
from app.suggest.base import (
    FinishedTrial,
    PendingTrial,
    SuggestFunction,
    Suggestion,
    SuggestRequest,
)
from app.suggest.memory import SuggestMemory
from app.suggest.pareto import hypervolume
from app.suggest.random_search import suggest as random_search
from app.suggest.tpe import CROWDED, suggest

LOSS = (Metric(name="loss", direction=Direction.MINIMIZE),)
LINE = Space(parameters=(FloatParameter(name="x", low=0.0, high=1.0),))
SQUARE = Space(parameters=tuple(FloatParameter(name=n, low=0.0, high=1.0) for n in "xy"))
BRANCHES = Space(
    parameters=(
        CategoricalParameter(name="model", choices=("net", "forest")),
        IntParameter(name="trees", low=1, high=500, log=True, when=Condition(
            param="model", choices=("forest",))),
        FloatParameter(name="rate", low=1e-5, high=1.0, log=True, when=Condition(
            param="model", choices=("net",))),
        IntParameter(name="layers", low=1, high=6, when=Condition(
            param="model", choices=("net",))),
        FloatParameter(name="momentum", low=0.0, high=0.99, when=Condition(
            param="layers", low=3, high=6)),
    )
)  # fmt: skip


def done(number: int, params: Params, value: float | None) -> FinishedTrial:
    is_valued = value is not None and math.isfinite(value)
    return FinishedTrial(
        number=number,
        params=params,
        state=TrialState.COMPLETED if is_valued else TrialState.FAILED,
        values=None if value is None else (float(value),),
    )


def on_line(xs: Iterable[float], ys: Iterable[float | None]) -> tuple[FinishedTrial, ...]:
    trials = zip(xs, ys, strict=True)
    return tuple(
        done(k + 1, {"x": float(x)}, None if y is None else float(y))
        for k, (x, y) in enumerate(trials)
    )


def ask(
    space: Space,
    finished: Sequence[FinishedTrial] = (),
    pending: Sequence[Params] = (),
    *,
    count: int = 1,
    seed: int = 0,
    **options: object,
) -> tuple[Suggestion, ...]:
    n = len(finished)
    waiting = [PendingTrial(number=n + 1 + k, params=p) for k, p in enumerate(pending)]
    request = SuggestRequest(
        space=space,
        metrics=LOSS,
        finished=tuple(finished),
        pending=tuple(waiting),
        options=options,
        seed=seed,
        index=n + len(pending) + 1,
        count=count,
    )
    return suggest(request).suggestions


def spread(space: Space, finished: Sequence[FinishedTrial], name: str, n: int = 40) -> list[float]:
    """Values of one parameter over several seeds, where it is active."""
    points = [ask(space, finished, seed=seed)[0].params for seed in range(n)]
    return [float(p[name]) for p in points if name in p]


class TestModel:
    def test_starts_with_five_design_points(self) -> None:
        sources = [made.source for made in ask(SQUARE, count=7)]
        assert sources == [TrialSource.INITIAL] * 5 + [TrialSource.SUGGESTER] * 2

    def test_seeks_where_trials_were_good(self) -> None:
        xs = np.linspace(0.0, 1.0, 31)
        found = spread(LINE, on_line(xs, [abs(x - 0.8) for x in xs]), "x")
        assert np.mean(np.abs(np.array(found) - 0.8) < 0.15) > 0.8

    @pytest.mark.parametrize("border", [0.0, 1.0])
    def test_reaches_the_borders(self, border: float) -> None:
        xs = np.linspace(0.0, 1.0, 31)
        found = spread(LINE, on_line(xs, [abs(x - border) for x in xs]), "x")
        assert min(abs(x - border) for x in found) < 0.01
        assert all(0.0 <= x <= 1.0 for x in found)

    def test_keeps_away_from_failures(self) -> None:
        xs = [0.02 * k for k in range(25)] + [0.9]
        found = spread(LINE, on_line(xs, [None] * 25 + [1.0]), "x")
        assert np.mean(np.array(found) > 0.5) > 0.9

    def test_goes_farthest_from_failures_while_all_fail(self) -> None:
        found = spread(LINE, on_line([0.0, 0.05, 0.1, 0.15, 0.2, 0.25], [None] * 6), "x")
        assert np.median(found) > 0.7

    def test_keeps_away_from_pending_points(self) -> None:
        xs = np.linspace(0.0, 1.0, 21)
        finished = on_line(xs, [abs(x - 0.5) for x in xs])
        alone = [ask(LINE, finished, seed=s)[0].params["x"] for s in range(30)]
        waiting = [{"x": 0.48 + 0.004 * k} for k in range(12)]
        beside = [ask(LINE, finished, waiting, seed=s)[0].params["x"] for s in range(30)]
        near = [np.mean([abs(float(x) - 0.5) < 0.05 for x in xs]) for xs in (alone, beside)]
        assert near[1] < near[0]

    def test_pending_trials_do_not_change_what_counts_as_good(self) -> None:
        xs = np.linspace(0.0, 1.0, 10)
        waiting = [{"x": 0.001 * k + 0.0005} for k in range(40)]
        (made,) = ask(LINE, on_line(xs, list(xs)), waiting)
        assert made.provenance["n_below"] == 1
        assert made.provenance["n_above"] == 9
        assert made.provenance["n_pending"] == 40

    @pytest.mark.parametrize("seed", [0, 1])
    def test_parallel_workers_get_points_that_lie_apart(self, seed: int) -> None:
        """Eight workers that return their results in a random order."""
        rng = np.random.default_rng(seed)
        trials: list[FinishedTrial] = []
        waiting: dict[int, Params] = {}
        for number in range(1, 61):
            request = SuggestRequest(
                space=SQUARE,
                metrics=LOSS,
                finished=tuple(sorted(trials, key=lambda t: t.number)),
                pending=tuple(PendingTrial(number=k, params=p) for k, p in waiting.items()),
                seed=seed,
                index=number,
            )
            made = suggest(request).suggestions[0].params
            gaps = [max(abs(float(made[a]) - float(p[a])) for a in "xy") for p in waiting.values()]
            assert min(gaps, default=1.0) > CROWDED
            waiting[number] = made
            if len(waiting) == 8:
                back = int(rng.choice(list(waiting)))
                params = waiting.pop(back)
                value = sum((float(v) - 0.4) ** 2 for v in params.values())
                trials.append(done(back, params, value))

    def test_order_of_results_does_not_matter(self) -> None:
        rng = np.random.default_rng(2)
        trials = on_line(list(rng.random(20)), list(rng.random(20).round(1)))
        turned = tuple(reversed(trials))
        assert ask(LINE, trials)[0].params == ask(LINE, turned)[0].params

    def test_infeasible_trials_count_as_failed_whatever_they_report(self) -> None:
        xs = [0.05 * k for k in range(20)]
        trials = on_line(xs, [1.0 - x for x in xs])
        barred = [
            dataclasses.replace(t, state=TrialState.INFEASIBLE) if float(t.params["x"]) > 0.5 else t
            for t in trials
        ]
        plain = [
            dataclasses.replace(t, state=TrialState.FAILED, values=None)
            if float(t.params["x"]) > 0.5
            else t
            for t in trials
        ]
        assert ask(LINE, barred)[0].params == ask(LINE, plain)[0].params

    def test_ten_thousand_equal_points_are_tolerated(self) -> None:
        trials = [done(k + 1, {"x": 0.5, "y": 0.5}, 1.0) for k in range(10_000)]
        (made,) = ask(SQUARE, trials)
        assert made.params != {"x": 0.5, "y": 0.5}
        assert math.isfinite(made.provenance["log_ratio"])

    def test_says_what_it_knew(self) -> None:
        xs = np.linspace(0.0, 1.0, 40)
        (made,) = ask(LINE, on_line(xs, list(xs)), n_candidates=7)
        known = made.provenance
        assert known["model"] == "tpe"
        assert (known["n_below"], known["n_above"], known["n_candidates"]) == (4, 36, 7)
        assert type(known["log_ratio"]) is float
        assert "log l(x) - log g(x)" in known["reason"]

    def test_options_change_the_split(self) -> None:
        xs = np.linspace(0.0, 1.0, 40)
        assert ask(LINE, on_line(xs, list(xs)), gamma=0.25)[0].provenance["n_below"] == 10


class TestConditions:
    @staticmethod
    def loss(p: Params) -> float:
        if p["model"] == "forest":
            return 2.0 + abs(math.log(float(p["trees"])) - 3.0)
        return abs(math.log10(float(p["rate"])) + 2.0) + (0.0 if "momentum" in p else 1.0)

    def trials(self, n: int) -> list[FinishedTrial]:
        made = random_search(SuggestRequest(space=BRANCHES, metrics=LOSS, count=n)).suggestions
        return [done(k + 1, m.params, self.loss(m.params)) for k, m in enumerate(made)]

    def test_points_have_the_active_parameters_only(self) -> None:
        for made in ask(BRANCHES, self.trials(30), count=20):
            p = made.params
            assert ("trees" in p) == (p["model"] == "forest")
            assert ("rate" in p) == ("layers" in p) == (p["model"] == "net")
            assert ("momentum" in p) == (int(p.get("layers", 0)) >= 3)

    def test_the_better_branch_is_preferred(self) -> None:
        trials = self.trials(60)
        made = [ask(BRANCHES, trials, seed=s)[0].params for s in range(30)]
        assert np.mean([p["model"] == "net" for p in made]) > 0.8
        assert np.mean(["momentum" in p for p in made]) > 0.7

    def test_a_branch_without_trials_is_drawn_from_its_prior(self) -> None:
        trials = [t for t in self.trials(60) if t.params["model"] == "net"]
        numbered = [dataclasses.replace(t, number=k + 1) for k, t in enumerate(trials)]
        made = [ask(BRANCHES, numbered, seed=s, n_candidates=1)[0].params for s in range(120)]
        trees = [int(p["trees"]) for p in made if p["model"] == "forest"]
        assert len(set(trees)) > 1
        assert all(1 <= t <= 500 for t in trees)


class TestRepeats:
    def test_small_space_is_used_up_then_exhausted(self) -> None:
        space = Space(
            parameters=(
                CategoricalParameter(name="c", choices=(True, 1, "1")),
                IntParameter(name="n", low=1, high=5),
            )
        )
        request = SuggestRequest(space=space, metrics=LOSS, count=20)
        decision = suggest(request)
        assert decision.exhausted
        assert len({point_key(m.params) for m in decision.suggestions}) == 15

    def test_last_points_of_a_small_space_are_the_best_ones_first(self) -> None:
        space = Space(parameters=(IntParameter(name="n", low=1, high=1_000),))
        trials = [done(n, {"n": n}, abs(n - 700.0)) for n in range(1, 1_001) if n % 500 != 200]
        (made,) = ask(space, trials)
        assert made.params == {"n": 700}

    def test_known_points_are_known_whatever_the_type_of_number(self) -> None:
        space = Space(parameters=(FloatParameter(name="x", low=0.0, high=2.0, step=1.0),))
        trials = [done(k + 1, {"x": x}, 1.0) for k, x in enumerate((0, 1))]
        assert ask(space, trials, count=3, n_initial=1)[0].params == {"x": 2.0}

    def test_unit_range_of_a_billion_values_is_no_list(self) -> None:
        space = Space(
            parameters=(
                IntParameter(name="even", low=0, high=10**9),
                IntParameter(name="log", low=1, high=10**9, log=True),
            )
        )
        points = [{"even": 10**8 * k, "log": 10**k} for k in range(1, 10)]
        trials = [done(k + 1, p, float(k)) for k, p in enumerate(points)]
        for made in ask(space, trials, count=5):
            assert type(made.params["even"]) is int
            assert 0 <= int(made.params["even"]) <= 10**9
            assert 1 <= int(made.params["log"]) <= 10**9


class TestMemory:
    """A study's memory changes what an ask costs, and nothing else."""

    @pytest.mark.parametrize("space", [BRANCHES, SQUARE], ids=["branches", "square"])
    @pytest.mark.parametrize("seed", [0, 1])
    def test_suggestions_are_the_same_without_it(self, space: Space, seed: int) -> None:
        """Results that arrive in any order, failures, three workers."""
        rng, memory = np.random.default_rng(seed), SuggestMemory()
        trials: list[FinishedTrial] = []
        waiting: dict[int, Params] = {}
        for number in range(1, 41):
            request = SuggestRequest(
                space=space,
                metrics=LOSS,
                finished=tuple(sorted(trials, key=lambda t: t.number)),
                pending=tuple(PendingTrial(number=k, params=p) for k, p in waiting.items()),
                seed=seed,
                index=number,
                memory=memory,
            )
            made = suggest(request)
            assert made == suggest(dataclasses.replace(request, memory=None))
            waiting[number] = made.suggestions[0].params
            while len(waiting) > 2:
                back = int(rng.choice(list(waiting)))
                value = None if rng.random() < 0.1 else float(rng.random())
                trials.append(done(back, waiting.pop(back), value))

    def test_it_may_have_seen_another_history(self) -> None:
        xs = np.linspace(0.0, 1.0, 30)
        first, other = on_line(xs, list(xs)), on_line(1.0 - xs, [None, *xs[1:]])
        request = SuggestRequest(
            space=LINE, metrics=LOSS, finished=first, index=31, memory=SuggestMemory()
        )
        alone = suggest(dataclasses.replace(request, memory=None))
        suggest(dataclasses.replace(request, finished=other))
        suggest(dataclasses.replace(request, finished=first[:7]))
        assert suggest(request) == alone


class TestSeveralObjectives:
    METRICS = (
        Metric(name="a", direction=Direction.MINIMIZE),
        Metric(name="b", direction=Direction.MAXIMIZE),
    )

    @staticmethod
    def values(p: Params) -> tuple[float, float]:
        """The front is y = 0, all along x."""
        x, y = float(p["x"]), float(p["y"])
        return x * x + y * y, -((x - 1.0) ** 2) - y * y

    def volume(self, run: SuggestFunction, seed: int) -> float:
        """Hypervolume after 50 trials."""
        trials: list[FinishedTrial] = []
        for number in range(1, 51):
            request = SuggestRequest(
                space=SQUARE,
                metrics=self.METRICS,
                finished=tuple(trials),
                seed=seed,
                index=number,
            )
            params = run(request).suggestions[0].params
            trial = done(number, params, 0.0)
            trials.append(dataclasses.replace(trial, values=self.values(params)))
        y = np.array([trial.values for trial in trials]) * [1.0, -1.0]
        return hypervolume(y, np.ones(2))

    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_the_front_is_filled_better_than_by_chance(self, seed: int) -> None:
        """All of the front has a volume of 5 / 6."""
        found = self.volume(suggest, seed)
        assert found > self.volume(random_search, seed)
        assert found > 0.78

    def test_points_within_the_constraint_are_sought(self) -> None:
        metrics = (*LOSS, Metric(name="size", direction=Direction.MINIMIZE, role="constraint",
                                 threshold=0.4))  # fmt: skip
        xs = np.linspace(0.0, 1.0, 41)
        trials = tuple(
            dataclasses.replace(trial, values=(1.0 - float(x), float(x)))
            for x, trial in zip(xs, on_line(xs, [0.0] * 41), strict=True)
        )
        request = SuggestRequest(space=LINE, metrics=metrics, finished=trials, index=42)
        made = [suggest(dataclasses.replace(request, seed=s)).suggestions[0] for s in range(40)]
        found = np.array([float(m.params["x"]) for m in made])
        assert np.mean((found > 0.25) & (found < 0.5)) > 0.7


BOWL = Space(parameters=tuple(FloatParameter(name=f"x{k}", low=-1.0, high=1.0) for k in range(4)))
MIXED = Space(
    parameters=(
        FloatParameter(name="rate", low=1e-6, high=1.0, log=True),
        IntParameter(name="units", low=1, high=512, log=True),
        CategoricalParameter(name="act", choices=("a", "b", "c", "d")),
        FloatParameter(name="share", low=0.0, high=1.0, step=0.05),
    )
)


def bowl(p: Params) -> float:
    return sum((float(v) - 0.3) ** 2 for v in p.values())


def mixed(p: Params) -> float:
    loss = (math.log10(float(p["rate"])) + 3.0) ** 2 + (math.log2(float(p["units"])) - 6.0) ** 2
    return loss + {"a": 2.0, "b": 0.0, "c": 1.0, "d": 3.0}[str(p["act"])] + float(p["share"])


def best_of_study(
    run: SuggestFunction, space: Space, f: Callable[[Params], float], seed: int
) -> float:
    trials: list[FinishedTrial] = []
    for number in range(1, 51):
        request = SuggestRequest(
            space=space, metrics=LOSS, finished=tuple(trials), seed=seed, index=number
        )
        decision = run(request)
        params = decision.suggestions[0].params
        trials.append(done(number, params, f(params)))
    return min(t.values[0] for t in trials if t.values)


@pytest.mark.parametrize(("space", "f"), [(BOWL, bowl), (MIXED, mixed)], ids=["bowl", "mixed"])
def test_beats_random_search(space: Space, f: Callable[[Params], float]) -> None:
    ours = [best_of_study(suggest, space, f, seed) for seed in range(4)]
    blind = [best_of_study(random_search, space, f, seed) for seed in range(4)]
    assert np.median(ours) < 0.5 * np.median(blind)
    assert sum(a < b for a, b in zip(ours, blind, strict=True)) >= 3
