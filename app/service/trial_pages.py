"""Pages of trials that are picked or ordered by what no index of the database holds: from the table
that the plots keep, so that the hundredth page of a large study costs what the first does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Connection

from ..analysis.selection import (
    ABSENT,
    BOOLEAN,
    NUMBER,
    Keys,
    among,
    in_order,
    matching,
    number_keys,
    value_keys,
)
from ..analysis.table import Mask, TrialTable
from ..domain.selection import PARAM
from ..domain.study import Study
from ..domain.trial import Trial
from ..store import trial_lists
from ..store.page import Page, bounded, encode
from ..store.trial_lists import MISSING, PRESENT, TrialFilter
from .plot_tables import PlotTables


class TrialPages:
    """Pages of trials, by whichever way is the faster; both give the same."""

    def __init__(self, tables: PlotTables) -> None:
        self._tables = tables

    def page(
        self,
        conn: Connection,
        study: Study,
        *,
        filters: TrialFilter,
        order_by: str,
        size: int,
        token: str | None,
    ) -> Page[Trial]:
        """Trials of a study, in order; see `trial_lists.page`.

        Raises:
            InvalidInput: an unknown order, or a token of other filters.
        """
        if not _is_kept(filters, order_by):
            return trial_lists.page(
                conn, study.id, filters=filters, order_by=order_by, size=size, token=token
            )
        size = bounded(size)
        order = trial_lists.parse_order(order_by, conn.dialect.name)
        bound_to = trial_lists.named(study.id, filters, order_by)
        start = trial_lists.position(token, bound_to, order)
        table = self._tables.table(conn, study)
        keys = self._keys(study, table, order_by)
        mask = matching(table, filters.where, partial(self._tables.param_keys, study.id, table))
        mask &= among(table, filters.states)
        mask &= _rest(table, keys, start, is_descending=order.is_descending)
        present, missing = in_order(keys, mask, is_descending=order.is_descending)
        places = np.concatenate([present, missing])
        following = None
        if len(places) > size:
            last = int(places[size - 1])
            following = encode(_place(table, keys, last, len(order.keys)), bound_to)
        numbers = table.number[places[:size]].tolist()
        items = trial_lists.by_numbers(conn, study.id, numbers)
        return Page(items=tuple(items), next_page_token=following)

    def _keys(self, study: Study, table: TrialTable, order_by: str) -> Keys:
        name = order_by.removeprefix("-")
        if name == "value":
            return value_keys(table)
        if name == "number":
            return number_keys(table)
        return self._tables.param_keys(study.id, table, name.removeprefix(PARAM))


def _is_kept(filters: TrialFilter, order_by: str) -> bool:
    """Whether the kept table says it, and the database only by looking at every trial."""
    name = order_by.removeprefix("-")
    if filters.changed_since is not None or name == "created_at":
        return False
    return name.startswith(PARAM) or not filters.where.is_empty


def _rest(
    table: TrialTable,
    keys: Keys,
    start: tuple[int, Sequence[Any] | None],
    *,
    is_descending: bool,
) -> Mask:
    """Which trials come after a page's start."""
    phase, after = start
    if after is None:
        return np.ones(len(table), dtype=np.bool_)
    if phase == PRESENT:
        return keys.beyond(_whole(after), table.number, is_descending=is_descending)
    last = after[-1]
    is_after: Mask = table.number < last if is_descending else table.number > last
    is_after &= keys.kind == ABSENT
    return is_after


def _whole(after: Sequence[Any]) -> tuple[int, float, str, int]:
    """Kind, number, text and the trial's number of a place, of which some orders name a part."""
    *keys, number = after
    if len(keys) == 3:
        return keys[0], keys[1], keys[2], number
    return (NUMBER, keys[0], "", number) if keys else (BOOLEAN, 0.0, "", number)


def _place(table: TrialTable, keys: Keys, place: int, n_keys: int) -> list[Any]:
    """A trial's place in the order, as a page token has it."""
    number = int(table.number[place])
    if keys.kind[place] == ABSENT:
        return [MISSING, number, *(None for _ in range(n_keys))]
    whole = (int(keys.kind[place]), float(keys.number[place]), keys.texts[int(keys.text[place])])
    named = {0: (), 1: whole[1:2], 3: whole}
    return [PRESENT, number, *named[n_keys]]
