"""The adaptation replayed from a history: generations, restarts, failures, late and imported
results, integers and categories, constraints.
"""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest, truncnorm

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
from app.domain.trial import TrialSource, TrialState
from app.suggest import cmaes
from app.suggest.base import FinishedTrial, PendingTrial, SuggestRequest
from app.suggest.cmaes_space import INACTIVE, Layout
from app.suggest.design import satisfies
from app.suggest.memory import SuggestMemory

LOSS = (Metric(name="loss", direction=Direction.MINIMIZE),)
CUBE = Space(parameters=tuple(FloatParameter(name=n, low=-5.0, high=5.0) for n in "abc"))
MIXED = Space(
    parameters=(
        FloatParameter(name="x", low=0.0, high=1.0),
        IntParameter(name="n", low=0, high=20),
        CategoricalParameter(name="kind", choices=("a", "b", "c", "d")),
        CategoricalParameter(name="flag", choices=(False, True)),
        IntParameter(name="many", low=1, high=10**6, log=True),
        IntParameter(name="one", low=4, high=4),
        FloatParameter(
            name="extra", low=0.0, high=1.0, when=Condition(param="kind", choices=("b",))
        ),
    )
)
WORDS = Space(
    parameters=tuple(CategoricalParameter(name=f"c{k}", choices=tuple("vwxyz")) for k in range(8))
)


def bowl(p: Params) -> float:
    return sum((float(x) - 1.3) ** 2 for x in p.values())


def valley(p: Params) -> float:
    miss = (float(p["x"]) - 0.3) ** 2 + abs(float(p["n"]) - 13) / 10
    return miss + "bacd".index(str(p["kind"])) + (not p["flag"]) + abs(math.log10(p["many"]) - 2)  # type: ignore[arg-type]


def trial(number: int, params: Params, y: float | None) -> FinishedTrial:
    return FinishedTrial(
        number=number,
        params=params,
        state=TrialState.FAILED if y is None else TrialState.COMPLETED,
        values=None if y is None else (y,),
    )


def ask(
    space: Space,
    finished: tuple[FinishedTrial, ...],
    pending: tuple[PendingTrial, ...] = (),
    **more: Any,
) -> SuggestRequest:
    fields: dict[str, Any] = {"index": len(finished) + len(pending) + 1, "seed": 3, **more}
    return SuggestRequest(space=space, metrics=LOSS, finished=finished, pending=pending, **fields)


def studied(
    space: Space, f: Callable[[Params], float | None], n: int, **more: Any
) -> tuple[tuple[FinishedTrial, ...], list[dict[str, Any]]]:
    """A study of `n` trials one at a time, and the provenances."""
    known: tuple[FinishedTrial, ...] = ()
    seen, memory = [], SuggestMemory()
    for number in range(1, n + 1):
        (made,) = cmaes.suggest(ask(space, known, memory=memory, **more)).suggestions
        known = (*known, trial(number, made.params, f(made.params)))
        seen.append(made.provenance)
    return known, seen


def best(known: tuple[FinishedTrial, ...]) -> float:
    return min(t.values[0] for t in known if t.values)


def uniform(space: Space, n: int, f: Callable[[Params], float | None]) -> tuple[Any, ...]:
    """Results at random points, as they may be imported."""
    rng, encoder = np.random.default_rng(8), Layout(space).encoder
    points = [encoder.from_unit(u) for u in rng.random((n, encoder.d))]
    return tuple(trial(k, p, f(p)) for k, p in enumerate(points, start=1))


def test_importing_the_module_does_not_load_the_library() -> None:
    code = "import sys, app.suggest.cmaes; print('cmaes' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_a_bowl_is_solved() -> None:
    known, seen = studied(CUBE, bowl, 220, seed=1)
    assert best(known) < 1e-3
    assert seen[-1]["model"] == "CMA-ES"
    assert seen[-1]["generation"] > 25
    assert seen[-1]["largest_sd"] < 0.01


def test_integers_categories_and_conditions_are_solved() -> None:
    known, seen = studied(MIXED, valley, 250, seed=2)
    assert best(known) < 0.05
    assert seen[-1]["model"] == "CatCMA with margin"


def test_a_space_of_categories_alone_is_solved() -> None:
    known, seen = studied(
        WORDS, lambda p: float(sum("xvwyz".index(str(v)) for v in p.values())), 150
    )
    assert best(known) == 0.0
    assert seen[-1]["largest_sd"] is None
    assert len({point_key(t.params) for t in known}) == 150


