"""Every fault of a study definition: its pointer, its code, and what its sentence says."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.definition import parse_definition
from app.domain.sizes import limit_of
from app.errors import InvalidInput

from .building import CATEGORICAL, FLOAT, INT, METRIC, check, faults_of, found, raw_study

NAN, INF = float("nan"), float("inf")


def space(*parameters: Any) -> dict[str, Any]:
    return raw_study(space=list(parameters))


PARAMETER_FAULTS: list[tuple[dict[str, Any], str, str]] = [
    (FLOAT | {"low": 0.2}, "/low", "low-not-below-high"),
    (FLOAT | {"low": 0.1}, "/low", "low-not-below-high"),
    (FLOAT | {"low": "a"}, "/low", "wrong-type"),
    (FLOAT | {"low": True}, "/low", "wrong-type"),
    (FLOAT | {"low": None}, "/low", "missing-field"),
    (FLOAT | {"low": NAN}, "/low", "not-finite"),
    (FLOAT | {"high": INF}, "/high", "not-finite"),
    (FLOAT | {"high": 2**53 + 1}, "/high", "number-too-large"),
    (FLOAT | {"high": 10**5000}, "/high", "number-too-large"),
    (FLOAT | {"low": -1.7e308, "high": 1.7e308}, "/high", "range-too-wide"),
    (FLOAT | {"low": 0, "high": 5e-324}, "/high", "range-too-narrow"),
    (INT | {"low": 10**15, "high": 10**15 + 9, "log": True}, "/high", "range-too-narrow"),
    (FLOAT | {"low": 1e15, "high": 1e15 + 4, "step": 0.07}, "/step", "step-too-small"),
    (FLOAT | {"low": 0, "log": True}, "/low", "log-not-positive"),
    (INT | {"low": -1, "log": True}, "/low", "log-not-positive"),
    (FLOAT | {"log": 1}, "/log", "wrong-type"),
    (FLOAT | {"log": True, "step": 0.001}, "/step", "log-with-step"),
    (FLOAT | {"step": 0}, "/step", "step-not-positive"),
    (FLOAT | {"step": -0.1}, "/step", "step-not-positive"),
    (FLOAT | {"step": 0.2}, "/step", "step-too-large"),
    (FLOAT | {"low": 1e6, "high": 1e6 + 1, "step": 1e-11}, "/step", "step-too-small"),
    (INT | {"step": 9}, "/step", "step-too-large"),
    (INT | {"step": 1.5}, "/step", "not-an-integer"),
    (INT | {"low": 0.5}, "/low", "not-an-integer"),
    (INT | {"high": 1e300}, "/high", "number-too-large"),
    (FLOAT | {"default": 1}, "/default", "default-out-of-range"),
    (FLOAT | {"default": "x"}, "/default", "wrong-type"),
    (INT | {"step": 2, "default": 4}, "/default", "default-off-step"),
    (INT | {"default": 2.5}, "/default", "not-an-integer"),
    (FLOAT | {"low": 0, "high": 1, "step": 0.25, "default": 0.3}, "/default", "default-off-step"),
    (CATEGORICAL | {"default": "thin"}, "/default", "default-not-a-choice"),
    (CATEGORICAL | {"choices": [1, 2], "default": True}, "/default", "default-not-a-choice"),
    (CATEGORICAL | {"choices": []}, "/choices", "no-choices"),
    (CATEGORICAL | {"choices": None}, "/choices", "missing-field"),
    (CATEGORICAL | {"choices": "ab"}, "/choices", "wrong-type"),
    (CATEGORICAL | {"choices": ["a", ""]}, "/choices/1", "empty-choice"),
    (CATEGORICAL | {"choices": ["a", "a"]}, "/choices/1", "repeated-choice"),
    (CATEGORICAL | {"choices": [1, 1.0]}, "/choices/1", "repeated-choice"),
    (CATEGORICAL | {"choices": ["a", None]}, "/choices/1", "wrong-type"),
    (CATEGORICAL | {"choices": ["a", ["b"]]}, "/choices/1", "wrong-type"),
    (CATEGORICAL | {"choices": ["a", NAN]}, "/choices/1", "not-finite"),
    (CATEGORICAL | {"choices": ["a\n"]}, "/choices/0", "control-character"),
    (CATEGORICAL | {"choices": ["a" * 1001]}, "/choices/0", "too-long"),
    (CATEGORICAL | {"choices": list(range(1001))}, "/choices", "too-many"),
    (CATEGORICAL | {"ordered": "yes"}, "/ordered", "wrong-type"),
    (CATEGORICAL | {"low": 1}, "/low", "unknown-field"),
    (FLOAT | {"hgih": 1}, "/hgih", "unknown-field"),
    (FLOAT | {"type": "flaot"}, "/type", "unknown-type"),
    (FLOAT | {"type": ["float"]}, "/type", "unknown-type"),
    (FLOAT | {"type": None}, "/type", "missing-field"),
    (FLOAT | {"name": None}, "/name", "missing-field"),
    (FLOAT | {"name": 3}, "/name", "wrong-type"),
    (FLOAT | {"name": "  "}, "/name", "empty"),
    (FLOAT | {"name": "a" * 201}, "/name", "too-long"),
    (FLOAT | {"name": "a\tb"}, "/name", "control-character"),
    (FLOAT | {"name": "a\ud800"}, "/name", "control-character"),
    (FLOAT | {"name": "a\u202eb"}, "/name", "control-character"),
]


@pytest.mark.parametrize(("parameter", "where", "code"), PARAMETER_FAULTS)
def test_a_faulty_parameter_is_named(parameter: dict[str, Any], where: str, code: str) -> None:
    assert found(space(parameter)) == {(f"/space/0{where}", code)}


PARENTS = [
    INT | {"step": 2},
    FLOAT,
    CATEGORICAL,
    {"name": "rate", "type": "float", "low": 0, "high": 1, "step": 0.1},
]

CONDITION_FAULTS: list[tuple[dict[str, Any] | str, str, str]] = [
    ({"param": "kinds", "in": ["plain"]}, "/param", "condition-on-unknown"),
    ({"param": "child", "in": [1]}, "/param", "condition-on-itself"),
    ({"param": "later", "in": [1]}, "/param", "condition-on-later"),
    ({"in": [1]}, "/param", "missing-field"),
    ({"param": "kind"}, "", "condition-empty"),
    ({"param": "units", "in": [1], "low": 1}, "", "condition-mixed"),
    ({"param": "kind", "in": ["thin"]}, "/in/0", "condition-impossible"),
    ({"param": "kind", "in": ["plain", "plain"]}, "/in/1", "repeated-choice"),
    ({"param": "kind", "in": []}, "/in", "no-choices"),
    ({"param": "kind", "in": "plain"}, "/in", "wrong-type"),
    ({"param": "kind", "low": 1}, "", "condition-on-categorical"),
    ({"param": "lr", "in": [0.01]}, "/in", "condition-on-continuous"),
    ({"param": "units", "in": [2]}, "/in/0", "condition-impossible"),
    ({"param": "units", "in": [True]}, "/in/0", "condition-impossible"),
    ({"param": "units", "in": [11]}, "/in/0", "condition-impossible"),
    ({"param": "units", "low": 10}, "", "condition-impossible"),
    ({"param": "units", "low": 5, "high": 4}, "", "condition-impossible"),
    ({"param": "units", "low": 4, "high": 4}, "", "condition-impossible"),
    ({"param": "rate", "low": 0.31, "high": 0.39}, "", "condition-impossible"),
    ({"param": "lr", "high": 0.0001}, "", "condition-impossible"),
    ({"param": "lr", "low": "x"}, "/low", "wrong-type"),
    ({"param": "kind", "in": ["plain"], "on": 1}, "/on", "unknown-field"),
    ("kind", "", "wrong-type"),
]


@pytest.mark.parametrize(("when", "where", "code"), CONDITION_FAULTS)
def test_a_faulty_condition_is_named(when: Any, where: str, code: str) -> None:
    child = {"name": "child", "type": "int", "low": 0, "high": 3, "when": when}
    later = {"name": "later", "type": "int", "low": 0, "high": 3}
    assert found(space(*PARENTS, child, later)) == {(f"/space/4/when{where}", code)}


STUDY_FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"name": None}, "/name", "missing-field"),
    ({"name": ""}, "/name", "empty"),
    ({"name": "a\x00"}, "/name", "control-character"),
    ({"nmae": "x"}, "/nmae", "unknown-field"),
    ({"a/b~c": 1}, "/a~1b~0c", "unknown-field"),
    ({"space": []}, "/space", "empty"),
    ({"space": None}, "/space", "missing-field"),
    ({"space": {}}, "/space", "wrong-type"),
    ({"space": [3]}, "/space/0", "wrong-type"),
    ({"space": [FLOAT, INT, FLOAT]}, "/space/2/name", "repeated-name"),
    ({"space": [FLOAT | {"name": f"p{k}"} for k in range(101)]}, "/space", "too-many"),
    ({"metrics": []}, "/metrics", "no-metric"),
    ({"metrics": None}, "/metrics", "missing-field"),
    ({"metrics": ["loss"]}, "/metrics/0", "wrong-type"),
    ({"metrics": [METRIC, METRIC]}, "/metrics/1/name", "repeated-name"),
    ({"metrics": [METRIC | {"direction": "minimise"}]}, "/metrics/0/direction", "unknown-value"),
    ({"metrics": [{"name": "loss"}]}, "/metrics/0/direction", "missing-field"),
    ({"metrics": [METRIC | {"role": "aim"}]}, "/metrics/0/role", "unknown-value"),
    (
        {"metrics": [METRIC | {"role": "constraint", "threshold": 1}]},
        "/metrics",
        "no-objective-metric",
    ),
    (
        {"metrics": [METRIC, {"name": "m", "direction": "minimize", "role": "constraint"}]},
        "/metrics/1/threshold",
        "no-threshold",
    ),
    (
        {"metrics": [METRIC | {"threshold": 1}]},
        "/metrics/0/threshold",
        "threshold-without-constraint",
    ),
    ({"suggester": {"name": "gpp"}}, "/suggester/name", "unknown-suggester"),
    ({"suggester": {"name": 3}}, "/suggester/name", "wrong-type"),
    ({"suggester": "gp"}, "/suggester", "wrong-type"),
    (
        {"suggester": {"name": "tpe", "options": {"n_inital": 3}}},
        "/suggester/options/n_inital",
        "unknown-option",
    ),
    (
        {"suggester": {"name": "tpe", "options": {"n_initial": 0}}},
        "/suggester/options/n_initial",
        "out-of-range",
    ),
    (
        {"suggester": {"name": "tpe", "options": {"n_initial": True}}},
        "/suggester/options/n_initial",
        "wrong-type",
    ),
    ({"suggester": {"seed": -1}}, "/suggester/seed", "out-of-range"),
    ({"suggester": {"seed": 1.5}}, "/suggester/seed", "not-an-integer"),
    ({"early_stopping": {"name": "asah"}}, "/early_stopping/name", "unknown-early-stopping"),
    ({"early_stopping": {"name": "non"}}, "/early_stopping/name", "unknown-early-stopping"),
    (
        {"early_stopping": {"name": "none", "options": {"eta": 3}}},
        "/early_stopping/options/eta",
        "unknown-option",
    ),
    ({"limits": {"max_trails": 1}}, "/limits/max_trails", "unknown-field"),
    ({"limits": {"max_trials": 0}}, "/limits/max_trials", "out-of-range"),
    ({"limits": {"max_trials": 2.5}}, "/limits/max_trials", "not-an-integer"),
    ({"limits": {"max_duration_s": 0}}, "/limits/max_duration_s", "out-of-range"),
    ({"limits": {"target": INF}}, "/limits/target", "not-finite"),
    ({"limits": {"target": "NaN"}}, "/limits/target", "wrong-type"),
    ({"limits": {"no_progress": {}}}, "/limits/no_progress", "missing-field"),
    ({"limits": {"no_progress": 3}}, "/limits/no_progress", "wrong-type"),
    (
        {"limits": {"no_progress": {"trials": 3, "min_gain": -1}}},
        "/limits/no_progress/min_gain",
        "out-of-range",
    ),
    ({"limits": []}, "/limits", "wrong-type"),
    ({"failure_policy": {"max_attempts": 0}}, "/failure_policy/max_attempts", "out-of-range"),
    ({"failure_policy": {"retry_nan": 1}}, "/failure_policy/retry_nan", "wrong-type"),
    ({"failure_policy": {"backoff_s": -1}}, "/failure_policy/backoff_s", "out-of-range"),
    ({"failure_policy": {"max_backoff_s": 1e9}}, "/failure_policy/max_backoff_s", "out-of-range"),
    ({"failure_policy": {"pause_after": 2.5}}, "/failure_policy/pause_after", "not-an-integer"),
    ({"failure_policy": {"retries": 0}}, "/failure_policy/retries", "unknown-field"),
    ({"resources": {"gpu": -0.5}}, "/resources/gpu", "out-of-range"),
    ({"resources": {"cpu": "2"}}, "/resources/cpu", "wrong-type"),
    ({"labels": {"a": 1}}, "/labels/a", "wrong-type"),
    ({"labels": {"a": "b\x07"}}, "/labels/a", "control-character"),
    ({"labels": {str(k): "" for k in range(33)}}, "/labels", "too-many"),
    ({"priority": 1001}, "/priority", "out-of-range"),
    ({"description": "a\x00"}, "/description", "control-character"),
    ({"description": "a" * 10_001}, "/description", "too-long"),
    ({"objective": 3}, "/objective", "wrong-type"),
    ({"objective": {}}, "/objective/name", "missing-field"),
    ({"objective": {"name": "own", "options": []}}, "/objective/options", "wrong-type"),
    ({"objective": {"name": "own", "options": {"a": NAN}}}, "/objective/options/a", "not-finite"),
    (
        {"objective": {"name": "own", "options": {"a": ["\ud800"]}}},
        "/objective/options/a/0",
        "control-character",
    ),
    (
        {"objective": {"name": "own", "options": {"a": list(range(1001))}}},
        "/objective/options",
        "too-many",
    ),
    ({"constraints": {}}, "/constraints", "wrong-type"),
    ({"constraints": [{"terms": {}, "op": "<=", "bound": 1}]}, "/constraints/0/terms", "empty"),
    (
        {"constraints": [{"terms": {"rl": 1}, "op": "<=", "bound": 1}]},
        "/constraints/0/terms/rl",
        "constraint-on-unknown",
    ),
    (
        {
            "space": [FLOAT, CATEGORICAL],
            "constraints": [{"terms": {"kind": 1}, "op": "<=", "bound": 1}],
        },
        "/constraints/0/terms/kind",
        "constraint-on-categorical",
    ),
    (
        {"constraints": [{"terms": {"lr": 1}, "op": "<", "bound": 1}]},
        "/constraints/0/op",
        "unknown-value",
    ),
    (
        {"constraints": [{"terms": {"lr": 1}, "op": "<="}]},
        "/constraints/0/bound",
        "missing-field",
    ),
    (
        {"constraints": [{"terms": {"lr": 1e303}, "op": "<=", "bound": 1}]},
        "/constraints/0",
        "out-of-range",
    ),
    (
        {"constraints": [{"terms": {"lr": 1}, "op": "<=", "bound": -1.1e300}]},
        "/constraints/0",
        "out-of-range",
    ),
    ({"suggester": {"name": "grid"}}, "/space/0/step", "grid-needs-step"),
    (
        {"suggester": {"name": "grid"}, "space": [INT | {"high": 2_000_000}]},
        "/suggester",
        "grid-too-large",
    ),
]


@pytest.mark.parametrize(("changes", "pointer", "code"), STUDY_FAULTS)
def test_a_faulty_study_is_named(changes: dict[str, Any], pointer: str, code: str) -> None:
    assert found(raw_study(**changes)) == {(pointer, code)}


@pytest.mark.parametrize("raw", [None, 3, "x", [], [{"name": "s"}], True])
def test_a_body_that_is_no_object_is_one_fault(raw: object) -> None:
    assert found(raw) == {("", "wrong-type")}


def test_all_faults_are_named_at_once() -> None:
    raw = raw_study(
        name="",
        metrics=[],
        space=[
            FLOAT | {"low": 1, "log": "x", "step": 0, "hihg": 1},
            INT | {"default": 2.5, "when": {"param": "x", "in": [1]}},
            CATEGORICAL | {"choices": ["a", "a"], "default": "b", "when": {"param": "lr"}},
        ],
        suggester={"name": "grid", "seed": "x", "options": {"a": 1}},
        early_stopping={"name": "medain"},
        limits={"max_trials": 0, "x": 1},
        labels=[],
    )
    assert found(raw) == {
        ("/name", "empty"),
        ("/metrics", "no-metric"),
        ("/space/0/hihg", "unknown-field"),
        ("/space/0/low", "low-not-below-high"),
        ("/space/0/log", "wrong-type"),
        ("/space/0/step", "step-not-positive"),
        ("/space/1/default", "not-an-integer"),
        ("/space/1/when/param", "condition-on-unknown"),
        ("/space/2/choices/1", "repeated-choice"),
        ("/space/2/default", "default-not-a-choice"),
        ("/space/2/when", "condition-empty"),
        ("/suggester/seed", "wrong-type"),
        ("/suggester/options/a", "unknown-option"),
        ("/early_stopping/name", "unknown-early-stopping"),
        ("/limits/max_trials", "out-of-range"),
        ("/limits/x", "unknown-field"),
        ("/labels", "wrong-type"),
    }


def test_a_condition_on_a_faulty_parent_is_no_fault_of_its_own() -> None:
    child = INT | {"when": {"param": "lr", "low": 5}}
    assert found(space(FLOAT | {"low": 1}, child)) == {("/space/0/low", "low-not-below-high")}


@pytest.mark.parametrize(
    ("changes", "miss"),
    [
        ({"space": [FLOAT | {"hgih": 1}]}, '"high"'),
        ({"suggester": {"name": "randm"}}, '"random"'),
        ({"suggester": {"name": "Sobol"}}, '"sobol"'),
        ({"suggester": {"name": "cmeas"}}, '"cmaes"'),
        ({"suggester": {"name": "gp", "options": {"ninitial": 1}}}, '"n_initial"'),
        ({"limits": {"max_trails": 1}}, '"max_trials"'),
        ({"limits": {"noprogress": 1}}, '"no_progress"'),
        ({"space": [INT, FLOAT | {"when": {"param": "unit", "low": 1}}]}, '"units"'),
        ({"metrics": [METRIC | {"direction": "minimise"}]}, '"minimize"'),
    ],
)
def test_a_near_miss_is_named(changes: dict[str, Any], miss: str) -> None:
    (fault,) = faults_of(raw_study(**changes))
    assert f"did you mean {miss}?" in fault.detail


def test_a_fault_says_the_rule_and_the_value_found() -> None:
    (fault,) = faults_of(space(FLOAT | {"low": 0.5}))
    assert fault.detail == "low must be below high, found low 0.5 and high 0.1."


def test_the_error_sums_up_its_faults() -> None:
    with pytest.raises(InvalidInput, match="has 2 faults"):
        check(raw_study(name="", metrics=[]))


def test_details_and_pointers_can_be_sent_as_utf_8() -> None:
    raw = raw_study(**{"\ud800": 1}, name="\udfff", space=[FLOAT | {"\udc00": 1}])
    for fault in faults_of(raw):
        (fault.pointer + fault.detail).encode()


def test_a_hostile_body_ends_in_a_bounded_list_of_faults() -> None:
    faults = faults_of({f"field{k}": 1 for k in range(100_000)})
    assert len(faults) == limit_of("faults")
    assert faults[-1].code == "too-many-faults"


@pytest.mark.parametrize("field", ["name", "objective", "metrics", "space", "limits", "labels"])
def test_a_very_deep_value_is_a_fault(field: str) -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    assert found(raw_study(**{field: deep}))
    assert found(raw_study(**{field: [{"options": deep, "when": deep}]}))


def test_deep_options_are_a_fault() -> None:
    deep: dict[str, Any] = {}
    for _ in range(50_000):
        deep = {"a": deep}
    objective = {"name": "own", "options": deep}
    assert found(raw_study(objective=objective)) == {("/objective/options", "too-deep")}


def test_no_seed_is_drawn_for_a_faulty_definition() -> None:
    def draw() -> int:
        raise AssertionError("drawn")

    with pytest.raises(InvalidInput):
        parse_definition(raw_study(name=""), draw_seed=draw)
