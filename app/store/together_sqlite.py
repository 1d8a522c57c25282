"""Several writes as one statement of SQLite: an insert into a view whose trigger does them in turn.

SQLite has no statement that writes several tables, but a trigger is one: for each combination of
writes that occurs the connection gets a temporary view, with a column for each of their parameters,
and an INSTEAD OF trigger with the writes as its body. Inserting a row of parameters does all of
them, or none: a guard that finds no row raises inside the trigger and undoes what came before it.

Nothing of it is in the database file; another connection makes its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, Table, Update
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.compiler import SQLCompiler

from .writes import KEPT_STATEMENTS, Fixed, Write, insert_into, run_singly

MOST_ROWS = 6
"""Inserts of more rows are sent by themselves: each number of rows would need a trigger."""

_MADE = "tunewell_triggers"
_MISSED = "missed guard "
_IN_FULL = {"render_postcompile": True}
_DIALECT = sqlite.dialect(paramstyle="named")
_names = count()
_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")

_Processor: TypeAlias = Callable[[Any], Any] | None
_Shape: TypeAlias = tuple[Table | Update, Fixed, tuple[str, ...], int, bool]


def run_together(conn: Connection, writes: Sequence[Write]) -> None:
    """See `together.Waiting.run`."""
    together: list[Write] = []
    for write in writes:
        if len(write.rows) <= MOST_ROWS:
            together.append(write)
            continue
        _run(conn, together)
        run_singly(conn, [write])
        together = []
    _run(conn, together)


def forget(conn: Connection) -> None:
    """After something was undone: views and triggers made in it are gone with it."""
    conn.info.pop(_MADE, None)


def _run(conn: Connection, writes: Sequence[Write]) -> None:
    if len(writes) < 2:
        run_singly(conn, writes)
        return
    trigger = _trigger(tuple(_shape(write) for write in writes))
    made = conn.info.setdefault(_MADE, set())
    if trigger.name not in made:
        for statement in trigger.made_by:
            conn.exec_driver_sql(statement)
        made.add(trigger.name)
    try:
        conn.exec_driver_sql(trigger.call, trigger.values(writes))
    except IntegrityError as error:
        missed = _missed(str(error.orig), writes)
        if missed is None:
            raise
        raise missed from None


def _missed(message: str, writes: Sequence[Write]) -> Exception | None:
    """The error of the guard that found no row, where that is what the trigger says."""
    if not message.startswith(_MISSED):
        return None
    missed = writes[int(message.removeprefix(_MISSED))].missed
    return None if missed is None else missed()


def _shape(write: Write) -> _Shape:
    return (
        write.target,
        write.fixed,
        tuple(write.rows[0]),
        len(write.rows),
        write.missed is not None,
    )


class _Column(NamedTuple):
    """A parameter of one row of a write, and how its value is handed to the driver.

    Attributes:
        key: the value's name in the row; None for one that the statement brings along.
        constant: that one.
    """

    key: str | None
    process: _Processor
    constant: Any = None


@dataclass(frozen=True, slots=True)
class _Trigger:
    """A view with its trigger for writes of one shape.

    Attributes:
        made_by: the statements that make them.
        call: the insert that does the writes.
        rows: part and place of each row of the writes, and its columns, in the order of `call`.
    """

    name: str
    made_by: tuple[str, ...]
    call: str
    rows: tuple[tuple[int, int, tuple[_Column, ...]], ...]

    def values(self, writes: Sequence[Write]) -> tuple[Any, ...]:
        """The parameters of `call`, as the driver takes them."""
        values: list[Any] = []
        for part, place, columns in self.rows:
            row = writes[part].rows[place]
            for key, process, constant in columns:
                raw = constant if key is None else row[key]
                # None is NULL whatever the type.
                values.append(raw if process is None or raw is None else process(raw))
        return tuple(values)


@lru_cache(maxsize=KEPT_STATEMENTS)
def _trigger(shapes: tuple[_Shape, ...]) -> _Trigger:
    columns: list[_Column] = []
    rows: list[tuple[int, int, tuple[_Column, ...]]] = []
    body: list[str] = []
    for part, (target, fixed, keys, n_rows, is_guarded) in enumerate(shapes):
        for row in range(n_rows):
            n_before = len(columns)
            body.append(_statement(target, fixed, keys, columns))
            rows.append((part, row, tuple(columns[n_before:])))
        if is_guarded:
            body.append(f"SELECT RAISE(ABORT, '{_MISSED}{part}') WHERE changes() <> 1")
    name = f"writes_{next(_names)}"
    listed = ", ".join(f"NULL AS p{k}" for k in range(len(columns)))
    places = ", ".join("?" * len(columns))
    return _Trigger(
        name=name,
        made_by=(
            f"CREATE TEMP VIEW IF NOT EXISTS {name} AS SELECT {listed}",
            f"CREATE TEMP TRIGGER IF NOT EXISTS {name}_do INSTEAD OF INSERT ON {name} BEGIN "
            + "".join(f"{statement}; " for statement in body)
            + "END",
        ),
        call=f"INSERT INTO {name} VALUES ({places})",
        rows=tuple(rows),
    )


def _statement(
    target: Table | Update,
    fixed: Fixed,
    keys: tuple[str, ...],
    columns: list[_Column],
) -> str:
    """One write as it stands in the trigger; adds its parameters to the columns."""
    if isinstance(target, Update):
        compiled = target.compile(dialect=_DIALECT, compile_kwargs=_IN_FULL)
    else:
        compiled = insert_into(target, fixed).compile(
            dialect=_DIALECT, column_keys=list(keys), compile_kwargs=_IN_FULL
        )

    def named(match: re.Match[str]) -> str:
        columns.append(_column(compiled, match[1], keys))
        return f"NEW.p{len(columns) - 1}"

    return _PARAMETER.sub(named, str(compiled))


def _column(compiled: SQLCompiler, name: str, keys: tuple[str, ...]) -> _Column:
    process: Any = compiled._bind_processors.get(name)
    is_given = name in keys
    constant = None if is_given else compiled.params[name]
    return _Column(name if is_given else None, process, constant)