def test_integers_do_not_freeze() -> None:
    """With a margin an integer that looked settled is still varied."""
    space = Space(
        parameters=(
            IntParameter(name="n", low=0, high=9),
            *(FloatParameter(name=n, low=0.0, high=1.0) for n in "xy"),
        )
    )
    known, _ = studied(
        space, lambda p: (float(p["x"]) - 0.2) ** 2 + (float(p["y"]) - 0.7) ** 2, 150
    )
    assert len({t.params["n"] for t in known[-60:]}) > 1


def test_generations_close_when_they_are_full() -> None:
    _, seen = studied(CUBE, bowl, 25, options={"n_initial": 4, "population": 6})
    assert [p.get("generation") for p in seen[:4]] == [None] * 4
    assert [p["generation"] for p in seen[4:]] == [0] * 6 + [1] * 6 + [2] * 6 + [3] * 3


def test_a_result_that_is_waited_for_holds_its_generation_until_another_is_full() -> None:
    options = {"n_initial": 4, "population": 6}
    known, _ = studied(CUBE, bowl, 40, options=options)
    late = known[6]

    def generation(n: int) -> int:
        rest = tuple(t for t in known[:n] if t is not late)
        pending = (PendingTrial(number=late.number, params=late.params),)
        (made,) = cmaes.suggest(ask(CUBE, rest, pending, options=options)).suggestions
        return int(made.provenance["generation"])

    assert [generation(n) for n in (9, 10, 15, 16, 22)] == [0, 0, 0, 2, 3]


def test_a_late_result_takes_its_place_as_if_it_had_come_in_time() -> None:
    known, _ = studied(CUBE, bowl, 40)
    in_order = cmaes.suggest(ask(CUBE, known, count=3))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(known))
        assert cmaes.suggest(ask(CUBE, tuple(known[k] for k in order), count=3)) == in_order


def test_a_cancelled_trial_leaves_a_gap_that_is_not_waited_for() -> None:
    options = {"n_initial": 4, "population": 6}
    known, _ = studied(CUBE, bowl, 16, options=options)
    rest = tuple(t for t in known if t.number not in (7, 8))
    (made,) = cmaes.suggest(ask(CUBE, rest, index=17, options=options)).suggestions
    assert made.provenance["generation"] == 2
    assert made.provenance["n_told"] == 10


def test_failures_drive_the_search_away() -> None:
    def f(p: Params) -> float | None:
        return None if float(p["a"]) > 1.0 else bowl(p)

    known, _ = studied(CUBE, f, 150)
    late = [t for t in known[-40:] if t.values is None]
    assert len(late) < 25
    assert best(known) < 0.3


def test_a_generation_of_failures_alone_moves_the_distribution() -> None:
    options = {"n_initial": 4, "population": 6}
    known, _ = studied(CUBE, bowl, 16, options=options)
    failed = (*known[:10], *(trial(t.number, t.params, None) for t in known[10:]))
    made = [cmaes.suggest(ask(CUBE, k, options=options)).suggestions[0] for k in (known, failed)]
    assert made[1].provenance["generation"] == 2
    assert made[0].params != made[1].params


def test_only_the_order_of_results_counts() -> None:
    known, _ = studied(CUBE, bowl, 60)
    bent = tuple(trial(t.number, t.params, math.exp(t.values[0]) - 9.0) for t in known if t.values)
    assert cmaes.suggest(ask(CUBE, bent)) == cmaes.suggest(ask(CUBE, known))


def test_results_beyond_a_threshold_come_after_all_others() -> None:
    metrics = (
        *LOSS,
        Metric(name="m", direction=Direction.MINIMIZE, role="constraint", threshold=1),
    )
    known, _ = studied(CUBE, bowl, 30)
    within = {t.number: (t.number % 3 == 0) for t in known}
    told = tuple(
        dataclasses.replace(t, values=(t.values[0], 0.0 if within[t.number] else 2.0))
        for t in known
        if t.values
    )
    from app.suggest.ranking import ranks_of

    ranks = ranks_of(dataclasses.replace(ask(CUBE, told), metrics=metrics))
    good = np.array([within[t.number] for t in told])
    assert ranks[good].max() < ranks[~good].min()


def test_a_converged_run_is_followed_by_one_of_twice_the_population() -> None:
    space = Space(parameters=CUBE.parameters[:2])
    _, seen = studied(space, lambda p: sum(float(x) ** 2 for x in p.values()), 260)
    assert seen[-1]["run"] > 1
    populations = {p["run"]: p["population"] for p in seen if "run" in p}
    assert [populations[run] for run in (1, 2)] == [6, 12]
    assert seen[-1]["last_run_ended"] == "converged"
    first = next(p for p in seen if p.get("run") == 2)
    assert first["largest_sd"] == pytest.approx(0.2)


def test_large_and_small_populations_take_turns() -> None:
    space = Space(parameters=CUBE.parameters[:1])
    _, seen = studied(space, lambda p: abs(float(p["a"])), 400, options={"restarts": "bipop"})
    assert {p["regime"] for p in seen if "regime" in p} == {"first", "large", "small"}


