"""The engine: errors, retries, wake-ups, closing; what a caller may rely on in every write."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text

from app.domain.event import EventKind
from app.errors import AppError, InvalidInput, Unavailable
from app.store import postgres as postgres_store
from app.store import sqlite, studies
from app.store.engine import Store, parse_url
from app.store.failures import unusable
from app.store.opening import open_store
from app.store.signals import EVERYTHING
from app.store.transaction import DatabaseClock, Tx

from ..postgres import Postgres
from . import making

ON_POSTGRES = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
ON_SQLITE = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


def with_options(url: str, **settings: str) -> str:
    """A Postgres URL with settings for its connections."""
    chosen = "%20".join(f"-c%20{name}%3D{value}" for name, value in settings.items())
    return f"{url}&options={chosen}"


@contextmanager
def opened(url: str, **more: Any) -> Iterator[Store]:
    other = open_store(url, **more)
    try:
        yield other
    finally:
        other.close()


class Ears:
    """A subscriber that a test can wait on."""

    def __init__(self) -> None:
        self._heard: list[frozenset[str]] = []
        self._news = threading.Condition()

    def __call__(self, topics: frozenset[str]) -> None:
        with self._news:
            self._heard.append(topics)
            self._news.notify_all()

    def wait_for(self, topic: str) -> None:
        """Waits until a commit has named the topic."""
        with self._news:
            assert self._news.wait_for(lambda: topic in self.topics(), making.WAIT_S)

    def topics(self) -> frozenset[str]:
        return frozenset().union(*self._heard)


def test_a_store_says_which_database_it_is(store: Store, dialect: str) -> None:
    store.ping()
    assert store.dialect == dialect


@pytest.mark.parametrize("url", ["", "mysql://h/d", "sqlite://", "sqlite:///:memory:", "nonsense"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        open_store(url)


def test_reads_cannot_write(store: Store) -> None:
    making.study(store)
    with pytest.raises(Exception, match=r"(?i)read.?only"):
        store.read(lambda conn: conn.execute(text("DELETE FROM events")))


def test_a_read_sees_one_instant(store: Store) -> None:
    def look(conn: Connection) -> tuple[int, int]:
        before = len(studies.open_studies(conn))
        thread = threading.Thread(target=lambda: making.study(store))
        thread.start()
        thread.join(making.WAIT_S)
        return before, len(studies.open_studies(conn))

    assert store.read(look) == (0, 0)
    assert len(store.read(studies.open_studies)) == 1


def test_a_value_that_no_column_holds_is_an_error_of_the_caller(store: Store) -> None:
    made = making.study(store)

    def write(tx: Tx) -> None:
        studies.lock(tx, made.id).set(results_seq=2**70)

    with pytest.raises(InvalidInput):
        store.write(write)
    assert making.present(store, made.id) == made


def test_a_closed_store_is_unavailable_and_closes_again(store: Store) -> None:
    store.close()
    store.close()
    for call in (store.ping, store.now, lambda: making.study(store)):
        with pytest.raises(Unavailable):
            call()


def test_writes_that_wait_are_done_before_a_store_closes(store: Store) -> None:
    made = making.study(store)
    found = making.together([lambda: making.trial(store, made.id)] * 8)
    assert not [one for one in found if isinstance(one, Exception)]
    store.close()
    with opened(store.url) as again:
        assert making.present(again, made.id).next_number == 9


def test_two_stores_share_a_database(store: Store) -> None:
    with opened(store.url) as other:
        made = making.study(store)
        making.together(
            [lambda: making.trial(store, made.id), lambda: making.trial(other, made.id)]
        )
        assert making.present(other, made.id).next_number == 3


def test_subscribers_hear_of_commits_and_of_nothing_else(store: Store) -> None:
    ears = Ears()
    unsubscribe = store.subscribe(ears)
    made = making.study(store)

    def fail(tx: Tx) -> None:
        tx.signal("failed")
        raise KeyError

    with pytest.raises(KeyError):
        store.write(fail)
    store.write(lambda tx: tx.signal("work", "other"))
    ears.wait_for("work")
    assert ears.topics() == {f"study:{made.id}", "work", "other"}
    unsubscribe()
    store.write(lambda tx: tx.signal("late"))
    assert "late" not in ears.topics()


def test_a_subscriber_that_fails_harms_nobody(store: Store) -> None:
    ears = Ears()

    def broken(topics: frozenset[str]) -> None:
        raise KeyError(topics)

    store.subscribe(broken)
    store.subscribe(ears)
    store.write(lambda tx: tx.signal("a"))
    ears.wait_for("a")


@ON_POSTGRES
def test_commits_of_other_replicas_are_heard(store: Store) -> None:
    ears, many = Ears(), [f"{'x' * 50}{k}" for k in range(400)]
    store.subscribe(ears)
    with opened(store.url) as other:
        other.write(lambda tx: tx.signal("work", *many))
        ears.wait_for(many[-1])
        ears.wait_for(many[0])
    assert ears.topics() == {"work", *many}


@ON_POSTGRES
def test_listening_takes_the_url_as_the_pool_does(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A blank in a password or an option is one, and no log shows what is around it."""
    ears = Ears()
    url = with_options(store.url, statement_timeout="60s", work_mem="8MB")
    with opened(url.replace("//postgres:@", "//postgres:one%20secret@")) as other:
        other.subscribe(ears)
        store.write(lambda tx: tx.signal("a"))
        ears.wait_for("a")
        names = text(
            "SELECT DISTINCT application_name FROM pg_stat_activity"
            " WHERE datname = current_database()"
        )
        assert store.read(lambda conn: conn.execute(names).scalars().all()) == ["tunewell"]
    assert "secret" not in caplog.text


