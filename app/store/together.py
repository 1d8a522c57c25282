"""Several writes as one statement, where the database can do that.

A transition of the lease protocol writes four or five rows of as many tables. On Postgres they go
out as one statement (`WITH w0 AS (UPDATE ... RETURNING 1), w1 AS (INSERT ...) SELECT ...`): one
round trip, planned once. SQLite has no such statement and needs none: there the writes run one by
one, in the same order.

All parts of such a statement see the database as it was before it, so no row may be written twice
in one. Foreign keys are checked when all of it is done. A guard that one part misses may show as a
constraint that another part breaks; then the transaction is run again, one write at a time, and
fails with what was really wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import BindParameter

Row: TypeAlias = Mapping[str, Any]
Fixed: TypeAlias = tuple[tuple[str, ColumnElement[Any]], ...]

_KEPT_STATEMENTS = 512
_MOST = 16
"""Writes that are put off at most."""


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


class Waiting:
    """The writes of a transaction that were put off, in order.

    Args:
        is_one_by_one: do them one at a time, whatever the database could do.
    """

    def __init__(self, *, is_one_by_one: bool) -> None:
        self._is_one_by_one = is_one_by_one
        self._writes: list[Write] = []
        self._rows: set[tuple[object, str]] = set()

    def takes_row(self, table: object, row_id: str | None) -> bool:
        """Whether one more write fits in: there is room, and none of the others writes its row."""
        is_free = row_id is None or (table, row_id) not in self._rows
        return is_free and len(self._writes) < _MOST

    def insert(self, table: Table, rows: Sequence[Row], fixed: Fixed) -> None:
        """Adds an insert; to the one before, if that is of the same kind."""
        self._rows.update((table, row["id"]) for row in rows if "id" in row)
        last = self._writes[-1] if self._writes else None
        if last is not None and last.target is table and last.rows[0].keys() == rows[0].keys():
            self._writes[-1] = Write(table, [*last.rows, *rows], fixed)
        else:
            self._writes.append(Write(table, list(rows), fixed))

    def update(
        self, statement: Update, values: Row, missed: Callable[[], Exception] | None
    ) -> None:
        """Adds an update of one row."""
        self._rows.add((statement.table, values["b_id"]))
        self._writes.append(Write(statement, [values], missed=missed))

    def run(self, conn: Connection) -> None:
        """Does the writes.

        Raises:
            Exception: what `missed` of an update gives, when it changed no row.
        Unclear: several writes as one broke a constraint.
        """
        if not self._writes:
            return
        writes, self._writes = self._writes, []
        self._rows.clear()
        if self._is_one_by_one or len(writes) == 1:
            _run_singly(conn, writes)
        else:
            _run_together(conn, writes)


def _run_singly(conn: Connection, writes: Sequence[Write]) -> None:
    for write in writes:
        statement = write.target
        if isinstance(statement, Table):
            conn.execute(_insert(statement, write.fixed), write.rows)
        elif conn.execute(statement, write.rows[0]).rowcount != 1 and write.missed is not None:
            raise write.missed()


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _insert(table: Table, fixed: Fixed) -> Insert:
    return insert(table).values(dict(fixed)) if fixed else insert(table)


def _run_together(conn: Connection, writes: Sequence[Write]) -> None:
    shapes = tuple(
        (write.target, write.fixed, tuple(write.rows[0]), len(write.rows) > 1) for write in writes
    )
    values: dict[str, Any] = {}
    for part, write in enumerate(writes):
        if len(write.rows) == 1:
            values |= {_name(part, key): value for key, value in write.rows[0].items()}
        else:
            values |= {_name(part, key): [row[key] for row in write.rows] for key in write.rows[0]}
    try:
        counts = conn.execute(_together(shapes), values).one()
    except IntegrityError as error:
        raise Unclear from error
    updates = [write for write in writes if isinstance(write.target, Update)]
    for write, count in zip(updates, counts, strict=False):
        if count != 1 and write.missed is not None:
            raise write.missed()


def _name(part: int, key: str) -> str:
    return f"w{part}_{key}"


_Shape: TypeAlias = tuple[Table | Update, Fixed, tuple[str, ...], bool]


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _together(shapes: tuple[_Shape, ...]) -> Select[Any]:
    parts = [_part(k, *shape) for k, shape in enumerate(shapes)]
    counts: list[ColumnElement[Any]] = [
        select(func.count()).select_from(part).scalar_subquery()
        for part, shape in zip(parts, shapes, strict=True)
        if isinstance(shape[0], Update)
    ]
    return select(*(counts or [literal_column("1")])).add_cte(*parts)


def _part(
    part: int, target: Table | Update, fixed: Fixed, keys: tuple[str, ...], has_many: bool
) -> CTE:
    if isinstance(target, Update):
        renamed: Any = visitors.replacement_traverse(target, {}, _renaming(part))
        returned: CTE = renamed.returning(literal_column("1")).cte(f"w{part}")
        return returned
    made = (
        _insert_many(part, target, fixed, keys)
        if has_many
        else _insert_one(part, target, fixed, keys)
    )
    return made.returning(literal_column("1")).cte(f"w{part}")


def _insert_one(part: int, table: Table, fixed: Fixed, keys: tuple[str, ...]) -> Insert:
    given = {key: bindparam(_name(part, key), type_=table.c[key].type) for key in keys}
    return insert(table).values({**given, **dict(fixed)})


def _insert_many(part: int, table: Table, fixed: Fixed, keys: tuple[str, ...]) -> Insert:
    """A row for each place of as many arrays as there are columns: one statement for any number."""
    arrays = [bindparam(_name(part, key), type_=ARRAY(table.c[key].type)) for key in keys]
    rows = func.unnest(*arrays).table_valued(*keys).render_derived(name=f"r{part}")
    columns = [rows.c[key] for key in keys] + [value for _, value in fixed]
    names = [*keys, *(name for name, _ in fixed)]
    return insert(table).from_select(names, select(*columns), include_defaults=False)


def _renaming(part: int) -> Callable[..., Any]:
    """Puts a parameter of the part's own in the place of one that others may have too."""

    def replace(element: Any, **_: Any) -> Any:
        if isinstance(element, BindParameter) and not element.unique:
            return bindparam(_name(part, element.key), type_=element.type)
        return None

    return replace
