"""Lists of studies: filtered, in an order, page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, String, cast, func, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from ..domain.study import Study, StudyState
from .page import Page, bounded, cut, decode
from .rows import AnyRow, study_of
from .tables import studies
from .types import from_micros, to_micros


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFilter:
    """Which studies to list: in one of `states` (all when empty), with all `labels`, whose name
    begins with `name_prefix` and contains `name_contains`, that in either case.
    """

    states: tuple[StudyState, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    name_prefix: str = ""
    name_contains: str = ""


class StudyOrder(StrEnum):
    """An order of studies; `-` is descending."""

    CREATED = "created_at"
    NEWEST = "-created_at"
    UPDATED = "updated_at"
    LATEST = "-updated_at"
    NAME = "name"
    NAME_DOWN = "-name"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """A column to sort by, and how its value stands in a page token."""

    column: ColumnElement[Any]
    kind: type
    to_token: Callable[[Any], Any] = str
    of_token: Callable[[Any], Any] = str


_KEYS = {
    "created_at": _Key(
        column=studies.c.created_at, kind=int, to_token=to_micros, of_token=from_micros
    ),
    "updated_at": _Key(
        column=studies.c.updated_at, kind=int, to_token=to_micros, of_token=from_micros
    ),
    "name": _Key(column=studies.c.name, kind=str),
}
_LIVE = studies.c.deleted_at.is_(None)


def page(
    conn: Connection,
    *,
    filters: StudyFilter,
    size: int,
    token: str | None = None,
    order: StudyOrder = StudyOrder.NEWEST,
) -> Page[Study]:
    """Studies that are not deleted.

    Args:
        size: items at most, 1..1000 (coerced).
        token: where the page before ended; None for the first.

    Raises:
        InvalidInput: a token that is not of these filters and this order.
    """
    size = bounded(size)
    name = order.removeprefix("-")
    is_down = order.startswith("-")
    key = _KEYS[name]
    # Tokens of the default order are what they were before there were others.
    named = ["studies", sorted(filters.states), dict(filters.labels), filters.name_prefix]
    if filters.name_contains or order is not StudyOrder.NEWEST:
        named += [filters.name_contains, order.value]
    by = (key.column, studies.c.id)
    statement = _filtered(conn, select(studies), filters)
    statement = statement.order_by(*(each.desc() if is_down else each for each in by))
    if token is not None:
        at, last_id = decode(token, named, (key.kind, str))
        after = (key.of_token(at), last_id)
        place = tuple_(*by)
        statement = statement.where(place < after if is_down else place > after)
    rows = conn.execute(statement.limit(size + 1)).all()

    def position(row: AnyRow) -> tuple[Any, str]:
        return key.to_token(getattr(row, name)), row.id

    kept, following = cut(rows, size, named, position)
    return Page(items=tuple(study_of(row) for row in kept), next_page_token=following)


def state_counts(conn: Connection, filters: StudyFilter) -> dict[StudyState, int]:
    """How many studies of the filters are in each state; `filters.states` does not count here."""
    columns = select(studies.c.state, func.count().label("n"))
    statement = _selected(conn, columns, filters).group_by(studies.c.state)
    return {StudyState(row.state): row.n for row in conn.execute(statement)}


def _filtered(conn: Connection, statement: Select[Any], filters: StudyFilter) -> Select[Any]:
    statement = _selected(conn, statement, filters)
    if filters.states:
        statement = statement.where(studies.c.state.in_([str(s) for s in filters.states]))
    return statement


def _selected(conn: Connection, statement: Select[Any], filters: StudyFilter) -> Select[Any]:
    statement = statement.where(_LIVE)
    if prefix := filters.name_prefix:
        # LIKE would take no notice of case on SQLite.
        statement = statement.where(func.substr(studies.c.name, 1, len(prefix)) == prefix)
    if part := filters.name_contains:
        statement = statement.where(studies.c.name.icontains(part, autoescape=True))
    for name, value in sorted(filters.labels.items()):
        statement = statement.where(_label(conn, name) == value)
    return statement


def _label(conn: Connection, name: str) -> ColumnElement[str]:
    if conn.dialect.name == "postgresql":
        value: ColumnElement[str] = cast(studies.c.labels, JSONB)[name].astext
        return value
    # A path of json_extract cannot hold every name; the rows of json_each can.
    item = func.json_each(studies.c.labels).table_valued("key", "value")
    return select(cast(item.c.value, String)).where(item.c.key == name).scalar_subquery()
