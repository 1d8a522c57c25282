"""Definitions and studies for the tests of the domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.domain.definition import Checked, parse_definition
from app.domain.fault_codes import FAULT_CODES
from app.domain.space import Params, Space, Value, is_active
from app.domain.study import Study, StudyState
from app.domain.worker import ObjectiveOffer
from app.errors import Fault, InvalidInput

START = datetime(2030, 1, 1, tzinfo=UTC)

FLOAT = {"name": "lr", "type": "float", "low": 0.001, "high": 0.1}
INT = {"name": "units", "type": "int", "low": 1, "high": 9}
CATEGORICAL = {"name": "kind", "type": "categorical", "choices": ["plain", "wide"]}
METRIC = {"name": "loss", "direction": "minimize"}


def raw_study(**changes: Any) -> dict[str, Any]:
    """A small valid definition as a body, with fields changed."""
    body = {"name": "s", "metrics": [METRIC], "space": [FLOAT], "limits": {"max_trials": 5}}
    return body | changes


def check(raw: object, *, offers: Sequence[ObjectiveOffer] = (), seed: int = 7) -> Checked:
    """Parses a body with a fixed seed to draw."""
    return parse_definition(raw, draw_seed=lambda: seed, offers=offers)


def faults_of(raw: object, *, offers: Sequence[ObjectiveOffer] = ()) -> tuple[Fault, ...]:
    """The faults of a body; none when it is valid."""
    try:
        check(raw, offers=offers)
    except InvalidInput as error:
        code, faults = error.code, error.faults
    else:
        return ()
    assert code == "invalid-study"
    assert {fault.code for fault in faults} <= set(FAULT_CODES)
    return faults


def found(raw: object, *, offers: Sequence[ObjectiveOffer] = ()) -> set[tuple[str, str]]:
    """Pointer and code of each fault of a body."""
    return {(fault.pointer, fault.code) for fault in faults_of(raw, offers=offers)}


def study_of(
    *, state: StudyState = StudyState.ACTIVE, definition: Mapping[str, Any] = {}, **fields: Any
) -> Study:
    """A study that began at `START`, with fields of the study and its definition changed."""
    present: dict[str, Any] = {
        "id": "st_1",
        "definition": check(raw_study(limits={}) | dict(definition)).definition,
        "state": state,
        "counts": {},
        "places": 0,
        "next_number": 1,
        "results_seq": 0,
        "change_seq": 0,
        "revision": 1,
        "created_at": START,
        "updated_at": START,
        "started_at": START,
    }
    return Study(**(present | fields))


def keep_active(space: Space, full: Params) -> dict[str, Value]:
    """The active parameters of a point that has a value for every parameter of the space, in order.

    Raises:
        KeyError: an active parameter has no value.
    """
    kept: dict[str, Value] = {}
    for parameter in space.parameters:
        if is_active(parameter, kept):
            kept[parameter.name] = full[parameter.name]
    return kept
