"""Tokens, workers and replicas."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.domain.token import Role, Token
from app.domain.worker import Device, ObjectiveOffer
from app.errors import Conflict, InvalidInput, NotFound
from app.store import replicas, tables, tokens, workers
from app.store.engine import Store
from app.store.workers import Registered

from . import making

OFFER = ObjectiveOffer(
    name="function",
    version="1",
    params_schema={"type": "object"},
    metrics={"value": "minimize"},
    checkpoints=True,
    max_resource=9,
    data=({"dataset": "d", "digest": "e"},),
)


def token(store: Store, name: str, **more: Any) -> Token:
    given: dict[str, Any] = {"role": Role.WORKER, "secret_hash": f"hash {name}", "prefix": "p"}
    return store.write(lambda tx: tokens.insert(tx, name=name, **{**given, **more}))


def test_a_token_is_found_by_its_hash_for_ever(store: Store) -> None:
    assert not store.read(tokens.any_ever)
    made = token(store, "a", expires_at=store.now() + timedelta(days=1))
    found = store.read(lambda conn: tokens.by_hash(conn, "hash a"))
    assert found is not None
    assert found.token == made
    assert made.created_at <= found.now <= store.now()
    assert store.read(lambda conn: tokens.by_id(conn, made.id)).token == made
    assert store.read(lambda conn: tokens.by_hash(conn, "hash b")) is None
    store.clock.offset_s += 60
    revoked = store.write(lambda tx: tokens.revoke(tx, made.id))
    assert revoked.revoked_at is not None
    store.clock.offset_s += 60
    assert store.write(lambda tx: tokens.revoke(tx, made.id)) == revoked
    store.write(lambda tx: tokens.touch(tx, made.id))
    touched = store.read(lambda conn: tokens.by_hash(conn, "hash a"))
    assert touched is not None
    assert touched.token.last_used_at is not None
    assert store.read(tokens.any_ever)
    with pytest.raises(NotFound):
        store.write(lambda tx: tokens.revoke(tx, "tk_0"))
    with pytest.raises(Conflict):
        token(store, "a")


def test_tokens_and_workers_are_listed_page_by_page(store: Store) -> None:
    made = [token(store, str(k)).id for k in range(5)]
    first = store.read(lambda conn: tokens.page(conn, 2, None))
    rest = store.read(lambda conn: tokens.page(conn, 9, first.next_page_token))
    assert [one.id for one in (*first.items, *rest.items)] == made[::-1]
    names = [register(store, f"w{k}").worker.name for k in range(3)]
    some = store.read(lambda conn: workers.page(conn, 2, None))
    more = store.read(lambda conn: workers.page(conn, 2, some.next_page_token))
    assert [one.name for one in (*some.items, *more.items)] == names
    with pytest.raises(InvalidInput):
        store.read(lambda conn: workers.page(conn, 2, first.next_page_token))


def register(store: Store, name: str = "w", boot_id: str = "1", **more: Any) -> Registered:
    given: dict[str, Any] = {
        "labels": {"k": "v"},
        "devices": [Device(index=0, kind="gpu", memory_total_bytes=2**40)],
        "objectives": [OFFER, ObjectiveOffer(name="mine")],
        "slots": 2,
        **more,
    }
    return store.write(lambda tx: workers.register(tx, name=name, boot_id=boot_id, **given))


def test_a_worker_keeps_its_id_and_says_when_its_process_is_new(store: Store) -> None:
    first = register(store)
    assert not first.restarted
    assert first.worker.objectives == (OFFER, ObjectiveOffer(name="mine"))
    assert store.read(lambda conn: workers.get(conn, first.worker.id)) == first.worker
    store.write(lambda tx: workers.set_draining(tx, first.worker.id, True))
    store.clock.offset_s += 60
    again = register(store, slots=3)
    assert (again.worker.id, again.restarted) == (first.worker.id, False)
    assert (again.worker.slots, again.worker.draining) == (3, True)
    assert again.worker.registered_at == first.worker.registered_at
    assert again.worker.last_seen_at > first.worker.last_seen_at
    new = register(store, boot_id="2")
    assert (new.worker.id, new.restarted, new.worker.draining) == (first.worker.id, True, False)


def test_of_many_that_register_one_name_at_once_all_get_the_same_id(store: Store) -> None:
    found = making.together([lambda: register(store)] * 8)
    assert len({one.worker.id for one in found if isinstance(one, Registered)}) == 1
    assert not [one for one in found if isinstance(one, Exception)]


def test_a_worker_shows_signs_of_life_and_can_be_forgotten(store: Store) -> None:
    made = register(store).worker
    store.clock.offset_s += 60
    store.write(lambda tx: workers.seen(tx, made.id))
    seen = store.read(lambda conn: workers.get(conn, made.id))
    assert seen.last_seen_at - made.last_seen_at >= timedelta(seconds=60)
    store.write(lambda tx: workers.delete(tx, made.id))
    for call in (
        lambda: store.read(lambda conn: workers.get(conn, made.id)),
        lambda: store.write(lambda tx: workers.delete(tx, made.id)),
        lambda: store.write(lambda tx: workers.set_draining(tx, made.id, True)),
    ):
        with pytest.raises(NotFound):
            call()


def test_a_young_replica_knows_whether_an_older_one_watched_all_along(store: Store) -> None:
    def beat(name: str) -> None:
        store.write(lambda tx: replicas.beat(tx, name))

    def is_watched(since: datetime) -> bool:
        return store.read(lambda conn: replicas.watched(conn, "young", since, 60))

    beat("old")
    store.clock.offset_s += 50
    early = store.now()
    beat("old")
    assert not is_watched(early)  # it had been up for 50 s only
    store.clock.offset_s += 20
    since = store.now()
    beat("young")
    assert not is_watched(since)  # its row may be all that is left of it
    beat("old")
    assert is_watched(since)


def test_replicas_that_end_or_are_dead_are_forgotten(store: Store) -> None:
    def known() -> list[str]:
        return store.read(lambda conn: sorted(conn.execute(select(tables.replicas.c.id)).scalars()))

    for name in ("one", "two", "three"):
        store.write(lambda tx, name=name: replicas.beat(tx, name))
    assert known() == ["one", "three", "two"]
    store.write(lambda tx: replicas.remove(tx, "two"))
    store.clock.offset_s += 20
    store.write(lambda tx: replicas.beat(tx, "three"))
    assert store.write(lambda tx: replicas.purge(tx, 15)) == 1
    assert known() == ["three"]
    assert store.write(lambda tx: replicas.purge(tx, 15)) == 0
