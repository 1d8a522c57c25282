"""Valid definitions: what the parser makes of them, and back to JSON."""

from __future__ import annotations

import json

import pytest

from app.domain.catalog import SUGGESTERS
from app.domain.definition import definition_from_json, definition_to_json
from app.domain.space import CategoricalParameter, Condition, FloatParameter, IntParameter
from app.domain.study import Direction, FailurePolicy, Limits, NoProgress, Resources

from .building import CATEGORICAL, FLOAT, INT, METRIC, check, found, raw_study

FULL = {
    "name": "mnist-lr-batch",
    "objective": {"name": "mnist-mlp", "options": {"epochs": 3}},
    "metrics": [{"name": "accuracy", "direction": "maximize"}],
    "space": [
        {"name": "learning_rate", "type": "float", "low": 0.001, "high": 0.01, "log": True},
        {"name": "batch_size", "type": "int", "low": 16, "high": 128, "step": 1},
        {"name": "model", "type": "categorical", "choices": ["simple", "batchnorm"]},
        {
            "name": "momentum",
            "type": "float",
            "low": 0.01,
            "high": 0.99,
            "when": {"param": "model", "in": ["batchnorm"]},
        },
    ],
    "constraints": [{"terms": {"learning_rate": 1, "batch_size": -2}, "op": "<=", "bound": 3}],
    "suggester": {"name": "auto", "seed": 42, "options": {}},
    "early_stopping": {"name": "none"},
    "limits": {
        "max_trials": 50,
        "max_parallel": 4,
        "max_duration_s": 3600,
        "target": 0.985,
        "no_progress": {"trials": 20},
    },
    "failure_policy": {"max_attempts": 3, "max_losses": 5, "max_failed": 10},
    "resources": {"gpu": 0.25, "gpu_memory_bytes": 1073741824, "cpu": 1},
    "labels": {"team": "vision"},
    "priority": 0,
}


def test_a_full_definition_has_no_faults_and_no_warnings() -> None:
    assert check(FULL).warnings == ()


def test_a_minimal_definition_gets_every_default() -> None:
    raw = {"name": "s", "metrics": [METRIC], "space": [INT]}
    definition = check(raw, seed=11).definition
    assert definition.objective is None
    assert (definition.suggester.name, definition.suggester.seed) == ("auto", 11)
    assert definition.early_stopping.name == "none"
    assert definition.limits == Limits()
    assert definition.failure_policy == FailurePolicy()
    assert definition.resources == Resources()
    assert definition.metrics[0].role == "objective"


def test_null_is_the_same_as_left_out() -> None:
    names = ("objective", "constraints", "suggester", "early_stopping", "limits")
    rest = ("failure_policy", "resources", "labels", "priority", "description")
    nulls = dict.fromkeys((*names, *rest))
    left_out = {key: value for key, value in raw_study().items() if key != "limits"}
    assert check(raw_study() | nulls).definition == check(left_out).definition


def test_numbers_get_the_type_of_their_parameter() -> None:
    raw = raw_study(
        space=[
            FLOAT | {"low": 1, "high": 3, "default": 2},
            INT | {"low": 1.0, "high": 9.0, "default": 3.0},
            CATEGORICAL | {"choices": [1, 2], "default": 2.0},
        ]
    )
    real, whole, choice = check(raw).definition.space.parameters
    assert isinstance(real, FloatParameter)
    assert isinstance(whole, IntParameter)
    assert isinstance(choice, CategoricalParameter)
    assert [type(v) for v in (real.low, real.high, real.default)] == [float, float, float]
    assert [type(v) for v in (whole.low, whole.high, whole.default)] == [int, int, int]
    assert type(choice.default) is int


def test_true_and_1_are_two_choices() -> None:
    parameter = CATEGORICAL | {"choices": [True, 1, "1", False, 0]}
    assert found(raw_study(space=[parameter])) == set()


def test_a_default_near_a_step_becomes_that_step() -> None:
    parameter = FLOAT | {"low": 0, "high": 1, "step": 0.1, "default": 0.3}
    (kept,) = check(raw_study(space=[parameter])).definition.space.parameters
    assert kept.default == 3 * 0.1


@pytest.mark.parametrize("name", ["größe", "学習率", "a/b~c", "e\u0301", "👩‍🔬", "a b;c=d"])
def test_names_may_be_any_printable_unicode(name: str) -> None:
    raw = raw_study(name=name, space=[FLOAT | {"name": name}], labels={name: name})
    assert check(raw).definition.name == name


