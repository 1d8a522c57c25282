"""What every registered suggester keeps to."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from typing import Any

import pytest

from app.domain.space import CategoricalParameter, FloatParameter, Space, point_key
from app.domain.study import Direction, Metric
from app.domain.trial import TrialSource, TrialState
from app.suggest.base import FinishedTrial
from app.suggest.design import satisfies
from app.suggest.registry import ENTRIES, suggest

from .asking import (
    BALANCED,
    BOUNDED,
    CHAIN,
    LOSS,
    MIXED,
    N_SMALL,
    NUMERIC,
    POINT,
    SCORE,
    SMALL,
    SPACES,
    WIDE,
    assert_in_space,
    bowl,
    history,
    keys,
    pending_from,
    request,
    space_for,
)

MODELS = [name for name, entry in ENTRIES.items() if not entry.is_cheap]
N = 12
"""Results that put every suggester past its design on the spaces here."""

every = pytest.mark.parametrize("name", list(ENTRIES))
every_model = pytest.mark.parametrize("name", MODELS)


@every
@pytest.mark.parametrize("label", list(SPACES))
def test_points_lie_in_the_space_and_differ(name: str, label: str) -> None:
    space = space_for(name, SPACES[label])
    known = history(space, N)
    pending = pending_from(
        [N + 1], [suggest("random", request(space, known)).suggestions[0].params]
    )
    asked = request(space, known, pending, count=2)
    decision = suggest(name, asked)
    assert len(decision.suggestions) == 2
    for made in decision.suggestions:
        assert_in_space(space, made.params)
    taken = [point_key(trial.params) for trial in (*asked.finished, *asked.pending)]
    assert len({*taken, *keys(decision.suggestions)}) == N + 3


@every
@pytest.mark.parametrize("label", ["numeric", "chain", "bounded"])
def test_first_points_need_no_history(name: str, label: str) -> None:
    space = space_for(name, SPACES[label])
    decision = suggest(name, request(space, count=12))
    assert len(set(keys(decision.suggestions))) == 12
    for made in decision.suggestions:
        assert_in_space(space, made.params)


@every
@pytest.mark.parametrize("label", ["mixed", "chain"])
def test_same_request_gives_same_answer_whatever_was_asked_before(name: str, label: str) -> None:
    space = space_for(name, SPACES[label])
    asked = request(space, history(space, N), count=2)
    first = suggest(name, asked)
    suggest(name, request(space, history(space, 7, seed=6), seed=99))
    assert suggest(name, copy.deepcopy(asked)) == first


@every
@pytest.mark.parametrize("label", ["numeric", "chain"])
def test_order_of_parameters_in_a_trial_does_not_matter(name: str, label: str) -> None:
    space = space_for(name, SPACES[label])
    known = history(space, N)
    turned = tuple(
        dataclasses.replace(trial, params=dict(reversed(list(trial.params.items()))))
        for trial in known
    )
    assert suggest(name, request(space, turned)) == suggest(name, request(space, known))


@every
def test_a_batch_is_made_one_by_one(name: str) -> None:
    space = space_for(name, NUMERIC)
    known = history(space, N)
    batch = suggest(name, request(space, known, count=3)).suggestions
    one_by_one: list[dict[str, Any]] = []
    for _ in range(3):
        numbers = [N + 1 + k for k in range(len(one_by_one))]
        asked = request(space, known, pending_from(numbers, one_by_one))
        one_by_one.append(suggest(name, asked).suggestions[0].params)
    assert [made.params for made in batch] == one_by_one


@pytest.mark.parametrize("name", [name for name in ENTRIES if name != "grid"])
def test_the_seed_decides_the_points(name: str) -> None:
    asked = request(NUMERIC, history(NUMERIC, 2))
    points = [
        suggest(name, dataclasses.replace(asked, seed=seed)).suggestions[0]
        for seed in (11, 12, 2**63)
    ]
    assert len(set(keys(points))) == 3


@every
def test_pending_points_are_taken(name: str) -> None:
    whole = suggest("grid", request(SMALL, count=N_SMALL)).suggestions
    known = tuple(
        FinishedTrial(
            number=k + 1, params=made.params, state=TrialState.COMPLETED, values=(float(k),)
        )
        for k, made in enumerate(whole[:9])
    )
    pending = pending_from(range(10, 15), [made.params for made in whole[9:14]])
    decision = suggest(name, request(SMALL, known, pending, count=4))
    assert decision.exhausted
    assert set(keys(decision.suggestions)) == set(keys(whole[14:]))


@every
def test_small_space_is_walked_through_once_then_exhausted(name: str) -> None:
    known: list[FinishedTrial] = []
    for number in range(1, N_SMALL + 1):
        asked = request(SMALL, known, index=number, options={"n_initial": 10})
        made = suggest(name, asked).suggestions[0]
        state = TrialState.FAILED if number % 5 == 0 else TrialState.COMPLETED
        values = None if number % 5 == 0 else (bowl(SMALL, made.params),)
        known.append(FinishedTrial(number=number, params=made.params, state=state, values=values))
    assert len({point_key(trial.params) for trial in known}) == N_SMALL
    last = suggest(name, request(SMALL, known, index=N_SMALL + 1))
    assert last.exhausted
    assert last.suggestions == ()


@every
def test_space_of_one_point(name: str) -> None:
    first = suggest(name, request(POINT, count=3))
    assert [made.params for made in first.suggestions] == [{"c": "a", "n": 2, "x": 0.5}]
    assert first.exhausted
    assert suggest(name, request(POINT, history(POINT, 1))).exhausted


@every
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(lambda number, params: None, id="all failed"),
        pytest.param(lambda number, params: None if number % 2 else 1.0 * number, id="half failed"),
        pytest.param(lambda number, params: math.nan if number % 3 else 0.5, id="nan"),
        pytest.param(lambda number, params: math.inf if number < 4 else -number, id="inf"),
        pytest.param(lambda number, params: 0.25, id="constant"),
        pytest.param(lambda number, params: float(number % 2), id="ties"),
        pytest.param(lambda number, params: (-1.0) ** number * 1e300, id="1e300"),
        pytest.param(
            lambda number, params: 1e300 if number == 3 else 1e-300 * number, id="outlier"
        ),
        pytest.param(lambda number, params: 1e-300 * number, id="1e-300"),
        pytest.param(lambda number, params: 1e9 + 1e-6 * number, id="offset"),
    ],
)
def test_odd_values_are_tolerated(name: str, value: Any) -> None:
    space = space_for(name, MIXED)
    asked = request(space, history(space, N, value))
    decision = suggest(name, asked)
    (made,) = decision.suggestions
    assert_in_space(space, made.params)
    json.dumps(made.provenance, allow_nan=False)


@every
def test_other_ends_than_completed_are_tolerated(name: str) -> None:
    space = space_for(name, NUMERIC)
    ends = [TrialState.STOPPED, TrialState.INFEASIBLE, TrialState.FAILED, TrialState.COMPLETED]
    known = tuple(
        dataclasses.replace(
            trial,
            state=ends[trial.number % 4],
            values=trial.values if trial.number % 4 in (0, 3) else None,
        )
        for trial in history(space, N)
    )
    assert_in_space(space, suggest(name, request(space, known)).suggestions[0].params)


@every
def test_history_may_lie_in_one_branch(name: str) -> None:
    space = space_for(name, CHAIN)
    known = tuple(trial for trial in history(space, 40) if trial.params["model"] == "forest")
    numbered = tuple(dataclasses.replace(t, number=k + 1) for k, t in enumerate(known))
    for made in suggest(name, request(space, numbered, count=2)).suggestions:
        assert_in_space(space, made.params)


@every
@pytest.mark.parametrize("space", [BOUNDED, BALANCED], ids=["inequalities", "equality"])
def test_known_constraints_are_kept(name: str, space: Space) -> None:
    space = space_for(name, space)
    for n in (0, N):
        decision = suggest(name, request(space, history(space, n), count=2))
        assert len(decision.suggestions) == 2
        assert all(satisfies(space, made.params) for made in decision.suggestions)


@every
def test_fifty_parameters(name: str) -> None:
    space = space_for(name, WIDE)
    (made,) = suggest(name, request(space, history(space, 40))).suggestions
    assert_in_space(space, made.params)


@every
@pytest.mark.timeout(60)
def test_thousand_trials(name: str) -> None:
    space = space_for(name, NUMERIC)
    known = history(space, 1_000, lambda number, params: None if number % 50 == 0 else number % 97)
    (made,) = suggest(name, request(space, known)).suggestions
    assert_in_space(space, made.params)
    assert point_key(made.params) not in {point_key(trial.params) for trial in known}


@every
def test_provenance_says_what_was_known_in_json(name: str) -> None:
    space = space_for(name, CHAIN)
    known = history(space, N)
    taken = suggest("random", request(space, known)).suggestions[0].params
    decision = suggest(name, request(space, known, pending_from([N + 1], [taken]), count=2))
    for k, made in enumerate(decision.suggestions):
        plain = json.loads(json.dumps([made.params, made.provenance], allow_nan=False))
        assert plain == [made.params, made.provenance]
        expected = {
            "suggester": name,
            "seed": 11,
            "index": N + 2 + k,
            "n_finished": N,
            "n_pending": 1 + k,
        }
        assert expected.items() <= made.provenance.items()


@every_model
def test_design_comes_first_and_is_labelled(name: str) -> None:
    first = suggest(name, request(NUMERIC, options={"n_initial": 3}, count=3)).suggestions
    assert {made.source for made in first} == {TrialSource.INITIAL}
    after = suggest(name, request(NUMERIC, history(NUMERIC, 3), options={"n_initial": 3}))
    assert after.suggestions[0].source is TrialSource.SUGGESTER


@every_model
def test_maximised_metric_is_the_mirror_of_a_minimised_one(name: str) -> None:
    down = history(NUMERIC, N)
    up = tuple(dataclasses.replace(t, values=(-t.values[0],)) for t in down if t.values)
    low = suggest(name, request(NUMERIC, down)).suggestions[0]
    high = suggest(name, request(NUMERIC, up, metrics=SCORE)).suggestions[0]
    assert low.params == high.params


@pytest.mark.parametrize("name", [name for name in MODELS if not ENTRIES[name].models_all])
def test_with_several_objectives_the_first_is_modelled_and_named(name: str) -> None:
    one = history(NUMERIC, N)
    many = tuple(
        dataclasses.replace(t, values=(9.0, t.values[0], float(t.number))) for t in one if t.values
    )
    metrics = (
        Metric(name="memory", direction=Direction.MINIMIZE, role="constraint", threshold=8.0),
        *LOSS,
        Metric(name="time", direction=Direction.MINIMIZE),
    )
    alone = suggest(name, request(NUMERIC, one)).suggestions[0]
    first = suggest(name, request(NUMERIC, many, metrics=metrics)).suggestions[0]
    assert first.params == alone.params
    assert "loss" in first.provenance["note"]


@every_model
def test_a_failure_is_not_the_same_as_no_trial(name: str) -> None:
    """A model that drops failures proposes the same point with them as without."""
    space = Space(parameters=(FloatParameter(name="x", low=0.0, high=1.0),))

    def trial(number: int, x: float, y: float | None) -> FinishedTrial:
        state = TrialState.FAILED if y is None else TrialState.COMPLETED
        values = None if y is None else (y,)
        return FinishedTrial(number=number, params={"x": x}, state=state, values=values)

    good = [trial(k + 1, x, -x) for k, x in enumerate((0.05, 0.2, 0.35, 0.5, 0.6, 0.7))]
    bad = [trial(k + 7, x, None) for k, x in enumerate((0.8, 0.85, 0.9, 0.95, 1.0))]
    xs = []
    for known in (good, good + bad):
        asked = request(space, known, index=20, options={"n_initial": 2}, count=4)
        xs.append([made.params["x"] for made in suggest(name, asked).suggestions])
    assert xs[0] != xs[1]


@every
def test_categories_of_like_values_stay_apart(name: str) -> None:
    space = Space(
        parameters=(CategoricalParameter(name="c", choices=(True, 1, "1", "True", 0, False)),)
    )
    made = suggest(name, request(space, count=6)).suggestions
    shown = {(type(m.params["c"]).__name__, m.params["c"]) for m in made}
    assert len(shown) == 6


def test_every_suggester_of_the_catalogue_is_registered() -> None:
    from app.domain.catalog import SUGGESTERS

    assert set(ENTRIES) - {"bohb"} == set(SUGGESTERS)  # that one comes with its rule
