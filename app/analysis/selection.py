"""Trials picked and put in order from a study's table, without a look into the database.

The order is that of the database's lists: a value by its kind (booleans, numbers, strings), then as
a number, then as a text; trials that lack it last; ties by number.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..domain.selection import ChoicesFilter, RangeFilter, Selection, WhereFilter
from .table import STATES, Floats, Ints, Mask, TrialTable

BOOLEAN, NUMBER, TEXT, ABSENT = 0, 1, 2, 3
"""Kinds of values in their order; absent ones come last."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Keys:
    """What each trial is ordered by; arrays of shape (n,).

    Attributes:
        kind: one of the kinds above.
        number: 0 for texts and absent values.
        text: place in `texts`, 0 for other kinds.
        texts: all texts, ascending; "" is the first.
    """

    kind: Ints
    number: Floats
    text: Ints
    texts: tuple[str, ...] = ("",)

    def within(self, rule: RangeFilter) -> Mask:
        """Which are numbers in a range."""
        low = -np.inf if rule.low is None else rule.low
        high = np.inf if rule.high is None else rule.high
        found: Mask = (self.kind == NUMBER) & (self.number >= low) & (self.number <= high)
        return found

    def is_one_of(self, rule: ChoicesFilter) -> Mask:
        """Which equal one of some choices; true is not 1, but 1 is 1.0."""
        found = np.zeros(len(self.kind), dtype=np.bool_)
        for choice in rule.choices:
            if isinstance(choice, str):
                place = bisect_left(self.texts, choice)
                if self.texts[place : place + 1] == (choice,):
                    found |= (self.kind == TEXT) & (self.text == place)
            else:
                kind = BOOLEAN if isinstance(choice, bool) else NUMBER
                found |= (self.kind == kind) & (self.number == float(choice))
        return found

    def beyond(self, after: Sequence[Any], numbers: Ints, *, is_descending: bool) -> Mask:
        """Which come after a place in the order: (kind, number, text, number of the trial). Those
        that lack the value come after all others.
        """
        kind, number, text, last = after
        place = bisect_left(self.texts, text)
        is_known = self.texts[place : place + 1] == (text,)
        columns = (self.kind, self.number, 2 * self.text, numbers)
        bounds = (kind, number, 2 * place - (not is_known), last)
        found = np.zeros(len(numbers), dtype=np.bool_)
        is_equal = np.ones(len(numbers), dtype=np.bool_)
        for column, bound in zip(columns, bounds, strict=True):
            found |= is_equal & (column < bound if is_descending else column > bound)
            is_equal &= column == bound
        found |= self.kind == ABSENT
        return found


def param_keys(table: TrialTable, name: str) -> Keys:
    """The keys of a parameter."""
    values = [params.get(name) for params in table.params]
    texts = ("", *sorted({value for value in values if isinstance(value, str)} - {""}))
    place = {text: at for at, text in enumerate(texts)}
    return Keys(
        kind=np.array([_kind(value) for value in values], dtype=np.int64),
        number=np.array(
            [0.0 if value is None or isinstance(value, str) else value for value in values],
            dtype=np.float64,
        ),
        text=np.array(
            [place[value] if isinstance(value, str) else 0 for value in values], dtype=np.int64
        ),
        texts=texts,
    )


def _kind(value: object) -> int:
    if value is None:
        return ABSENT
    if isinstance(value, str):
        return TEXT
    return BOOLEAN if isinstance(value, bool) else NUMBER


def value_keys(table: TrialTable) -> Keys:
    """The keys of the final value of the first objective."""
    is_there = np.isfinite(table.value)
    return Keys(
        kind=np.where(is_there, NUMBER, ABSENT),
        number=np.where(is_there, table.value, 0.0),
        text=np.zeros(len(table), dtype=np.int64),
    )


def number_keys(table: TrialTable) -> Keys:
    """The keys of an order by number alone."""
    zeros = np.zeros(len(table), dtype=np.int64)
    return Keys(kind=zeros, number=zeros.astype(np.float64), text=zeros)


def matching(table: TrialTable, chosen: Selection, keys: Callable[[str], Keys]) -> Mask:
    """Which trials a selection leaves in.

    Args:
        keys: those of a parameter.
    """
    found = np.ones(len(table), dtype=np.bool_)
    for name, rule in chosen.params.items():
        found &= _keeps(keys(name), rule)
    if chosen.value is not None:
        found &= value_keys(table).within(chosen.value)
    if chosen.number is not None:
        numbers = number_keys(table)
        one = np.full(len(table), NUMBER)
        by_number = Keys(kind=one, number=table.number.astype(np.float64), text=numbers.text)
        found &= by_number.within(chosen.number)
    return found & among(table, chosen.states)


def _keeps(keys: Keys, rule: WhereFilter) -> Mask:
    return keys.within(rule) if isinstance(rule, RangeFilter) else keys.is_one_of(rule)


def among(table: TrialTable, states: Sequence[Any]) -> Mask:
    """Which trials are in one of some states; all when none is named."""
    if not states:
        return np.ones(len(table), dtype=np.bool_)
    return np.isin(table.state, [STATES.index(state) for state in states])


def in_order(keys: Keys, mask: Mask, *, is_descending: bool) -> tuple[Ints, Ints]:
    """Places of some trials in the order of their keys, and of those without one by number."""
    places = np.flatnonzero(mask)
    is_there = keys.kind[places] != ABSENT
    present, missing = places[is_there], places[~is_there]
    columns = [column[present] for column in (keys.text, keys.number, keys.kind)]
    varying = [column for column in columns if len(column) and (column != column[0]).any()]
    if varying:
        present = present[np.lexsort(varying)]
    if is_descending:
        return present[::-1], missing[::-1]
    return present, missing
