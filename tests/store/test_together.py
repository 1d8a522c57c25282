"""Writes that are put off and sent as one statement do what they would do one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Select, bindparam, column, func, insert, select, table, update

from app.errors import AppError, Conflict
from app.store.engine import Store
from app.store.tables import audit, leaders
from app.store.transaction import Tx

KEEP = (
    update(leaders)
    .where(leaders.c.duty == bindparam("b_id"), leaders.c.replica_id == bindparam("b_was"))
    .values(replica_id=bindparam("b_to"))
)


class Missed(AppError):
    """A guard of a test that found no row."""


def lead(tx: Tx, duty: str) -> None:
    row = {"duty": duty, "replica_id": "a", "expires_at": tx.now}
    tx.conn.execute(insert(leaders), [row])


def hand_over(tx: Tx, duty: str, was: str = "a", to: str = "b") -> None:
    values = {"b_id": duty, "b_was": was, "b_to": to}
    tx.update(KEEP, values, lambda: Missed(duty))


def note(tx: Tx, *actions: str) -> None:
    rows = [{"occurred_at": tx.now, "action": each, "data": {"x": [1.5]}} for each in actions]
    tx.insert(audit, rows)


def state(store: Store) -> tuple[list[str], list[str]]:
    """Who leads, by duty, and what was noted."""
    return store.read(
        lambda conn: (
            list(conn.scalars(select(leaders.c.replica_id).order_by(leaders.c.duty))),
            list(conn.scalars(select(audit.c.action).order_by(audit.c.id))),
        )
    )


def begin(store: Store) -> None:
    def both(tx: Tx) -> None:
        lead(tx, "one")
        lead(tx, "two")

    store.write(both)


@pytest.mark.parametrize("n_rows", [1, 2, 4, 5, 300])
def test_all_writes_are_done_in_turn_however_many_rows(store: Store, n_rows: int) -> None:
    begin(store)
    actions = [f"a{k}" for k in range(n_rows)]

    def write(tx: Tx) -> None:
        hand_over(tx, "one")
        note(tx, *actions)
        hand_over(tx, "two")

    store.write(write)
    assert state(store) == (["b", "b"], actions)
    assert store.read(lambda conn: set(conn.scalars(select(audit.c.occurred_at.is_(None))))) == {
        False
    }


@pytest.mark.parametrize("missing", ["one", "two"])
def test_a_guard_without_a_row_names_itself_and_undoes_all(store: Store, missing: str) -> None:
    begin(store)

    def write(tx: Tx) -> None:
        for duty in ("one", "two"):
            hand_over(tx, duty, was="z" if duty == missing else "a")
            note(tx, duty)

    with pytest.raises(Missed, match=missing):
        store.write(write)
    assert state(store) == (["a", "a"], [])


def test_an_update_that_may_find_nothing_does_no_harm(store: Store) -> None:
    begin(store)

    def write(tx: Tx) -> None:
        tx.update(KEEP, {"b_id": "none", "b_was": "a", "b_to": "b"})
        hand_over(tx, "one")
        note(tx, "done")

    store.write(write)
    assert state(store) == (["b", "a"], ["done"])


def test_a_broken_constraint_is_told_as_what_it_is(store: Store) -> None:
    begin(store)

    def write(tx: Tx) -> None:
        hand_over(tx, "one")
        tx.insert(leaders, [{"duty": "two", "replica_id": "c", "expires_at": tx.now}])

    with pytest.raises(Conflict):
        store.write(write)
    assert state(store) == (["a", "a"], [])


def test_the_same_writes_go_on_working_after_their_first_time_was_undone(store: Store) -> None:
    begin(store)

    def write(tx: Tx, fails: Callable[[], Any]) -> None:
        hand_over(tx, "one")
        note(tx, "kept")
        assert tx.conn.scalar(select(func.count()).select_from(audit)) == 1
        fails()

    def fail() -> None:
        raise Missed("after all")

    with pytest.raises(Missed):
        store.write(lambda tx: write(tx, fail))
    assert state(store) == (["a", "a"], [])
    store.write(lambda tx: write(tx, lambda: None))
    assert state(store) == (["b", "a"], ["kept"])


def test_triggers_hold_no_value(store: Store) -> None:
    begin(store)
    hostile = "x'); DROP TABLE audit; --"

    def write(tx: Tx) -> list[str]:
        hand_over(tx, "one", to=hostile)
        note(tx, hostile)
        if tx.dialect != "sqlite":
            return []
        made: Select[str] = select(column("sql")).select_from(table("sqlite_temp_master"))
        return list(tx.conn.scalars(made))

    texts = store.write(write)
    assert not any("DROP" in text for text in texts)
    assert state(store) == ([hostile, "a"], [hostile])
    if store.dialect == "sqlite":
        assert any("UPDATE leaders" in text and "INSERT INTO audit" in text for text in texts)
