"""What a study will spend, without a service."""

from typing import Any

import pytest

from tunewell.plan import plan_lines, plan_of
from tunewell.studies import load_study

from .fake_service import DEFINITION


def planned(name: str) -> dict[str, Any]:
    file = load_study(name)
    return plan_of(file.definition, len(file.trials))


def test_a_grid_is_counted() -> None:
    plan = planned("mnist-grid")
    assert (plan["grid_size"], plan["trials"], plan["steps"]) == (12, 12, 36)


def test_a_grid_without_max_trials_ends_with_its_points() -> None:
    definition = {**load_study("mnist-grid").definition, "limits": {}}
    assert plan_of(definition, 0)["trials"] == 12


def test_a_conditional_grid_counts_each_point_once() -> None:
    space = [
        {"name": "model", "type": "categorical", "choices": ["simple", "batchnorm"]},
        {"name": "momentum", "type": "float", "low": 0.1, "high": 0.5, "step": 0.1,
         "when": {"param": "model", "in": ["batchnorm"]}},
    ]  # fmt: skip
    assert plan_of({**DEFINITION, "space": space}, 0)["grid_size"] == 1 + 5


@pytest.mark.parametrize(
    ("name", "steps"),
    [("mnist-random", 3), ("forest-tpe", 200), ("function-quickstart", 1)],
)
def test_steps_of_the_built_in_objectives_are_known(name: str, steps: int) -> None:
    assert planned(name)["steps_per_trial"] == steps


def test_thirds_of_an_epoch_are_steps() -> None:
    objective = {"name": "mnist-mlp", "options": {"epochs": 4, "steps_per_epoch": 3}}
    assert plan_of({**DEFINITION, "objective": objective}, 0)["steps_per_trial"] == 12


@pytest.mark.parametrize("objective", [None, {"name": "my-own"}])
def test_steps_of_other_objectives_are_not_known(objective: Any) -> None:
    plan = plan_of({**DEFINITION, "objective": objective}, 0)
    assert (plan["steps_per_trial"], plan["steps"]) == (None, None)


def test_every_fault_is_named_with_its_pointer() -> None:
    bad = {**DEFINITION, "suggester": {"name": "gpp"}, "lmits": {}}
    faults = {fault["pointer"]: fault["detail"] for fault in plan_of(bad, 0)["faults"]}
    assert set(faults) == {"/suggester/name", "/lmits"}
    assert "gp" in faults["/suggester/name"]


def test_what_is_no_object_is_a_fault() -> None:
    assert plan_of([], 0)["faults"]


def test_the_lines_say_what_is_spent() -> None:
    assert plan_lines(planned("mnist-user-points-then-gp")) == [
        "study           mnist-user-points-then-gp",
        "objective       mnist-mlp",
        "suggester       gp",
        "space           2 parameters, continuous",
        "trials          10",
        "at once         as many as workers have slots",
        "steps           3 a trial at most, 30 in all at most",
        "early stopping  none: every trial runs to its end",
        "first           3 points of the file",
    ]


def test_a_study_without_bounds_says_so() -> None:
    definition = {**DEFINITION, "limits": {"max_duration_s": 90}, "objective": None}
    lines = "\n".join(plan_lines(plan_of(definition, 0)))
    assert "until another limit or a person ends it" in lines
    assert "as many as the objective reports" in lines
    assert "90 s" in lines


def hyperband(**options: Any) -> dict[str, Any]:
    rule = {"name": "hyperband", "options": options}
    objective = {"name": "mnist-mlp", "options": {"epochs": 81}}
    return plan_of({**DEFINITION, "objective": objective, "early_stopping": rule}, 0)


def test_the_brackets_are_the_papers() -> None:
    table = hyperband()["brackets"]
    assert [(b["s"], b["n"], b["r"]) for b in table] == [
        (4, [81, 27, 9, 3, 1], [1, 3, 9, 27, 81]),
        (3, [34, 11, 3, 1], [3, 9, 27, 81]),
        (2, [15, 5, 1], [9, 27, 81]),
        (1, [8, 2], [27, 81]),
        (0, [5], [81]),
    ]
    assert [(b["steps"], b["steps_restarted"], b["steps_full"]) for b in table] == [
        (297, 405, 6561), (276, 363, 2754), (279, 351, 1215), (324, 378, 648), (405, 405, 405),
    ]  # fmt: skip


def test_the_lines_show_the_brackets_and_what_a_round_takes() -> None:
    assert plan_lines(hyperband(min_resource=27))[-4:] == [
        "early stopping  hyperband: min_resource 27, max_resource 81, eta 3",
        "bracket s = 1   3 x 27  1 x 81   (steps: 135 resumed, 162 restarted)",
        "bracket s = 0   2 x 81   (steps: 162 resumed, 162 restarted)",
        "a round         5 trials, 297 steps resumed, 324 restarted; "
        "405 if all were trained in full",
    ]


def test_a_rule_without_brackets_has_no_table() -> None:
    rule = {"name": "median", "options": {}}
    assert plan_of({**DEFINITION, "early_stopping": rule}, 0)["brackets"] == []
