"""A study's options, parameters and metrics against what objectives take and report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.definition import definition_from_json, definition_to_json
from app.domain.objectives import BUILT_IN
from app.domain.schema import problem
from app.domain.worker import ObjectiveOffer

from .building import CATEGORICAL, FLOAT, INT, METRIC, check, faults_of, found, raw_study

LEARNING_RATE = FLOAT | {"name": "learning_rate"}
ACCURACY = {"name": "accuracy", "direction": "maximize"}


def mnist(*parameters: dict[str, Any], **options: Any) -> dict[str, Any]:
    objective = {"name": "mnist-mlp", "options": options}
    space = list(parameters) or [LEARNING_RATE]
    return raw_study(objective=objective, metrics=[ACCURACY], space=space)


def own(schema: dict[str, Any] | None = None, **fields: Any) -> ObjectiveOffer:
    return ObjectiveOffer(name="own", options_schema=schema, **fields)


OPTION_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"epoch": 3}, "unknown-option"),
    ({"epochs": 0}, "out-of-range"),
    ({"epochs": 2.5}, "wrong-type"),
    ({"epochs": True}, "wrong-type"),
    ({"epochs": None}, "wrong-type"),
    ({"steps_per_epoch": 2}, "unknown-value"),
    ({"steps_per_epoch": True}, "wrong-type"),
    ({"validation": 1}, "wrong-type"),
    ({"dataset": "cifar"}, "unknown-value"),
    ({"dataset": ["mnist"]}, "wrong-type"),
]


@pytest.mark.parametrize(("options", "code"), OPTION_FAULTS)
def test_a_faulty_option_of_a_built_in_is_named(options: dict[str, Any], code: str) -> None:
    (name,) = options
    assert found(mnist(**options)) == {(f"/objective/options/{name}", code)}


def test_an_unknown_option_names_the_near_miss() -> None:
    (fault,) = faults_of(mnist(epoch=3))
    assert 'did you mean "epochs"?' in fault.detail


PARAMETER_FAULTS: list[tuple[dict[str, Any], str, str]] = [
    (LEARNING_RATE | {"name": "lr"}, "/name", "unknown-objective-parameter"),
    (LEARNING_RATE | {"low": 0}, "/low", "objective-refuses"),
    (FLOAT | {"name": "momentum", "high": 1.5}, "/high", "objective-refuses"),
    (INT | {"name": "batch_size", "low": 0}, "/low", "objective-refuses"),
    (FLOAT | {"name": "batch_size", "low": 16, "high": 64}, "/type", "objective-refuses"),
    (CATEGORICAL | {"name": "model"}, "/choices/0", "objective-refuses"),
    (INT | {"name": "model"}, "/type", "objective-refuses"),
]


@pytest.mark.parametrize(("parameter", "where", "code"), PARAMETER_FAULTS)
def test_a_parameter_that_the_objective_refuses_is_named(
    parameter: dict[str, Any], where: str, code: str
) -> None:
    assert (f"/space/0{where}", code) in found(mnist(parameter))


def test_an_objective_may_be_tuned_over_listed_numbers() -> None:
    sizes = CATEGORICAL | {"name": "batch_size", "choices": [16, 32, 64]}
    assert found(mnist(sizes)) == set()


def test_function_takes_as_many_x_as_there_are() -> None:
    space = [FLOAT | {"name": f"x{k}"} for k in range(12)]
    raw = raw_study(
        objective={"name": "function"},
        space=[*space, FLOAT | {"name": "y"}],
        metrics=[{"name": "value", "direction": "minimize"}],
    )
    assert found(raw) == {("/space/12/name", "unknown-objective-parameter")}


def test_the_defaults_of_a_built_in_are_filled_in() -> None:
    objective = check(mnist(epochs=5)).definition.objective
    assert objective is not None
    assert objective.options["epochs"] == 5
    assert objective.options["dataset"] == "auto"


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_defaults_of_a_built_in_fit_its_own_schema(name: str) -> None:
    offer = BUILT_IN[name]
    for schema in (offer.options_schema, offer.params_schema):
        for inner in (schema or {}).get("properties", {}).values():
            assert "default" not in inner or problem(inner["default"], inner) is None


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_schemas_of_the_built_ins_are_plain_json(name: str) -> None:
    offer = BUILT_IN[name]
    plain = [offer.options_schema, offer.params_schema]
    assert json.loads(json.dumps(plain)) == plain


def test_an_objective_that_nobody_offers_is_a_warning() -> None:
    raw = raw_study(objective={"name": "mnist-mpl", "options": {"x": [1, {"y": None}]}})
    (warning,) = check(raw).warnings
    assert 'did you mean "mnist-mlp"?' in warning


def test_an_offered_objective_is_checked_and_brings_no_warning() -> None:
    schema = {"properties": {"depth": {"type": "integer"}}, "additionalProperties": False}
    offers = [own(schema)]
    good = raw_study(objective={"name": "own", "options": {"depth": 3}})
    bad = raw_study(objective={"name": "own", "options": {"deep": 3}})
    assert check(good, offers=offers).warnings == ()
    assert found(bad, offers=offers) == {("/objective/options/deep", "unknown-option")}


def test_one_of_several_offers_has_to_fit() -> None:
    old = own({"properties": {"a": {}}, "additionalProperties": False})
    new = own({"properties": {"b": {}}, "additionalProperties": False})
    raw = raw_study(objective={"name": "own", "options": {"b": 3}})
    assert found(raw, offers=[old, new]) == set()
    assert found(raw, offers=[old]) == {("/objective/options/b", "unknown-option")}


def test_required_options_and_parameters_are_missed() -> None:
    offer = own({"required": ["path"]}, params_schema={"required": ["depth"]})
    raw = raw_study(objective={"name": "own"})
    assert found(raw, offers=[offer]) == {
        ("/objective/options/path", "missing-field"),
        ("/space", "missing-objective-parameter"),
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 3, "properties": 3, "required": 3, "additionalProperties": 3},
        {"properties": {"a": {"type": ["x", 3], "minimum": "low", "enum": 3}}},
        {"patternProperties": {"(a+)+$": {"type": "string"}}, "additionalProperties": False},
        {"properties": {"a": 3}, "patternProperties": [3]},
        {"type": "object", "oneOf": [{}]},
    ],
)
def test_an_odd_schema_of_a_worker_refuses_nothing(schema: dict[str, Any]) -> None:
    offer = own(schema, params_schema=schema)
    raw = raw_study(objective={"name": "own", "options": {"a": 1, "aaaa": 2}})
    assert found(raw, offers=[offer]) == set()


def test_an_own_objective_may_take_the_name_of_a_built_in() -> None:
    offer = ObjectiveOffer(name="function", options_schema={}, params_schema={})
    raw = raw_study(objective={"name": "function", "options": {"mine": 1}})
    definition = check(raw, offers=[offer]).definition
    assert definition.objective is not None
    assert dict(definition.objective.options) == {"mine": 1}
    assert definition_from_json(definition_to_json(definition)) == definition


def test_a_metric_that_the_objective_does_not_report_is_a_warning() -> None:
    raw = mnist() | {"metrics": [{"name": "acuracy", "direction": "maximize"}]}
    (warning,) = check(raw).warnings
    assert 'did you mean "accuracy"?' in warning
    assert "It reports accuracy, loss." in warning


def test_a_metric_in_the_reverse_direction_is_a_warning() -> None:
    raw = mnist() | {"metrics": [ACCURACY | {"direction": "minimize"}]}
    (warning,) = check(raw).warnings
    assert "maximized" in warning


def test_asking_and_telling_needs_no_objective() -> None:
    assert check(raw_study(objective=None, metrics=[METRIC])).warnings == ()


def test_without_a_seed_each_trial_of_mnist_has_one_of_its_own() -> None:
    """A default would be written into the study, and be every trial's."""
    objective = check(mnist()).definition.objective
    assert objective is not None
    assert "seed" not in objective.options
