"""What a process remembers of tokens never outlives the answer to a revocation."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.token import Role
from app.errors import Denied
from app.service.auth_memory import TOKENS, AuthMemory
from app.service.tokens import TokenService
from app.store.engine import Store


def test_a_token_is_remembered_and_the_database_not_asked_again(store: Store) -> None:
    tokens = TokenService(store, is_alone=True)
    token, secret = tokens.create("a", Role.READER, None)
    assert tokens.remembered(secret) is None
    tokens.authenticate(secret)
    known = tokens.remembered(secret)
    assert known is not None
    assert known.id == token.id
    assert tokens.remembered(secret + "x") is None


def test_once_a_revocation_is_answered_no_process_remembers_the_token(store: Store) -> None:
    ours, theirs = TokenService(store), TokenService(store)  # neither hears of the other
    token, secret = ours.create("a", Role.READER, None)
    theirs.authenticate(secret)
    ours.revoke(token.id)
    assert ours.remembered(secret) is None
    assert theirs.remembered(secret) is None
    with pytest.raises(Denied, match="revoked"):
        theirs.authenticate(secret)


def test_once_the_first_token_is_made_every_process_asks_for_one(store: Store) -> None:
    ours, theirs = TokenService(store), TokenService(store)
    assert not theirs.auth_required()
    ours.create("a", Role.ADMIN, None)
    assert theirs.auth_required()


def test_a_commit_that_concerns_tokens_empties_the_memory(store: Store) -> None:
    tokens, elsewhere = TokenService(store, is_alone=True), TokenService(store, is_alone=True)
    token, secret = tokens.create("a", Role.READER, None)
    stop = store.subscribe(tokens.memory.hear)
    tokens.authenticate(secret)
    elsewhere.revoke(token.id)
    assert tokens.remembered(secret) is None
    stop()


def test_what_was_asked_before_a_change_is_not_kept_after_it(store: Store) -> None:
    memory = AuthMemory()
    token, _ = TokenService(store, is_alone=True).create("a", Role.READER, None)
    begun = memory.begin()
    memory.hear(frozenset({TOKENS}))
    memory.keep_token(begun, "key", token, store.now())
    memory.keep_required(begun, False)
    assert memory.token("key") is None
    assert memory.is_required() is None


def test_a_token_is_remembered_no_longer_than_it_lasts(store: Store) -> None:
    tokens = TokenService(store, is_alone=True)
    _, secret = tokens.create("a", Role.READER, 60.0)
    tokens.authenticate(secret)
    assert tokens.remembered(secret) is not None
    store.clock.offset_s += timedelta(minutes=2).total_seconds()
    assert tokens.remembered(secret) is None
    with pytest.raises(Denied, match="expired"):
        tokens.authenticate(secret)
