"""Events: a study's gapless sequence, and a global feed that skips none in any order of commits."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import update

from app.domain.event import Event, EventKind
from app.errors import InvalidInput
from app.store import events, studies, tables
from app.store.engine import Store
from app.store.transaction import Tx

from . import making


def emit(tx: Tx, study_id: str, mark: str) -> int:
    return studies.lock(tx, study_id).emit(EventKind.STUDY_BEST, data={"mark": mark})


def feed(store: Store, cursor: str | None, limit: int = 1000, **more: Any) -> list[Event]:
    return store.read(lambda conn: events.feed(conn, cursor, limit, **more))


def marks(found: list[Event]) -> list[object]:
    return [event.data["mark"] for event in found if "mark" in event.data]


def settled_feed(store: Store, cursor: str | None, n: int) -> list[Event]:
    """The feed once it shows `n` marks.

    The server is shared: a transaction of another test can hold the feed back for a moment.
    """
    pause = threading.Event()
    found: list[Event] = []
    for _ in range(600):
        found = feed(store, cursor)
        if len(marks(found)) >= n:
            break
        pause.wait(0.05)
    return found


def test_a_studys_sequence_has_no_gap_under_many_writers_and_failures(store: Store) -> None:
    made = making.study(store)

    def write(k: int) -> int:
        def change(tx: Tx) -> int:
            emit(tx, made.id, f"{k}a")
            if k % 3 == 0:
                raise KeyError(k)
            return emit(tx, made.id, f"{k}b")

        return store.write(change)

    making.together([lambda k=k: write(k) for k in range(12)])
    found = store.read(lambda conn: events.of_study(conn, made.id, 0, 1000))
    assert [event.seq for event in found] == list(range(1, 18))
    assert making.present(store, made.id).change_seq == 17
    assert store.read(lambda conn: events.latest(conn, made.id)) == 17
    pairs = marks(found)
    assert all(a[:-1] == b[:-1] for a, b in zip(pairs[::2], pairs[1::2], strict=True))


def test_a_studys_events_are_read_on_from_a_number(store: Store) -> None:
    made = making.study(store)
    for k in range(5):
        store.write(lambda tx, k=k: emit(tx, made.id, str(k)))
    found = store.read(lambda conn: events.of_study(conn, made.id, 2, 3))
    assert [event.seq for event in found] == [3, 4, 5]
    assert store.read(lambda conn: events.of_study(conn, made.id, 2**70, 3)) == []
    assert store.read(lambda conn: events.latest(conn, "st_0")) == 0


def test_the_oldest_event_that_is_kept_is_known(store: Store) -> None:
    made = making.study(store)
    assert store.read(lambda conn: events.oldest(conn, made.id)) == 1
    assert store.read(lambda conn: events.oldest(conn, "st_0")) == 0


def test_the_feed_goes_on_from_a_cursor_and_from_its_tail(store: Store) -> None:
    one, two = making.study(store, "one"), making.study(store, "two")
    store.write(lambda tx: emit(tx, one.id, "a"))
    store.write(lambda tx: emit(tx, two.id, "b"))
    found = settled_feed(store, None, 2)
    assert [event.kind for event in found] == ["study.state"] * 2 + ["study.best"] * 2
    assert [feed(store, event.cursor) for event in found] == [
        found[k + 1 :] for k in range(len(found))
    ]
    assert feed(store, None, 2) == found[:2]
    assert marks(feed(store, None, study_id=two.id)) == ["b"]
    tail = store.read(events.tail)
    assert feed(store, tail) == []
    store.write(lambda tx: emit(tx, one.id, "c"))
    assert marks(settled_feed(store, tail, 1)) == ["c"]


def test_a_foreign_cursor_is_refused(store: Store) -> None:
    for odd in ("", "1", "x.y", "1.2.3", "-1.2", "f" * 30 + ".1", "1." + "9" * 5000):
        with pytest.raises(InvalidInput) as refused:
            feed(store, odd)
        assert refused.value.faults[0].pointer == "/after"


class Paused:
    """A write that has emitted an event and waits before its commit."""

    def __init__(self, store: Store, study_id: str, mark: str) -> None:
        self._emitted, self._go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(store, study_id, mark))
        self._thread.start()
        assert self._emitted.wait(making.WAIT_S)

    def _run(self, store: Store, study_id: str, mark: str) -> None:
        def write(tx: Tx) -> None:
            emit(tx, study_id, mark)
            tx.flush()
            self._emitted.set()
            assert self._go.wait(making.WAIT_S)

        store.write(write)

    def commit(self) -> None:
        self._go.set()
        self._thread.join(making.WAIT_S)


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_interleaved_commits_the_feed_skips_none(
    store: Store, order: tuple[int, int]
) -> None:
    made = [making.study(store, name) for name in ("one", "two")]
    cursor = store.read(events.tail)
    writes = [Paused(store, one.id, str(k)) for k, one in enumerate(made)]
    seen: list[Event] = []
    for place in order:
        seen += feed(store, seen[-1].cursor if seen else cursor)
        writes[place].commit()
    seen += settled_feed(store, seen[-1].cursor if seen else cursor, 2 - len(marks(seen)))
    assert sorted(str(mark) for mark in marks(seen)) == ["0", "1"]
    own = [store.read(lambda conn, one=one: events.of_study(conn, one.id, 1, 9)) for one in made]
    assert [marks(found) for found in own] == [["0"], ["1"]]


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_an_event_behind_an_open_transaction_waits_for_it(store: Store) -> None:
    one, two = making.study(store, "one"), making.study(store, "two")
    cursor = store.read(events.tail)
    first = Paused(store, one.id, "first")
    store.write(lambda tx: emit(tx, two.id, "second"))
    # Not the feed itself: a transaction of another test may have held back until now that the
    # studies were made.
    assert marks(feed(store, cursor)) == []
    assert marks(store.read(lambda conn: events.of_study(conn, two.id, 1, 9))) == ["second"]
    first.commit()
    assert marks(settled_feed(store, cursor, 2)) == ["first", "second"]


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_studys_events_come_in_their_order_whichever_transaction_began_first(
    store: Store,
) -> None:
    one, two = making.study(store, "one"), making.study(store, "two")
    cursor = store.read(events.tail)

    def begin_first(tx: Tx) -> None:
        studies.lock(tx, two.id)  # it has its id from here on
        store.write(lambda other: emit(other, one.id, "first"))
        emit(tx, one.id, "second")

    store.write(begin_first)
    assert marks(settled_feed(store, cursor, 2)) == ["first", "second"]


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_events_that_were_written_on_another_server_hide_none(store: Store) -> None:
    made = making.study(store)
    cursor = store.read(events.tail)
    far = update(tables.events).values(xid=2**60)
    store.write(lambda tx: tx.conn.execute(far))
    store.write(lambda tx: emit(tx, made.id, "now"))
    assert marks(settled_feed(store, cursor, 1)) == ["now"]
