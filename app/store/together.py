"""Several writes as one statement.

A transition of the lease protocol writes four or five rows of as many tables. They are put off and
sent as one statement, which either database has in its own way: see `together_postgres.py` and
`together_sqlite.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Table, Update

from . import together_postgres, together_sqlite
from .writes import Fixed, Row, Write, run_singly

_MOST = 16
"""Writes that are put off at most."""


class Waiting:
    """The writes of a transaction that were put off, in order.

    Args:
        is_in_turn: the database does the parts of a statement one after another, so that one may
            write again what an earlier one has written (SQLite).
        is_one_by_one: do them one at a time, whatever the database could do.
    """

    def __init__(self, *, is_in_turn: bool, is_one_by_one: bool) -> None:
        self._is_in_turn = is_in_turn
        self._is_one_by_one = is_one_by_one
        self._writes: list[Write] = []
        self._rows: set[tuple[object, str]] = set()

    def takes_row(self, table: object, row_id: str | None) -> bool:
        """Whether one more write fits in: there is room, and its row is not one that another of
        them writes at the same time.
        """
        is_free = self._is_in_turn or row_id is None or (table, row_id) not in self._rows
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
            run_singly(conn, writes)
        elif conn.dialect.name == "sqlite":
            together_sqlite.run_together(conn, writes)
        else:
            together_postgres.run_together(conn, writes)
