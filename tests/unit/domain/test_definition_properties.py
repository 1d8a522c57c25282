"""Properties of the parser over generated bodies: stable, and never another exception."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.changes import CHANGEABLE
from app.domain.definition import (
    FIELDS,
    apply_changes,
    definition_to_json,
    differences,
    parse_changes,
    parse_definition,
)
from app.domain.fault_codes import FAULT_CODES
from app.domain.points import check_point
from app.domain.space import Space, values_of
from app.domain.study import StudyDefinition
from app.errors import InvalidInput

from .building import check, keep_active, raw_study

WORDS = (
    *FIELDS,
    *("type", "low", "high", "log", "step", "default", "when", "choices", "in", "param", "seed"),
    *("float", "int", "categorical", "minimize", "gp", "grid", "none", "mnist-mlp", "options"),
    *("max_trials", "no_progress", "trials", "terms", "op", "bound", "<=", "epochs", "a", ""),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 9),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(st.characters()),
)
KEYS = st.one_of(st.sampled_from(WORDS), st.text(max_size=5))
GARBAGE = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=15,
)
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
NAMES = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8)


@st.composite
def parameters(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A valid parameter of any type."""
    item: dict[str, Any] = {"name": name, "type": draw(st.sampled_from(["f", "i", "c"]))}
    if item["type"] == "c":
        choice = st.one_of(NAMES, st.booleans(), st.integers(-99, 99), NUMBERS)
        choices = draw(st.lists(choice, min_size=1, max_size=6, unique_by=repr))
        kept = {(isinstance(c, bool), c): c for c in choices}
        return item | {"type": "categorical", "choices": list(kept.values())}
    low = draw(st.integers(1, 1000))
    high = low + draw(st.integers(1, 1000))
    log = draw(st.booleans())
    if item["type"] == "i":
        step = draw(st.integers(1, high - low))
        return item | {"type": "int", "low": low, "high": high, "log": log, "step": step}
    least, most = low / 7, high / 7
    step_f = None if log else draw(st.none() | st.floats(0.01, (high - low) / 8))
    return item | {"type": "float", "low": least, "high": most, "log": log, "step": step_f}


@st.composite
def studies(draw: st.DrawFn) -> dict[str, Any]:
    """A valid body with several parameters and conditions on categorical ones."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    space: list[dict[str, Any]] = []
    for name in names:
        item = draw(parameters(name))
        parents = [p for p in space if p["type"] == "categorical"]
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            item["when"] = {
                "param": parent["name"],
                "in": [draw(st.sampled_from(parent["choices"]))],
            }
        space.append(item)
    limits = {"max_trials": draw(st.integers(1, 99)), "target": draw(st.none() | NUMBERS)}
    metrics = [{"name": draw(NAMES), "direction": draw(st.sampled_from(["minimize", "maximize"]))}]
    return {"name": draw(NAMES), "space": space, "metrics": metrics, "limits": limits}


def parsed(raw: object) -> StudyDefinition | None:
    """The definition of a body, or None when it has faults, each fit to be sent."""
    try:
        return check(raw).definition
    except InvalidInput as error:
        faults = error.faults
    assert faults
    for fault in faults:
        assert fault.code in FAULT_CODES
        assert fault.pointer == "" or fault.pointer.startswith("/")
        assert json.dumps([fault.pointer, fault.detail], ensure_ascii=False).encode()
        assert fault.detail.endswith((".", "?"))
    return None


@given(GARBAGE)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_garbage_is_refused_and_never_breaks_the_parser(raw: object) -> None:
    parsed(raw)


@given(st.sampled_from(FIELDS), GARBAGE)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_garbage_in_one_field_never_breaks_the_parser(field: str, value: object) -> None:
    parsed(raw_study(**{field: value}))


@given(st.dictionaries(st.sampled_from(CHANGEABLE), GARBAGE))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_garbage_changes_are_refused_or_applied(raw: dict[str, Any]) -> None:
    definition = check(raw_study()).definition
    try:
        changes = parse_changes(raw)
    except InvalidInput:
        return
    after = apply_changes(definition, changes)
    assert check(definition_to_json(after)).definition == after


@given(studies())
@settings(max_examples=60, deadline=None)
def test_parsing_the_json_of_a_definition_gives_it_again(raw: dict[str, Any]) -> None:
    definition = check(raw).definition
    text = json.dumps(definition_to_json(definition))
    again = parse_definition(json.loads(text), draw_seed=lambda: 0).definition
    assert again == definition
    assert json.dumps(definition_to_json(again)) == text
    assert differences(definition, again) == []


@given(studies(), st.data())
@settings(max_examples=60, deadline=None)
def test_every_value_of_a_space_makes_a_point_that_is_kept(
    raw: dict[str, Any], data: st.DataObject
) -> None:
    space = check(raw).definition.space
    point = keep_active(space, drawn(space, data))
    kept, faults = check_point(space, json.loads(json.dumps(point)), partial=False, pointer="")
    assert (kept, faults) == (point, [])


def drawn(space: Space, data: st.DataObject) -> dict[str, Any]:
    """A value for every parameter, active or not."""
    point: dict[str, Any] = {}
    for parameter in space.parameters:
        values = values_of(parameter)
        if values is not None:
            point[parameter.name] = values[data.draw(st.integers(0, len(values) - 1))]
        else:
            low, high = getattr(parameter, "low", 0.0), getattr(parameter, "high", 1.0)
            point[parameter.name] = data.draw(st.floats(low, high))
    return point


@given(studies(), GARBAGE, st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_garbage_point_never_breaks_the_check(
    raw: dict[str, Any], params: object, partial: bool
) -> None:
    space = check(raw).definition.space
    point, faults = check_point(space, params, partial=partial, pointer="/p")
    assert faults or set(point) <= set(space.names)
