"""Parameters inside the JSON of a point as SQL expressions: to sort by and to filter on.

A value sorts by its kind (booleans, numbers, strings), then as a number, then as a text; two of the
three are constant for a parameter whose values are all of one kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Select,
    String,
    and_,
    case,
    cast,
    collate,
    false,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from ..domain.space import Choice
from .tables import trials
from .types import storable_text


class Kind(IntEnum):
    """What a value is, in the order in which kinds sort."""

    BOOLEAN = 0
    NUMBER = 1
    TEXT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamKeys:
    """One parameter of each trial as expressions; `kind` is NULL where the point lacks it."""

    kind: ColumnElement[Any]
    number: ColumnElement[Any]
    text: ColumnElement[Any]

    def within(self, low: float | None, high: float | None) -> ColumnElement[bool]:
        """Whether it is a number in [low, high]; None is no bound."""
        rules = [self.kind == Kind.NUMBER]
        if low is not None:
            rules.append(self.number >= low)
        if high is not None:
            rules.append(self.number <= high)
        return and_(*rules)

    def is_one_of(self, choices: tuple[Choice, ...]) -> ColumnElement[bool]:
        """Whether it equals one of the choices; true is not 1, but 1 is 1.0."""
        return or_(false(), *(self._equals(choice) for choice in choices))

    def _equals(self, choice: Choice) -> ColumnElement[bool]:
        if isinstance(choice, str):
            return and_(self.kind == Kind.TEXT, self.text == storable_text(choice))
        kind = Kind.BOOLEAN if isinstance(choice, bool) else Kind.NUMBER
        return and_(self.kind == kind, self.number == float(choice))


def param_keys(name: str, dialect: str) -> ParamKeys:
    """The expressions for the parameter called `name`."""
    return _in_postgres(name) if dialect == "postgresql" else _in_sqlite(name)


def _in_postgres(name: str) -> ParamKeys:
    value = cast(trials.c.params, JSONB)[storable_text(name)]
    kind = func.jsonb_typeof(value)
    is_true = case((value.astext == "true", 1.0), else_=0.0)
    return ParamKeys(
        kind=case(
            (kind == "boolean", int(Kind.BOOLEAN)),
            (kind == "number", int(Kind.NUMBER)),
            (kind == "string", int(Kind.TEXT)),
        ),
        number=case(
            (kind == "number", cast(value.astext, Double)), (kind == "boolean", is_true), else_=0.0
        ),
        # Bytes, as SQLite compares: the database's own collation may hold two texts for equal.
        text=collate(case((kind == "string", value.astext), else_=""), "C"),
    )


def _in_sqlite(name: str) -> ParamKeys:
    # A path of json_extract cannot hold every name; the rows of json_each can.
    item = func.json_each(trials.c.params).table_valued("key", "value", "type", name="item")

    def pick(expression: ColumnElement[Any]) -> ColumnElement[Any]:
        chosen: Select[Any] = select(expression).where(item.c.key == storable_text(name))
        return chosen.correlate(trials).scalar_subquery()

    return ParamKeys(
        kind=pick(
            case(
                (item.c.type.in_(["true", "false"]), int(Kind.BOOLEAN)),
                (item.c.type.in_(["integer", "real"]), int(Kind.NUMBER)),
                (item.c.type == "text", int(Kind.TEXT)),
            )
        ),
        number=pick(case((item.c.type == "text", 0.0), else_=cast(item.c.value, Double))),
        text=pick(case((item.c.type == "text", cast(item.c.value, String)), else_=literal(""))),
    )
