"""How trial lists are picked and ordered: the `where` parameter, a line of text or JSON, and
`order_by`.

The line is what a page's address holds: `learning_rate:1e-3..6e-3,model:batchnorm`, the terms
separated by commas, each a name and a range or a choice; a name that comes with several choices may
have any of them. Names and choices are percent-encoded where they hold `,`, `:`, `%` or `..`.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Query

from ..domain.selection import OWN, PARAM, ChoicesFilter, RangeFilter, Selection, WhereFilter
from ..domain.space import Choice
from ..domain.trial import TrialState
from ..errors import Fault, InvalidInput, MalformedRequest
from .bodies import parse_json
from .paging import read_states

MAX_NAMES, MAX_CHOICES = 64, 1_000

Order = Annotated[
    str,
    Query(
        max_length=250,
        description="`number`, `value`, `created_at` or `param:NAME`; `-` before it for "
        "descending. Trials without the value come last either way.",
    ),
]
Where = Annotated[
    str | None,
    Query(
        max_length=20_000,
        description="A selection: `name:low..high` (either bound may be absent) and `name:choice`, "
        "separated by commas; all have to hold, of several choices of a name any. `value`, "
        "`number` and `state` are the trial's own (a parameter of such a name is `param%3Avalue`); "
        "other names are the study's parameters, percent-encoded "
        "where they hold `,`, `:`, `%` or `..` (as are choices). Or the same as JSON: by "
        'parameter name `{"low": 0.1, "high": 0.9}` or `{"in": ["a", "b"]}`.',
        examples=["learning_rate:1e-3..6e-3,model:batchnorm,state:completed"],
    ),
]
_ORDER = re.compile(r"-?(number|value|created_at|param:.{1,200})", re.DOTALL)


def read_order(order_by: str) -> str:
    """The order of a list.

    Raises:
        InvalidInput: there is no such order.
    """
    if not _ORDER.fullmatch(order_by):
        detail = "order_by is number, value, created_at or param:NAME, with - for descending"
        fault = Fault(pointer="/order_by", code="unknown-value", detail=detail)
        raise InvalidInput(detail, faults=[fault])
    return order_by


def read_selection(text: str | None) -> Selection:
    """What a `where` parameter picks; all trials without it.

    Raises:
        InvalidInput: it is of neither form.
    """
    if text is None:
        return Selection()
    return _from_json(text) if text.lstrip().startswith("{") else _from_line(text)


def _from_json(text: str) -> Selection:
    try:
        value = parse_json(text.encode("utf-8", "surrogatepass"))
    except MalformedRequest as error:
        raise _wrong(f"where is not JSON: {error.detail}") from error
    if not isinstance(value, dict) or len(value) > MAX_NAMES:
        raise _wrong(f"where is an object of at most {MAX_NAMES} names")
    return Selection(params={name: _filter(name, given) for name, given in value.items()})


def _filter(name: str, given: Any) -> WhereFilter:
    if isinstance(given, dict) and given:
        if set(given) == {"in"} and _is_choices(given["in"]):
            return ChoicesFilter(choices=tuple(given["in"]))
        if set(given) <= {"low", "high"} and all(_is_number(bound) for bound in given.values()):
            return RangeFilter(low=given.get("low"), high=given.get("high"))
    raise _wrong(f'{name[:60]!r} needs {{"low": ..., "high": ...}} or {{"in": [...]}}')


def _is_choices(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= MAX_CHOICES
        and all(isinstance(item, (str, int, float, bool)) for item in value)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _from_line(text: str) -> Selection:
    terms = [term for term in text.split(",") if term.strip()]
    if len(terms) > MAX_CHOICES:
        raise _wrong(f"where has at most {MAX_CHOICES} terms, found {len(terms)}")
    ranges: dict[str, RangeFilter] = {}
    choices: dict[str, list[str]] = {}
    for term in terms:
        raw, colon, what = term.partition(":")
        name = unquote(raw.strip())
        if not colon or not name or not what.strip():
            raise _wrong(f"{term[:60]!r} is no name:low..high and no name:choice")
        if ".." in what:
            if name in ranges or name in choices:
                raise _wrong(f"{name[:60]!r} has a range beside another term")
            ranges[name] = _range(name, what)
        elif name in ranges:
            raise _wrong(f"{name[:60]!r} has a range beside another term")
        else:
            choices.setdefault(name, []).append(unquote(what.strip()))
    if len(ranges) + len(choices) > MAX_NAMES:
        raise _wrong(f"where has at most {MAX_NAMES} names")
    return _selection(ranges, choices)


def _selection(ranges: dict[str, RangeFilter], choices: dict[str, list[str]]) -> Selection:
    params: dict[str, WhereFilter] = {
        name.removeprefix(PARAM): rule for name, rule in ranges.items() if name not in OWN
    }
    for name, texts in choices.items():
        if name not in OWN:
            read = tuple(choice for text in texts for choice in _readings(text))
            params[name.removeprefix(PARAM)] = ChoicesFilter(choices=read)
    if "state" in ranges:
        raise _wrong("'state' has no range")
    return Selection(
        params=params,
        value=_bounds("value", ranges, choices),
        number=_bounds("number", ranges, choices),
        states=read_states(TrialState, choices.get("state", ())),
    )


def _bounds(
    name: str, ranges: dict[str, RangeFilter], choices: dict[str, list[str]]
) -> RangeFilter | None:
    """The range of what every trial has, of one number where no range is named."""
    if name not in choices:
        return ranges.get(name)
    if len(choices[name]) > 1:
        raise _wrong(f"{name!r} is named twice")
    number = _number(name, choices[name][0])
    return RangeFilter(low=number, high=number)


def _range(name: str, text: str) -> RangeFilter:
    low, _, high = text.partition("..")
    bounds = [None if not bound.strip() else _number(name, unquote(bound)) for bound in (low, high)]
    return RangeFilter(low=bounds[0], high=bounds[1])


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise _wrong(f"{name[:60]!r} needs numbers, found {text[:60]!r}") from error
    if not math.isfinite(number):
        raise _wrong(f"{name[:60]!r} needs finite numbers, found {text[:60]!r}")
    return number


def _readings(text: str) -> list[Choice]:
    """The choices that a text may mean: itself, and the number or truth value that it spells. In
    double quotes it is a text alone.
    """
    if len(text) > 1 and text[0] == text[-1] == '"':
        return [text[1:-1]]
    found: list[Choice] = [text]
    if text in ("true", "false"):
        return [*found, text == "true"]
    try:
        number = float(text)
    except ValueError:
        return found
    return [*found, number] if math.isfinite(number) else found


def _wrong(detail: str) -> InvalidInput:
    return InvalidInput(detail, faults=[Fault(pointer="/where", code="selection", detail=detail)])
