"""PATCH bodies, and the differences that a PUT by name reports."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.definition import UNSET, apply_changes, differences, parse_changes
from app.domain.study import Limits, NoProgress, StudyDefinition
from app.errors import InvalidInput

from .building import FLOAT, INT, check, raw_study


def definition(**changes: Any) -> StudyDefinition:
    return check(raw_study(**changes)).definition


def patched(body: dict[str, Any], **changes: Any) -> StudyDefinition:
    return apply_changes(definition(**changes), parse_changes(body))


def test_given_limits_replace_field_by_field() -> None:
    limits = {"max_trials": 5, "max_parallel": 2, "target": 0.5}
    after = patched({"limits": {"max_trials": 9, "target": None}}, limits=limits).limits
    assert after == Limits(max_trials=9, max_parallel=2)


def test_no_progress_is_replaced_and_taken_away_whole() -> None:
    limits = {"no_progress": {"trials": 5, "min_gain": 0.5}}
    replaced = patched({"limits": {"no_progress": {"seconds": 9}}}, limits=limits).limits
    assert replaced.no_progress == NoProgress(seconds=9.0)
    assert patched({"limits": {"no_progress": None}}, limits=limits).limits.no_progress is None


def test_null_limits_take_all_away() -> None:
    assert patched({"limits": None}).limits == Limits()


def test_given_resources_replace_field_by_field() -> None:
    after = patched({"resources": {"gpu": 0.5, "cpu": None}}, resources={"cpu": 4, "gpu": 1})
    assert (after.resources.gpu, after.resources.cpu) == (0.5, 1.0)


def test_labels_are_replaced_whole() -> None:
    assert patched({"labels": {"b": "2"}}, labels={"a": "1"}).labels == {"b": "2"}
    assert patched({"labels": None}, labels={"a": "1"}).labels == {}


def test_priority_and_description_are_replaced() -> None:
    after = patched({"priority": 3, "description": "two\nlines"})
    assert (after.priority, after.description) == (3, "two\nlines")


def test_nothing_given_changes_nothing() -> None:
    changes = parse_changes({})
    assert changes.limits is UNSET
    assert apply_changes(definition(), changes) == definition()


def test_the_rest_of_a_definition_cannot_be_changed() -> None:
    body = {"space": [], "limits": {"max_trails": 1}, "lables": {}, "priority": "x"}
    with pytest.raises(InvalidInput) as caught:
        parse_changes(body)
    assert caught.value.code == "invalid-study"
    assert {(f.pointer, f.code) for f in caught.value.faults} == {
        ("/space", "not-changeable"),
        ("/limits/max_trails", "unknown-field"),
        ("/lables", "unknown-field"),
        ("/priority", "wrong-type"),
    }


@pytest.mark.parametrize("body", [None, [], 3, "x"])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    with pytest.raises(InvalidInput):
        parse_changes(body)


def test_equal_definitions_do_not_differ() -> None:
    assert differences(definition(), definition(space=[FLOAT | {"low": 0.001}])) == []


def test_what_may_be_changed_is_not_compared() -> None:
    other = definition(
        limits={"max_trials": 99},
        labels={"a": "b"},
        priority=3,
        description="x",
        resources={"cpu": 2},
    )
    assert differences(definition(), other) == []


def test_a_difference_names_both_values() -> None:
    diff = differences(definition(), definition(space=[FLOAT | {"high": 0.2}]))
    assert diff == [{"pointer": "/space/0/high", "stored": 0.1, "given": 0.2}]


def test_an_added_parameter_differs_from_nothing() -> None:
    (diff,) = differences(definition(), definition(space=[FLOAT, INT]))
    assert (diff["pointer"], diff["stored"]) == ("/space/1", None)
    assert diff["given"]["name"] == "units"


def test_a_drawn_seed_is_not_compared() -> None:
    stored, given = check(raw_study(), seed=1).definition, check(raw_study(), seed=2)
    assert [d["pointer"] for d in differences(stored, given.definition)] == ["/suggester/seed"]
    assert differences(stored, given.definition, seed_given=given.seed_given) == []


def test_true_and_1_differ() -> None:
    choices = {"name": "c", "type": "categorical"}
    a = definition(space=[choices | {"choices": [1, 2]}])
    b = definition(space=[choices | {"choices": [True, 2]}])
    assert [d["pointer"] for d in differences(a, b)] == ["/space/0/choices/0"]