@ON_POSTGRES
def test_a_server_that_is_gone_without_a_word_is_not_waited_for(store: Store) -> None:
    """What the address says of it wins."""

    def parameters(conn: Connection) -> dict[str, str]:
        raw = conn.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        return raw.info.get_parameters()

    assert int(store.read(parameters)["tcp_user_timeout"]) == 30_000
    with opened(f"{store.url}&tcp_user_timeout=5000&connect_timeout=2") as other:
        found = other.read(parameters)
        assert (found["tcp_user_timeout"], found["connect_timeout"]) == ("5000", "2")
        assert found["keepalives_idle"] == "10"


def end_backends(url: str, condition: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = current_database() AND pid <> pg_backend_pid() AND {condition}"
        )


@ON_POSTGRES
def test_listening_goes_on_after_its_connection_was_lost(store: Store) -> None:
    ears = Ears()
    store.subscribe(ears)
    end_backends(store.url, "query LIKE 'LISTEN%'")
    (everything,) = EVERYTHING
    ears.wait_for(everything)
    with opened(store.url) as other:
        other.write(lambda tx: tx.signal("work"))
        ears.wait_for("work")


@ON_POSTGRES
def test_a_lost_connection_is_replaced_without_an_error(store: Store) -> None:
    made = making.study(store)
    making.together([store.ping] * 8)
    end_backends(store.url, "true")
    assert making.trial(store, made.id).number == 1
    end_backends(store.url, "true")
    assert making.present(store, made.id).next_number == 2


@ON_POSTGRES
def test_a_deadlock_is_resolved_by_running_again(migrated_url: str) -> None:
    with opened(with_options(migrated_url, deadlock_timeout="20ms")) as store:
        ids = [making.study(store, name).id for name in ("a", "b")]
        both_hold_one = threading.Barrier(2)

        def crosswise(first: str, second: str) -> None:
            is_first_try = True

            def write(tx: Tx) -> None:
                nonlocal is_first_try
                studies.lock(tx, first).emit(EventKind.STUDY_BEST)
                if is_first_try:
                    is_first_try = False
                    both_hold_one.wait(making.WAIT_S)
                studies.lock(tx, second).emit(EventKind.STUDY_BEST)

            store.write(write)

        found = making.together([lambda: crosswise(*ids), lambda: crosswise(*ids[::-1])])
        assert found == [None, None]
        assert [making.present(store, one).change_seq for one in ids] == [3, 3]


def test_a_database_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with opened(f"postgresql://nobody@/none?host={tmp_path}") as store:
        for call in (store.ping, store.now, lambda: making.study(store)):
            with pytest.raises(Unavailable) as refused:
                call()
            assert refused.value.code == "storage-busy"
            assert refused.value.retry_after_s == 1


