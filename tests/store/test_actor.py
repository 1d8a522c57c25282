"""The actor of a write, and the audit log, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from app.domain.audit import Action
from app.store import actor, audit, events, signing_keys, tokens
from app.store.actor import Actor, acting_as
from app.store.engine import Store
from app.store.tables import tokens as token_table

from . import making
from .test_people_and_machines import token


@contextmanager
def statements() -> Iterator[list[str]]:
    """Every statement that any engine runs in the block."""
    seen: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *more: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_an_event_names_the_actor_of_its_write(store: Store) -> None:
    with acting_as(Actor(token_id="tk_me", request_id="rq_1")):
        study = making.study(store)
    making.trial(store, study.id)
    seen = store.read(lambda conn: events.of_study(conn, study.id, 0, 10))
    assert [one.token_id for one in seen] == ["tk_me", None]
    assert actor.present() == Actor()


def test_writes_that_share_a_commit_keep_their_own_actors(store: Store) -> None:
    ids = [making.study(store, f"s{k}").id for k in range(8)]

    def write(place: int) -> None:
        with acting_as(Actor(token_id=f"tk_{place}")):
            making.trial(store, ids[place])

    failed = making.together([lambda k=k: write(k) for k in range(8)])  # type: ignore[misc]
    assert failed == [None] * 8
    for place, study_id in enumerate(ids):
        seen = store.read(lambda conn, i=study_id: events.of_study(conn, i, 1, 10))  # type: ignore[misc]
        assert {one.token_id for one in seen} == {f"tk_{place}"}


def test_knowing_the_actor_costs_no_statement(store: Store) -> None:
    study = making.study(store)
    making.trial(store, study.id)  # on SQLite the first of its kind makes a trigger
    counts = []
    for one in (Actor(), Actor(token_id="tk_me", request_id="rq_1")):
        with acting_as(one), statements() as seen:
            making.trial(store, study.id)
        counts.append(len(seen))
    assert counts[0] == counts[1]


def test_a_token_is_checked_in_one_statement(store: Store) -> None:
    made = token(store, "a")
    with statements() as seen:
        store.read(lambda conn: tokens.by_hash(conn, "hash a"))
        store.read(lambda conn: tokens.by_id(conn, made.id))
    assert len([one for one in seen if "tokens" in one]) == 2
    assert len([one for one in seen if one.startswith("SELECT")]) == 2


def test_the_audit_log_is_written_with_its_change_or_not_at_all(store: Store) -> None:
    def change(tx: Any) -> None:
        audit.add(tx, Action.TOKEN_CREATED, "tk_1", name="=cmd|'/c calc'!A1")
        if not is_fine:
            raise LookupError

    is_fine = False
    with pytest.raises(LookupError):
        store.write(change)
    is_fine = True
    with acting_as(Actor(token_id="tk_me", request_id="rq_1")):
        store.write(change)
    [entry] = store.read(lambda conn: audit.page(conn, 10)).items
    assert (entry.action, entry.target_id) == ("token.created", "tk_1")
    assert (entry.token_id, entry.request_id) == ("tk_me", "rq_1")
    assert entry.data == {"name": "=cmd|'/c calc'!A1"}


def test_a_key_is_made_once_whoever_makes_it(store: Store) -> None:
    def make() -> bytes | None:
        store.write(lambda tx: signing_keys.make(tx, "session"))
        return store.read(lambda conn: signing_keys.find(conn, "session"))

    found = making.together([make] * 6)
    assert len(set(map(repr, found))) == 1
    assert isinstance(found[0], bytes)
    assert len(found[0]) == 32
    assert store.read(lambda conn: signing_keys.find(conn, "other")) is None


def test_auth_stays_on_when_somebody_empties_the_table_of_tokens(store: Store) -> None:
    assert not store.read(tokens.any_ever)
    token(store, "a")
    store.write(lambda tx: signing_keys.make(tx, signing_keys.SESSION))
    store.write(lambda tx: tx.conn.execute(token_table.delete()))
    assert store.read(tokens.any_ever)


def test_no_value_of_a_statement_is_in_the_error_that_it_ends_in(store: Store) -> None:
    """An error that nobody foresaw is logged with its text: a key must not be in it."""

    def break_it(tx: Any) -> None:
        tx.conn.execute(text("INSERT INTO signing_keys (nme) VALUES (:it)"), {"it": "s3cret"})

    with pytest.raises(Exception, match="signing_keys") as broken:
        store.write(break_it)
    chain: BaseException | None = broken.value
    while chain is not None:
        assert "s3cret" not in str(chain)
        chain = chain.__cause__
