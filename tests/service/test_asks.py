"""Asks that are served together stay the asks of those who made them."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from app.domain.token import Role
from app.service.services import Services
from app.service.views import Caller, Grant
from app.store.actor import Actor, acting_as
from app.store.tables import events

from .conftest import Bench, definition, worker_study

pytestmark = pytest.mark.anyio

N_TOKENS = 6


def tokens_of(services: Services) -> list[str]:
    return [services.tokens.create(f"token {k}", Role.ADMIN, None)[0].id for k in range(N_TOKENS)]


def named(services: Services) -> dict[str | None, str | None]:
    """The token that the event of each trial's start names."""
    starts = select(events.c.trial_id, events.c.token_id).where(events.c.kind == "trial.state")
    rows = services.store.read(lambda conn: conn.execute(starts).all())
    return {row.trial_id: row.token_id for row in rows}


async def ask_as(services: Services, study_id: str, token_id: str) -> Grant:
    with acting_as(Actor(token_id=token_id)):
        answer = await services.claims.suggest(
            study_id,
            count=1,
            client_id=None,
            wait_s=0,
            lease_s=60,
            caller=Caller(token_id=token_id, role=Role.ADMIN),
        )
    [grant] = answer.grants
    return grant


async def claim_as(services: Services, worker_id: str, token_id: str) -> Grant:
    with acting_as(Actor(token_id=token_id)):
        answer = await services.claims.claim(
            worker_id,
            max_leases=1,
            wait_s=0,
            devices_free=None,
            caller=Caller(token_id=token_id, role=Role.ADMIN),
        )
    [grant] = answer.grants
    return grant


async def test_each_trial_of_asks_served_together_names_the_token_that_asked(
    bench: Bench, services: Services
) -> None:
    study_id, tokens = bench.study(definition()), tokens_of(services)
    grants = await asyncio.gather(*(ask_as(services, study_id, token) for token in tokens))
    asked = {grant.trial.id: token for grant, token in zip(grants, tokens, strict=True)}
    assert named(services) == asked
    assert [grant.lease.token_id for grant in grants] == tokens


async def test_each_trial_of_claims_served_together_names_the_token_that_claimed(
    bench: Bench, services: Services
) -> None:
    bench.study(worker_study())
    tokens = tokens_of(services)
    workers = [bench.worker(f"w{k}") for k in range(N_TOKENS)]
    claims = (claim_as(services, *pair) for pair in zip(workers, tokens, strict=True))
    grants = await asyncio.gather(*claims)
    asked = {grant.trial.id: token for grant, token in zip(grants, tokens, strict=True)}
    assert named(services) == asked


async def test_points_without_a_model_are_counted_too(bench: Bench, services: Services) -> None:
    study_id = bench.study(definition())
    await asyncio.gather(*(bench.suggest(study_id) for _ in range(3)))
    page = await services.metrics.text()
    assert 'tunewell_suggest_seconds_count{suggester="random"} 3.0' in str(page)