@ON_SQLITE
def test_a_file_that_another_process_holds_is_unavailable(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 20)
    with opened(migrated_url) as store:
        made = making.study(store)
        other = sqlite3.connect(tmp_path / "tunewell.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable) as refused:
            making.trial(store, made.id)
        assert refused.value.code == "storage-busy"
        assert making.present(store, made.id) == made
        other.execute("ROLLBACK")
        other.close()
        assert making.trial(store, made.id).number == 1


@ON_SQLITE
def test_a_long_line_behind_a_held_file_waits_for_one_timeout_in_all(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 1_000)
    with opened(migrated_url) as store:
        other = sqlite3.connect(tmp_path / "tunewell.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        found = making.together([lambda: making.study(store)] * 20)
        assert [getattr(error, "code", None) for error in found] == ["storage-busy"] * 20
        assert time.monotonic() - begun < 10  # one timeout each would be 20 s
        other.close()


def test_a_row_that_another_transaction_holds_is_not_waited_for_for_ever(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "LOCK_WAIT_MS", 50)
    with postgres.database(is_migrated=True) as url, opened(url) as store:
        made = making.study(store)
        with psycopg.connect(url) as other:
            other.execute("SELECT 1 FROM studies FOR UPDATE")
            with pytest.raises(Unavailable) as refused:
                making.trial(store, made.id)
        assert (refused.value.code, refused.value.retry_after_s) == ("storage-busy", 1)
        assert making.present(store, made.id) == made
        assert making.trial(store, made.id).number == 1


@ON_POSTGRES
@pytest.mark.parametrize(
    ("state", "reason"),
    [("25006", "it is read-only"), ("0A000", "it is read-only"), ("53100", "its disk is full")],
    ids=["read-only", "a standby, asked for a transaction that writes", "disk full"],
)
def test_a_postgres_that_takes_no_writes_is_unavailable(
    store: Store, state: str, reason: str
) -> None:
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(Unavailable, match=reason) as refused:
        store.write(lambda tx: tx.conn.execute(text(raising)))
    assert (refused.value.code, refused.value.retry_after_s) == ("storage-busy", 1)
    making.study(store)


@ON_SQLITE
def test_a_file_that_cannot_be_written_is_unavailable(store: Store) -> None:
    def write(tx: Tx) -> None:
        tx.conn.exec_driver_sql("PRAGMA query_only = ON")
        try:
            tx.conn.exec_driver_sql("DELETE FROM studies")
        finally:
            tx.conn.exec_driver_sql("PRAGMA query_only = OFF")

    with pytest.raises(Unavailable) as refused:
        store.write(write)
    assert (refused.value.code, refused.value.retry_after_s) == ("storage-busy", 1)
    making.study(store)


@ON_SQLITE
def test_a_file_whose_disk_is_full_says_so(store: Store) -> None:
    def write(tx: Tx) -> None:
        pages = tx.conn.execute(text("PRAGMA page_count")).scalar_one()
        tx.conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        try:
            tx.conn.exec_driver_sql("CREATE TABLE more (x BLOB)")
        finally:
            tx.conn.exec_driver_sql(f"PRAGMA max_page_count = {2**30}")

    with pytest.raises(Unavailable, match="takes no writes now: its disk is full") as refused:
        store.write(write)
    assert (refused.value.code, refused.value.retry_after_s) == ("storage-busy", 1)
    making.study(store)


def test_the_log_of_a_file_that_cannot_grow_is_told_as_a_full_disk() -> None:
    """So SQLite says it at a start on a full disk."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    known = unusable(error, parse_url("sqlite:///a.db"))
    assert known is not None
    assert known.detail == "a.db cannot be used: its disk is full"


@ON_SQLITE
def test_a_write_inside_a_write_is_a_defect_that_shows(store: Store) -> None:
    with pytest.raises(RuntimeError):
        store.write(lambda tx: making.study(store))


@ON_SQLITE
def test_the_file_is_written_ahead_and_flushed_at_every_commit(store: Store) -> None:
    def pragmas(tx: Tx) -> list[Any]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [tx.conn.execute(text(f"PRAGMA {name}")).scalar_one() for name in names]

    assert store.write(pragmas) == ["wal", 2, 1]


@ON_SQLITE
def test_writes_that_share_a_commit_fail_one_by_one(store: Store) -> None:
    made = making.study(store)
    inside, go = threading.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        inside.set()
        assert go.wait(making.WAIT_S)

    def fail(tx: Tx) -> None:
        studies.lock(tx, made.id).emit(EventKind.STUDY_BEST)
        raise AppError("mine")

    holder = threading.Thread(target=lambda: store.write(hold))
    holder.start()
    assert inside.wait(making.WAIT_S)
    before = store.stats()
    calls: list[Any] = [lambda: making.trial(store, made.id), lambda: store.write(fail)] * 4
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda call=call: found.append(outcome(call))) for call in calls
    ]
    for thread in threads:
        thread.start()
    go.set()
    for thread in (*threads, holder):
        thread.join(making.WAIT_S)
    after = store.stats()
    assert found.count("mine") == 4
    assert after.n_transactions - before.n_transactions == 5
    assert making.present(store, made.id).change_seq == 5


def outcome(call: Any) -> Any:
    try:
        return call()
    except AppError as error:
        return error.detail


def test_a_clock_may_be_given(migrated_url: str) -> None:
    with (
        opened(migrated_url, clock=DatabaseClock(offset_s=1e6)) as ahead,
        opened(migrated_url) as on,
    ):
        assert (ahead.now() - on.now()).total_seconds() > 9e5
