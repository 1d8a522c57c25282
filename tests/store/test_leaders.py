"""Duties: one holder at a time, free when it resigns or its row runs out."""

from __future__ import annotations

from app.store import leaders
from app.store.engine import Store

from . import making

LEASE_S = 6.0


def take(store: Store, replica: str, duty: str = "sweep") -> bool:
    return store.write(lambda tx: leaders.take(tx, duty, replica, LEASE_S))


def holder(store: Store, duty: str = "sweep") -> str | None:
    return store.read(lambda conn: leaders.holder(conn, duty))


def test_of_many_that_take_a_duty_at_once_one_gets_it(store: Store) -> None:
    names = [f"r{k}" for k in range(8)]
    found = making.together([lambda name=name: take(store, name) for name in names])  # type: ignore[misc]
    assert sorted(map(str, found)) == ["False"] * 7 + ["True"]
    assert holder(store) == names[found.index(True)]


def test_a_duty_goes_to_another_only_once_it_has_run_out(store: Store) -> None:
    assert take(store, "one")
    store.clock.offset_s += LEASE_S - 1
    assert not take(store, "two")
    assert take(store, "one")  # renewed
    store.clock.offset_s += LEASE_S - 1
    assert not take(store, "two")
    assert holder(store) == "one"
    store.clock.offset_s += 1
    assert holder(store) is None
    assert take(store, "two")
    assert not take(store, "one")
    assert holder(store) == "two"


def test_one_statement_renews_all_duties_of_a_replica_and_no_others(store: Store) -> None:
    for replica, duty in (("one", "a"), ("one", "b"), ("two", "c")):
        assert take(store, replica, duty)
    store.clock.offset_s += LEASE_S - 1
    store.write(lambda tx: leaders.renew_all(tx, "one", LEASE_S))
    store.clock.offset_s += 2
    assert [holder(store, duty) for duty in "abc"] == ["one", "one", None]


def test_a_resigned_duty_is_free_at_once_and_only_its_holder_can_resign_it(store: Store) -> None:
    for duty in "abc":
        take(store, "one", duty)
    store.write(lambda tx: leaders.resign(tx, "a", "two"))
    assert holder(store, "a") == "one"
    store.write(lambda tx: leaders.resign(tx, "a", "one"))
    assert take(store, "two", "a")
    store.write(lambda tx: leaders.resign_all(tx, "one"))
    assert [holder(store, duty) for duty in "abc"] == ["two", None, None]


def test_rows_that_ran_out_long_ago_are_purged(store: Store) -> None:
    take(store, "one", "a")
    store.clock.offset_s += 100
    take(store, "one", "b")
    assert store.write(lambda tx: leaders.purge(tx, 60)) == 1
    assert holder(store, "b") == "one"
