"""Lists of trials: pages in any order by keyset, the suggester's delta, the best ones."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Select,
    bindparam,
    cast,
    select,
    tuple_,
)

from ..domain.selection import RangeFilter, Selection
from ..domain.study import Direction, Study
from ..domain.trial import Trial, TrialState
from ..errors import Fault, InvalidInput
from .page import Page, bounded, decode, encode
from .param_keys import param_keys
from .rows import AnyRow, trial_of
from .tables import trials
from .trial_select import SELECT_TRIALS, first_metric
from .types import from_micros, to_micros

_MAX_SEQ = 2**63 - 1
_LARGEST = sys.float_info.max
PRESENT, MISSING = 0, 1
"""Parts of a list: trials that have the value it is ordered by, then those without."""

RANKED_STATES = (TrialState.COMPLETED, TrialState.STOPPED)
"""States whose values may be a best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFilter:
    """Which trials to list: in one of `states` (all when empty), changed after `changed_since`, and
    left in by `where`.
    """

    states: tuple[TrialState, ...] = ()
    changed_since: int | None = None
    where: Selection = field(default_factory=Selection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order: its keys without the number that settles ties, and which trials come last.

    Attributes:
        kinds: types of the keys in a page token.
        missing: expression that is NULL where a trial has no such value; None: all have one.
    """

    keys: tuple[ColumnElement[Any], ...] = ()
    kinds: tuple[type | tuple[type, ...], ...] = ()
    missing: ColumnElement[Any] | None = None
    is_descending: bool = False


def page(
    conn: Connection,
    study_id: str,
    *,
    filters: TrialFilter,
    order_by: str = "number",
    size: int,
    token: str | None = None,
) -> Page[Trial]:
    """Trials of a study, in order; those that lack the value come last in both directions.

    Args:
        order_by: "number", "value", "created_at" or "param:NAME"; with "-" before it, descending.
        size: items at most, 1..1000 (coerced).
        token: where the page before ended; None for the first.

    Raises:
        InvalidInput: an unknown order, or a token of other filters.
    """
    order, size = parse_order(order_by, conn.dialect.name), bounded(size)
    bound_to = named(study_id, filters, order_by)
    phase, after = position(token, bound_to, order)
    base = _filtered(conn.dialect.name, study_id, filters)
    rows: list[AnyRow] = []
    if phase == PRESENT:
        rows = _fetch(conn, base, order, PRESENT, after, size + 1)
        after = None
    n_present = len(rows)
    if order.missing is not None and n_present <= size:
        rows += _fetch(conn, base, order, MISSING, after, size + 1 - n_present)
    following = None
    if len(rows) > size:
        is_missing = size > n_present or phase == MISSING
        following = encode(_place(rows[size - 1], order, is_missing), bound_to)
    return Page(items=tuple(trial_of(row) for row in rows[:size]), next_page_token=following)


def parse_order(order_by: str, dialect: str) -> Order:
    name = order_by.removeprefix("-")
    down = name != order_by
    if name == "number":
        return Order(is_descending=down)
    if name == "created_at":
        return Order(keys=(trials.c.created_at,), kinds=(int,), is_descending=down)
    if name == "value":
        value = trials.c.value
        return Order(keys=(value,), kinds=((int, float),), missing=value, is_descending=down)
    if name.startswith("param:"):
        keys = param_keys(name.removeprefix("param:"), dialect)
        return Order(
            keys=(keys.kind, keys.number, keys.text),
            kinds=(int, (int, float), str),
            missing=keys.kind,
            is_descending=down,
        )
    detail = "order_by is number, value, created_at or param:NAME, with - before it to descend"
    fault = Fault(pointer="/order_by", code="unknown-value", detail=detail)
    raise InvalidInput(detail, faults=[fault])


def named(study_id: str, filters: TrialFilter, order_by: str) -> list[Any]:
    """What decides which trials are listed in which order; a page token is bound to it."""
    states = sorted(filters.states)
    return ["trials", study_id, order_by, states, filters.changed_since, filters.where.key()]


def position(
    token: str | None, bound_to: list[Any], order: Order
) -> tuple[int, Sequence[Any] | None]:
    """Which part the page starts in (trials with the value, or those without) and after what: the
    keys of the order and the trial's number.
    """
    if token is None:
        return PRESENT, None
    phase, number, *keys = decode(
        token, bound_to, (int, int, *((*_kinds(kind), type(None)) for kind in order.kinds))
    )
    if phase == MISSING:
        return MISSING, (number,)
    if order.kinds == (int,):
        keys = [from_micros(keys[0] or 0)]
    return PRESENT, (*keys, number)


def _kinds(kind: type | tuple[type, ...]) -> tuple[type, ...]:
    return kind if isinstance(kind, tuple) else (kind,)


def _place(row: AnyRow, order: Order, is_missing: bool) -> list[Any]:
    if is_missing:
        return [MISSING, row.number, *(None for _ in order.keys)]
    keys = [getattr(row, f"key_{k}") for k in range(len(order.keys))]
    return [
        PRESENT,
        row.number,
        *(to_micros(key) if isinstance(key, datetime) else key for key in keys),
    ]


def _filtered(dialect: str, study_id: str, filters: TrialFilter) -> Select[Any]:
    statement = SELECT_TRIALS.where(trials.c.study_id == study_id)
    if filters.states:
        statement = statement.where(trials.c.state.in_([str(s) for s in filters.states]))
    if filters.changed_since is not None:
        statement = statement.where(trials.c.change_seq > min(filters.changed_since, _MAX_SEQ))
    return _selected(dialect, statement, filters.where)


def _selected(dialect: str, statement: Select[Any], where: Selection) -> Select[Any]:
    for name, rule in sorted(where.params.items()):
        keys = param_keys(name, dialect)
        if isinstance(rule, RangeFilter):
            statement = statement.where(keys.within(rule.low, rule.high))
        else:
            statement = statement.where(keys.is_one_of(rule.choices))
    for column, bounds in ((trials.c.value, where.value), (trials.c.number, where.number)):
        if bounds is not None:
            low = -_LARGEST if bounds.low is None else bounds.low
            high = _LARGEST if bounds.high is None else bounds.high
            statement = statement.where(cast(column, Double).between(low, high))
    if where.states:
        statement = statement.where(trials.c.state.in_([str(s) for s in where.states]))
    return statement


def _fetch(
    conn: Connection,
    base: Select[Any],
    order: Order,
    phase: int,
    after: Sequence[Any] | None,
    limit: int,
) -> list[AnyRow]:
    keys = order.keys if phase == PRESENT else ()
    statement = base.add_columns(*(key.label(f"key_{k}") for k, key in enumerate(keys)))
    if order.missing is not None:
        is_there = order.missing.is_not(None) if phase == PRESENT else order.missing.is_(None)
        statement = statement.where(is_there)
    ranks = (*keys, trials.c.number)
    if after is not None:
        place = tuple_(*ranks)
        statement = statement.where(
            place < tuple(after) if order.is_descending else place > tuple(after)
        )
    sort = [rank.desc() if order.is_descending else rank.asc() for rank in ranks]
    return list(conn.execute(statement.order_by(*sort).limit(limit)))


_BY_NUMBER = SELECT_TRIALS.where(
    trials.c.study_id == bindparam("b_study_id"),
    trials.c.number.in_(bindparam("b_numbers", expanding=True)),
)


def by_numbers(conn: Connection, study_id: str, numbers: Sequence[int]) -> list[Trial]:
    """The trials of some numbers, in the order of the numbers given; without those that the
    transaction does not see.
    """
    rows = conn.execute(_BY_NUMBER, {"b_study_id": study_id, "b_numbers": list(numbers)})
    found = {row.number: trial_of(row) for row in rows}
    return [found[number] for number in numbers if number in found]


_CHANGED = SELECT_TRIALS.where(
    trials.c.study_id == bindparam("b_study_id"), trials.c.change_seq > bindparam("b_seq")
).order_by(trials.c.number)


def changed_since(conn: Connection, study_id: str, seq: int) -> list[Trial]:
    """Trials whose last change came after `seq` in the study's sequence, by number."""
    rows = conn.execute(_CHANGED, {"b_study_id": study_id, "b_seq": min(seq, _MAX_SEQ)})
    return [trial_of(row) for row in rows]


HAS_VALUE = (
    trials.c.study_id == bindparam("b_study_id"),
    trials.c.state.in_([str(state) for state in RANKED_STATES]),
    trials.c.value.is_not(None),
)
"""What a trial keeps that may be a best, of the study `b_study_id`."""
_RANKED = {
    Direction.MINIMIZE: SELECT_TRIALS.where(*HAS_VALUE).order_by(trials.c.value, trials.c.number),
    Direction.MAXIMIZE: SELECT_TRIALS.where(*HAS_VALUE).order_by(
        trials.c.value.desc(), trials.c.number
    ),
}
_FINISHED = (
    select(trials.c.id, trials.c.number, trials.c.final_values, trials.c.ended_at)
    .where(*HAS_VALUE)
    .order_by(trials.c.number)
)
_NEWEST_PROVENANCES = (
    select(trials.c.provenance)
    .where(trials.c.study_id == bindparam("b_study_id"))
    .order_by(trials.c.number.desc())
    .limit(bindparam("b_limit"))
)


def best(conn: Connection, study: Study, k: int) -> list[Trial]:
    """The `k` best completed or stopped trials by the first objective, best first.

    Equal values come in the order of their numbers. A trial that breaks a constraint metric's
    threshold, or has no value for it, is no best.
    """
    definition = study.definition
    ranked = _RANKED[first_metric(definition).direction]
    if len(definition.objectives) == len(definition.metrics):
        ranked = ranked.limit(k)
    found: list[Trial] = []
    for row in conn.execute(ranked, {"b_study_id": study.id}):
        if len(found) == k:
            break
        if definition.is_feasible(row.final_values):
            found.append(trial_of(row))
    return found


def finished_values(
    conn: Connection, study_id: str
) -> list[tuple[str, int, dict[str, float], datetime]]:
    """Id, number, values and end of every trial that has a finite first objective, by number."""
    rows = conn.execute(_FINISHED, {"b_study_id": study_id})
    return [(row.id, row.number, row.final_values, row.ended_at) for row in rows]


def newest_provenances(conn: Connection, study_id: str, n: int) -> list[dict[str, Any]]:
    """What the suggester noted of each of the `n` newest trials, newest first."""
    rows = conn.execute(_NEWEST_PROVENANCES, {"b_study_id": study_id, "b_limit": n})
    return [row.provenance for row in rows]
