"""Several writes as one statement of Postgres: `WITH w0 AS (UPDATE ...), w1 AS ... SELECT ...`.

All parts of such a statement see the database as it was before it, so no row may be written twice
in one. Foreign keys are checked when all of it is done. A guard that one part misses may show as a
constraint that another part breaks; then the transaction is run again, one write at a time, and
fails with what was really wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

from .writes import KEPT_STATEMENTS, Fixed, Unclear, Write


def run_together(conn: Connection, writes: Sequence[Write]) -> None:
    """See `together.Waiting.run`."""
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


@lru_cache(maxsize=KEPT_STATEMENTS)
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
