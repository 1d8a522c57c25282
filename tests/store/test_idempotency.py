"""Idempotency keys: the first answer, once; what a crash or another call in between changes."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.domain.study import Study
from app.errors import Conflict, InvalidInput
from app.store import idempotency, studies
from app.store.engine import Store
from app.store.idempotency import Answer, Key, Receipt, Replay
from app.store.opening import open_store
from app.store.transaction import Tx

from . import making

ROOT = Path(__file__).resolve().parents[2]
KEY = Key(scope="tk_1", method="POST", path="/v1/studies", key="abc", body_hash="1")
A_DAY_S = 24 * 3600


def answer(made: Study) -> Answer:
    return Answer(status=201, headers={"Location": made.id, "ETag": '"1.1"'}, body='{"é": 1}')


def create(store: Store, key: Key = KEY, name: str = "study") -> Study:
    definition = making.definition(name)
    receipt = Receipt(key=key, keep=answer)
    return store.write(lambda tx: studies.insert(tx, definition).study, receipt=receipt)


def n_studies(store: Store) -> int:
    return len(store.read(studies.open_studies))


def test_the_same_call_is_answered_as_the_first_time(store: Store) -> None:
    made = create(store)
    for _ in range(2):
        with pytest.raises(Replay) as replayed:
            create(store)
        assert replayed.value.answer == answer(made)
    assert n_studies(store) == 1


def test_another_body_under_the_key_is_refused(store: Store) -> None:
    create(store)
    with pytest.raises(InvalidInput) as refused:
        create(store, replace(KEY, body_hash="2"), "other")
    assert refused.value.code == "idempotency-key-reused"
    assert n_studies(store) == 1


@pytest.mark.parametrize(
    "other", [{"scope": "tk_2"}, {"method": "PUT"}, {"path": "/v1/tokens"}, {"key": "\ud800"}]
)
def test_a_key_counts_for_one_token_method_and_path(store: Store, other: dict[str, str]) -> None:
    create(store)
    create(store, replace(KEY, **other), "other")
    assert n_studies(store) == 2


def test_parts_of_a_key_do_not_run_together() -> None:
    assert (
        replace(KEY, scope="a", method="bc").digest()
        != replace(KEY, scope="ab", method="c").digest()
    )


def test_a_call_that_failed_keeps_nothing(store: Store) -> None:
    create(store, replace(KEY, key="first"))
    with pytest.raises(Conflict):
        create(store)
    create(store, name="other")
    assert n_studies(store) == 2


def test_an_answer_can_be_kept_without_a_result(store: Store) -> None:
    refused = Answer(status=409, headers={}, body="{}")
    store.write(lambda tx: idempotency.keep(tx, KEY, refused))
    store.write(lambda tx: idempotency.keep(tx, KEY, replace(refused, status=410)))
    with pytest.raises(Replay) as replayed:
        create(store)
    assert replayed.value.answer == refused


def test_an_answer_is_kept_for_a_day(store: Store) -> None:
    create(store)
    store.clock.offset_s += A_DAY_S - 60
    with pytest.raises(Replay):
        create(store, name="other")
    store.clock.offset_s += 120
    create(store, name="other")
    with pytest.raises(Replay):
        create(store, name="third")


def test_old_answers_are_purged(store: Store) -> None:
    create(store)
    assert store.write(lambda tx: idempotency.purge(tx, tx.now)) == 0
    store.clock.offset_s += A_DAY_S + 60
    create(store, replace(KEY, key="new"), "other")
    assert store.write(lambda tx: idempotency.purge(tx, tx.now)) == 1


def test_of_many_calls_at_once_under_one_key_one_does_it(store: Store) -> None:
    found = making.together([lambda: create(store)] * 12)
    assert sum(isinstance(one, Study) for one in found) == 1
    rest = [one for one in found if not isinstance(one, Study)]
    assert all(
        isinstance(one, Replay) or getattr(one, "code", "") == "idempotency-in-progress"
        for one in rest
    )
    assert n_studies(store) == 1


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_call_whose_first_is_still_running_is_told_so(store: Store) -> None:
    inside, go = threading.Event(), threading.Event()

    def slow(tx: Tx) -> Study:
        inside.set()
        assert go.wait(making.WAIT_S)
        return studies.insert(tx, making.definition()).study

    receipt = Receipt(key=KEY, keep=answer)
    first = threading.Thread(target=lambda: store.write(slow, receipt=receipt))
    first.start()
    assert inside.wait(making.WAIT_S)
    with pytest.raises(Conflict) as refused:
        create(store)
    assert refused.value.code == "idempotency-in-progress"
    assert refused.value.retry_after_s == 1
    go.set()
    first.join(making.WAIT_S)
    with pytest.raises(Replay):
        create(store)


def crash(url: str) -> None:
    """Dies between the work and the commit."""
    import os

    def keep(made: Any) -> Answer:
        os._exit(3)

    store = open_store(url)
    definition = making.definition()
    store.write(
        lambda tx: studies.insert(tx, definition).study, receipt=Receipt(key=KEY, keep=keep)
    )


def test_a_process_that_dies_before_the_commit_leaves_the_key_free(store: Store) -> None:
    code = f"from tests.store.test_idempotency import crash; crash({store.url!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60)
    assert done.returncode == 3
    assert n_studies(store) == 0
    assert create(store).change_seq == 1