def test_conditions_may_form_chains() -> None:
    raw = raw_study(
        space=[
            CATEGORICAL,
            INT | {"when": {"param": "kind", "in": ["wide"]}},
            FLOAT | {"when": {"param": "units", "low": 3}},
        ]
    )
    last = check(raw).definition.space.parameters[2]
    assert last.when == Condition(param="units", low=3)


def test_values_of_in_become_those_of_the_parent() -> None:
    parent = {"name": "rate", "type": "float", "low": 0, "high": 1, "step": 0.1}
    child = INT | {"when": {"param": "rate", "in": [0.3, 1]}}
    when = check(raw_study(space=[parent, child])).definition.space.parameters[1].when
    assert when is not None
    assert when.choices == (0.1 * 3, 1.0)
    assert when.holds({"rate": 0.1 * 3})


def test_a_bound_of_a_condition_near_a_step_holds_for_that_step() -> None:
    parent = {"name": "rate", "type": "float", "low": 0, "high": 1, "step": 0.1}
    child = INT | {"when": {"param": "rate", "high": 0.3}}
    when = check(raw_study(space=[parent, child])).definition.space.parameters[1].when
    assert when is not None
    assert when.holds({"rate": 0.1 * 3})


def test_several_metrics_with_a_constraint_are_kept() -> None:
    second = {"name": "size", "direction": "minimize", "role": "constraint", "threshold": 3}
    third = {"name": "score", "direction": "maximize"}
    definition = check(raw_study(metrics=[METRIC, second, third])).definition
    assert [metric.name for metric in definition.objectives] == ["loss", "score"]
    assert definition.metrics[1].threshold == 3.0
    assert definition.metrics[2].direction is Direction.MAXIMIZE


def test_no_progress_is_read_with_its_defaults() -> None:
    raw = raw_study(limits={"no_progress": {"seconds": 60}})
    assert check(raw).definition.limits.no_progress == NoProgress(seconds=60.0)


@pytest.mark.parametrize("name", SUGGESTERS)
def test_every_suggester_of_the_catalog_takes_its_own_defaults(name: str) -> None:
    options = {key: spec.default for key, spec in SUGGESTERS[name].options.items()}
    raw = raw_study(space=[INT], suggester={"name": name, "options": options})
    assert dict(check(raw).definition.suggester.options) == options


def test_the_seed_is_drawn_only_when_none_is_given() -> None:
    assert check(raw_study(), seed=5).definition.suggester.seed == 5
    assert not check(raw_study()).seed_given
    given = check(raw_study(suggester={"seed": 0}), seed=5)
    assert (given.definition.suggester.seed, given.seed_given) == (0, True)


def test_the_json_parses_to_the_same_definition() -> None:
    definition = check(FULL).definition
    raw = json.loads(json.dumps(definition_to_json(definition)))
    assert check(raw).definition == definition
    assert definition_from_json(raw) == definition


def test_the_json_has_every_default() -> None:
    body = definition_to_json(check(raw_study()).definition)
    assert body["space"][0] == {
        "name": "lr",
        "type": "float",
        "low": 0.001,
        "high": 0.1,
        "log": False,
        "step": None,
        "default": None,
        "when": None,
    }
    assert body["failure_policy"] == {
        "max_attempts": 3,
        "max_losses": 5,
        "max_failed": None,
        "retry_user_error": True,
        "retry_oom": True,
        "retry_nan": False,
        "retry_timeout": False,
        "backoff_s": 1.0,
        "max_backoff_s": 300.0,
        "pause_after": 5,
    }
    assert body["limits"]["max_trials"] == 5
    assert body["limits"]["max_parallel"] is None


def test_a_study_without_max_trials_is_warned_of() -> None:
    (warning,) = check(raw_study(limits={})).warnings
    assert "max_trials" in warning


def test_a_grid_ends_by_itself() -> None:
    assert check(raw_study(space=[INT], limits={}, suggester={"name": "grid"})).warnings == ()


def test_more_parallel_trials_than_trials_are_warned_of() -> None:
    (warning,) = check(raw_study(limits={"max_trials": 2, "max_parallel": 3})).warnings
    assert warning == "max_parallel 3 is larger than max_trials 2."