def test_without_restarts_there_is_one_run() -> None:
    space = Space(parameters=CUBE.parameters[:1])
    _, seen = studied(space, lambda p: abs(float(p["a"])), 200, options={"restarts": "none"})
    assert seen[-1]["run"] == 1


def test_constant_results_end_a_run() -> None:
    _, seen = studied(CUBE, lambda p: 1.0, 200)
    assert seen[-1]["run"] > 1
    assert "were equal" in seen[-1]["last_run_ended"]


def test_imported_results_are_what_the_first_run_starts_from() -> None:
    known = uniform(CUBE, 200, bowl)
    made = cmaes.suggest(ask(CUBE, known, count=20)).suggestions
    assert made[0].provenance["n_start"] >= 50
    assert np.mean([bowl(s.params) for s in made]) < 0.3 * np.mean([t.values[0] for t in known])


def test_its_own_results_are_never_taken_for_imported_ones() -> None:
    for seed in range(4):
        _, seen = studied(CUBE, bowl, 60, seed=seed)
        assert seen[-1]["n_start"] == 4


def test_learning_rates_adapt_on_continuous_spaces_alone() -> None:
    options = {"lr_adapt": True}
    known, seen = studied(CUBE, bowl, 60, options=options)
    assert seen[-1]["lr_adapt"] == "on"
    assert best(known) < 3.0
    (made,) = cmaes.suggest(ask(MIXED, uniform(MIXED, 30, valley), options=options)).suggestions
    assert made.provenance["lr_adapt"].startswith("off")


def test_known_constraints_hold_and_the_search_goes_on_within() -> None:
    space = Space(
        parameters=tuple(FloatParameter(name=n, low=0.0, high=1.0) for n in "abc"),
        constraints=(LinearConstraint(terms={"a": 1.0, "b": 1.0, "c": 1.0}, op="==", bound=1.0),),
    )

    def f(p: Params) -> float:
        return (float(p["a"]) - 0.7) ** 2 + (float(p["b"]) - 0.2) ** 2

    known, _ = studied(space, f, 80)
    assert all(satisfies(space, t.params) for t in known)
    assert best(known) < 0.005


def test_inactive_parameters_and_gaps_move_nothing() -> None:
    layout = Layout(MIXED)
    u = layout.encoder.to_unit_many([{"x": 0.5, "n": 3, "kind": "a", "flag": True, "many": 10}])
    numeric, codes = layout.parts(u)
    assert np.isnan(numeric).sum() == 1
    assert codes.tolist() == [[0, 1]]
    inactive = layout.parts(np.full((1, layout.encoder.d), math.nan))[1]
    assert (inactive == INACTIVE).all()


def test_layout_goes_there_and_back() -> None:
    layout = Layout(MIXED)
    rng = np.random.default_rng(2)
    for u in rng.random((50, layout.encoder.d)):
        params = layout.encoder.from_unit(u)
        numeric, codes = layout.parts(layout.encoder.to_unit_many([params]))
        whole = layout.whole(np.nan_to_num(numeric[0], nan=0.5), np.maximum(codes[0], 0))
        again = layout.encoder.from_unit(whole)
        assert {k: v for k, v in again.items() if k not in ("x", "extra")} == {
            k: v for k, v in params.items() if k not in ("x", "extra")
        }


@pytest.mark.parametrize(("low", "high"), [(-1.0, 0.5), (2.0, 2.5), (-math.inf, -3.0), (4.0, 6.0)])
def test_draws_within_a_cell_follow_the_truncated_normal(low: float, high: float) -> None:
    shares = np.random.default_rng(4).random(2_000)
    drawn = cmaes._truncated(0.0, 1.0, np.full(2_000, low), np.full(2_000, high), shares)
    assert drawn.min() >= low
    assert drawn.max() <= high
    assert kstest(drawn, truncnorm(low, high).cdf).pvalue > 1e-3


def test_an_error_of_the_library_leaves_a_point_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise AssertionError("no luck")

    known, _ = studied(CUBE, bowl, 20)
    monkeypatch.setattr("cmaes.CMA.__init__", broken)
    (made,) = cmaes.suggest(ask(CUBE, known)).suggestions
    assert made.source is TrialSource.FALLBACK
    assert made.provenance["fallback"] == "AssertionError: no luck"


def test_an_update_that_fails_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise FloatingPointError("no luck")

    known, _ = studied(CUBE, bowl, 14)
    monkeypatch.setattr("cmaes.CMA.tell", broken)
    (made,) = cmaes.suggest(ask(CUBE, known)).suggestions
    assert made.provenance["last_run_ended"] == "FloatingPointError: no luck"
