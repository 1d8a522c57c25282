"""A write that a transaction has put off, and how it is done by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Insert, Table, Update, insert

Row: TypeAlias = Mapping[str, Any]
Fixed: TypeAlias = tuple[tuple[str, ColumnElement[Any]], ...]

KEPT_STATEMENTS = 512


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a transaction that has not been sent yet.

    Attributes:
        target: the table to insert into, or an update of one row whose guards and values are bound
            parameters.
        rows: values of the parameters (one row), or of the columns of each row to insert.
        fixed: columns of an insert that the database works out.
        missed: for an update: the error when no row was changed.
    """

    target: Table | Update
    rows: list[Row]
    fixed: Fixed = ()
    missed: Callable[[], Exception] | None = None


class Unclear(Exception):
    """A constraint was broken by several writes as one; one by one they tell which."""


def run_singly(conn: Connection, writes: Sequence[Write]) -> None:
    for write in writes:
        statement = write.target
        if isinstance(statement, Table):
            conn.execute(insert_into(statement, write.fixed), write.rows)
        elif conn.execute(statement, write.rows[0]).rowcount != 1 and write.missed is not None:
            raise write.missed()


@lru_cache(maxsize=KEPT_STATEMENTS)
def insert_into(table: Table, fixed: Fixed) -> Insert:
    return insert(table).values(dict(fixed)) if fixed else insert(table)
