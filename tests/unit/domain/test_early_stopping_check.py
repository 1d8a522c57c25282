"""A study's early-stopping rule against its objective, its limits and itself."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.definition import definition_from_json, definition_to_json
from app.domain.full_training import full_training_steps
from app.domain.ladder import ladder_of
from app.domain.space import CategoricalParameter, IntParameter
from app.domain.study import ObjectiveRef
from app.domain.worker import ObjectiveOffer

from .building import FLOAT, METRIC, check, found, raw_study

MNIST = {
    "objective": {"name": "mnist-mlp", "options": {"epochs": 9, "steps_per_epoch": 3}},
    "metrics": [{"name": "accuracy", "direction": "maximize"}],
    "space": [FLOAT | {"name": "learning_rate"}],
}
FOREST = {
    "objective": {"name": "random-forest"},
    "metrics": [{"name": "mse", "direction": "minimize"}],
    "space": [{"name": "n_estimators", "type": "int", "low": 10, "high": 200}],
}
AT = "/early_stopping/options"
BY_RUNGS = ("asha", "hyperband", "bohb", "auto")
BY_CURVES = ("median", "percentile", "patience")


def with_rule(name: str, *fields: dict[str, Any], **options: Any) -> dict[str, Any]:
    body = raw_study(early_stopping={"name": name, "options": options})
    for more in fields:
        body |= more
    return body


def options_of(raw: dict[str, Any], **more: Any) -> Any:
    return check(raw, **more).definition.early_stopping.options


def warnings_of(raw: dict[str, Any], **more: Any) -> str:
    return " ".join(check(raw, **more).warnings)


def offer(**fields: Any) -> ObjectiveOffer:
    return ObjectiveOffer(name="own", **fields)


OWN = {"objective": {"name": "own"}}

FAULTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("asha", {"eta": 1, "max_resource": 9}, f"{AT}/eta", "out-of-range"),
    ("hyperband", {"eta": 2.5, "max_resource": 9}, f"{AT}/eta", "not-an-integer"),
    ("asha", {"min_resource": 0, "max_resource": 9}, f"{AT}/min_resource", "out-of-range"),
    (
        "asha",
        {"min_resource": 10, "max_resource": 9},
        f"{AT}/min_resource",
        "min-above-max-resource",
    ),
    (
        "median",
        {"min_resource": 10, "max_resource": 9},
        f"{AT}/min_resource",
        "min-above-max-resource",
    ),
    ("asha", {"max_resource": 0}, f"{AT}/max_resource", "out-of-range"),
    ("asha", {"max_resource": 9, "mode": "halt"}, f"{AT}/mode", "unknown-value"),
    ("percentile", {"percentile": 0}, f"{AT}/percentile", "out-of-range"),
    ("percentile", {"percentile": 100}, f"{AT}/percentile", "out-of-range"),
    ("median", {"eta": 3}, f"{AT}/eta", "unknown-option"),
    ("patience", {"min_delta": -0.1}, f"{AT}/min_delta", "out-of-range"),
    ("patience", {"steps": 0}, f"{AT}/steps", "out-of-range"),
    *((name, {}, f"{AT}/max_resource", "max-resource-unknown") for name in BY_RUNGS),
]


@pytest.mark.parametrize(("name", "options", "pointer", "code"), FAULTS)
def test_a_faulty_option_is_named(
    name: str, options: dict[str, Any], pointer: str, code: str
) -> None:
    assert found(with_rule(name, **options)) == {(pointer, code)}


@pytest.mark.parametrize("name", BY_CURVES)
def test_a_rule_on_curves_needs_no_length(name: str) -> None:
    assert options_of(with_rule(name))["max_resource"] is None


@pytest.mark.parametrize("name", [*BY_RUNGS, *BY_CURVES])
@pytest.mark.parametrize(("fields", "steps"), [(MNIST, 27), (FOREST, 200)])
def test_the_length_comes_from_the_objective(name: str, fields: dict[str, Any], steps: int) -> None:
    definition = check(with_rule(name, fields)).definition
    assert definition.early_stopping.options["max_resource"] == steps
    assert definition.early_stopping.options["min_resource"] == 1
    ladder = ladder_of(definition)
    assert ladder is not None
    assert ladder.rungs[-1] == ladder.max_resource == steps
    assert definition_from_json(definition_to_json(definition)) == definition


def test_a_shorter_length_is_kept_and_a_longer_one_refused() -> None:
    assert options_of(with_rule("asha", MNIST, max_resource=9))["max_resource"] == 9
    assert found(with_rule("asha", MNIST, max_resource=28)) == {
        (f"{AT}/max_resource", "max-resource-too-large")
    }


def test_an_offer_says_how_long_it_trains() -> None:
    offers = [offer(max_resource=12), offer(max_resource=30, version="2")]
    assert options_of(with_rule("asha", OWN), offers=offers)["max_resource"] == 30


def test_an_objective_that_reports_no_steps_cannot_be_stopped() -> None:
    raw = with_rule("median", OWN)
    assert found(raw, offers=[offer()]) == {("/early_stopping/name", "objective-without-steps")}
    assert found(raw, offers=[offer(), offer(steps="an epoch")]) == set()
    assert found(raw_study() | OWN, offers=[offer()]) == set()


def test_an_unknown_objective_brings_a_warning() -> None:
    assert "stops no trial that reports none" in warnings_of(with_rule("median", OWN))
    assert "stops no trial" not in warnings_of(
        with_rule("median", OWN), offers=[offer(steps="an epoch")]
    )
    assert "stops no trial" not in warnings_of(with_rule("median"))


@pytest.mark.parametrize(("low", "warns"), [(39, True), (40, False)])
def test_small_forests_mislead(low: int, warns: bool) -> None:
    found_text = warnings_of(with_rule("asha", FOREST, min_resource=low))
    assert ("fewer than 40 trees" in found_text) is warns


def test_the_first_of_several_objectives_decides() -> None:
    two = [METRIC, {"name": "cost", "direction": "minimize"}]
    assert "first objective alone, 'loss'" in warnings_of(
        with_rule("median", {"metrics": two})
    ).replace('"', "'")
    assert "first objective" not in warnings_of(with_rule("median"))


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"max_trials": 80}, "begins with 81 trials"),
        ({"max_trials": 81, "max_resource_total": 296}, "takes 297 steps"),
        ({"max_trials": 500, "max_parallel": 82}, "larger than the first rung of 81"),
        ({"max_trials": 81, "max_resource_total": 297, "max_parallel": 81}, ""),
    ],
)
def test_a_budget_below_one_bracket_brings_a_warning(limits: dict[str, int], text: str) -> None:
    found_text = warnings_of(with_rule("hyperband", {"limits": limits}, max_resource=81))
    assert text in found_text
    assert bool(found_text) is bool(text)


def test_a_rule_that_can_stop_nothing_says_so() -> None:
    assert "stops nothing" in warnings_of(with_rule("asha", max_resource=1))
    assert "one trial to go on" in warnings_of(
        with_rule("asha", {"limits": {"max_trials": 2}}, max_resource=9)
    )


def test_a_forest_without_trees_in_its_space_has_the_default() -> None:
    depth = {"name": "max_depth", "type": "int", "low": 2, "high": 9}
    assert options_of(with_rule("asha", FOREST, {"space": [depth]}))["max_resource"] == 100


def test_a_forest_of_listed_sizes_has_the_largest() -> None:
    forest = ObjectiveRef(name="random-forest")
    sizes = CategoricalParameter(name="n_estimators", choices=(40, 160, 80))
    assert full_training_steps(forest, [sizes], ()) == 160
    assert full_training_steps(None, [sizes], ()) is None
    assert full_training_steps(forest, [sizes], None) is None


def test_another_objective_of_a_built_in_name_says_nothing() -> None:
    own = ObjectiveOffer(name="function", steps="a step")
    n = IntParameter(name="n", low=1, high=5)
    assert full_training_steps(ObjectiveRef(name="function"), [n], [own]) is None
