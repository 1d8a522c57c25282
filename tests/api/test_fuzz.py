"""The whole OpenAPI page under generated requests, as every caller: no failure of ours, no answer
that the page does not declare.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from schemathesis import Case
from schemathesis.python import asgi

from app.api import sse
from app.domain.token import Role
from app.main import create_app
from app.service.tokens import TokenService
from app.settings import Settings
from app.store.engine import Store
from app.store.opening import open_store

from ..postgres import Postgres
from .contract import Contract
from .fuzzing import Fuzz

OPEN = "open"
"""Everyone, while no token was ever made."""

STRANGER = "stranger"
"""A caller without a token, when others have one."""


@contextmanager
def fuzzing(store: Store, contract: Contract, number: int) -> Iterator[Fuzz]:
    """A run against the real application over an empty store, with auth off."""
    settings = Settings(
        database_url=store.url,
        pool_size=4,
        suggest_wait_s=0,
        fit_limit_s=1,
        body_limit_bytes=200_000,
        rate_limit_per_s=0,
    )
    app = create_app(settings, store)
    try:
        with asgi.get_client(app):
            yield Fuzz(app, contract.page, changes_who_may, number=number)
    finally:
        asgi.shutdown_lifespans()


def changes_who_may(case: Case) -> bool:
    """Whether a request that is in order would turn auth on, or end a caller's token."""
    operation = case.operation.definition.raw["operationId"]
    return operation == "revoke_token" or (
        operation == "create_token" and isinstance(case.body, dict) and "role" in case.body
    )


def with_tokens(store: Store) -> dict[str, dict[str, str]]:
    """A caller without a token, and one of each role; auth is on from here."""
    callers: dict[str, dict[str, str]] = {STRANGER: {}}
    for role in Role:
        _, secret = TokenService(store).create(role.value, role, None)
        callers[role.value] = {"Authorization": f"Bearer {secret}"}
    return callers


@pytest.fixture(autouse=True)
def _ticks_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams say something soon, so that the client can leave."""
    monkeypatch.setattr(sse, "TICK_S", 0.01)


def hold(fuzz: Fuzz) -> None:
    """Prints the counts by caller and status; fails when something was wrong."""
    for caller in dict.fromkeys(name for name, _ in fuzz.statuses):
        counted = {
            status: n for (name, status), n in sorted(fuzz.statuses.items()) if name == caller
        }
        told = ", ".join(f"{status}: {n}" for status, n in counted.items())
        print(f"{caller}: {sum(counted.values())} requests; {told}")
    assert not fuzz.faults, fuzz.report()


def test_generated_requests(store: Store, contract: Contract) -> None:
    with fuzzing(store, contract, 1) as fuzz:
        fuzz.operations(3)
        fuzz.wrong_methods()
        fuzz.call_as(with_tokens(store))
        fuzz.operations(3)
        fuzz.sequences(4, 8)
    hold(fuzz)
    assert fuzz.n_requests > 500


N_PARTS = 4
N_A_PART = 12_500


@pytest.mark.slow
@pytest.mark.parametrize("part", range(N_PARTS))
def test_fifty_thousand_generated_requests(store: Store, contract: Contract, part: int) -> None:
    """All parts together; `-rP` shows the counts."""
    with fuzzing(store, contract, 100 + part) as fuzz:
        fuzz.operations(20)
        fuzz.call_as(with_tokens(store))
        fuzz.operations(25)
        number = 0
        while fuzz.n_requests < N_A_PART:
            number += 1
            fuzz.sequences(15, 15, number=number)
            fuzz.operations(2, number=number)
    hold(fuzz)


@pytest.mark.slow
def test_generated_requests_on_postgres(postgres: Postgres, contract: Contract) -> None:
    with postgres.database(is_migrated=True) as url:
        store = open_store(url, pool_size=4)
        try:
            with fuzzing(store, contract, 2) as fuzz:
                fuzz.operations(5)
                fuzz.call_as(with_tokens(store))
                fuzz.operations(10)
                fuzz.sequences(10, 10)
        finally:
            store.close()
    hold(fuzz)
