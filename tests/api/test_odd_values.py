"""Odd values in every place of every example body: refused by name or taken, never a failure of
ours.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.api.schemas.definition import EXAMPLE
from app.api.schemas.leases import LEASE_ID

from .conftest import ask, create
from .contract import Contract

pytestmark = pytest.mark.anyio

ODD: list[Any] = [
    *(None, True, -1, 0, 1.5, 1e308, 10**18, 2**63, 10**299, "", "NaN", "\u202e", "x" * 5000),
    *([], {}, [[]], {"a": {}}, [None], {"": 0}, {"low": "Infinity"}, "2026-13-45T99:00:00Z"),
]
N_EACH = 40
"""Changed bodies tried of each operation; the slow run tries them all."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything inside a value."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """The value with something odd at a place."""
    result = copy.deepcopy(value)
    holder = result
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = odd
    return result


def bodies(contract: Contract) -> Iterator[tuple[str, str, list[Any]]]:
    """Every operation with a body, and its changed bodies."""
    page = contract.page
    for path, operations in page["paths"].items():
        for method, operation in operations.items():
            media = operation.get("requestBody", {}).get("content", {})
            if "application/json" not in media:
                continue
            schema = media["application/json"]["schema"]
            examples = page["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["examples"]
            made = [
                changed(example, place, odd)
                for example in examples
                for place in places(example)
                for odd in ODD
            ]
            yield method.upper(), path, made + ODD


async def try_all(http: httpx.AsyncClient, contract: Contract, n_each: int | None) -> int:
    """Sends them; the client holds each answer against the page. Returns how many were sent."""
    rng, n_sent = random.Random(7), 0
    study = await create(http, space=EXAMPLE["space"])
    for method, path, made in bodies(contract):
        trial = await ask(http, study["id"])
        ids = {"study_id": study["id"], "trial_id": trial["id"], "lease_id": trial["lease_id"]}
        url = path.format(**ids, worker_id="wk_none", checkpoint_id="ck_none", name="by name")
        for body in made if n_each is None else rng.sample(made, min(n_each, len(made))):
            if isinstance(body, dict) and body.get("lease_id") == LEASE_ID:
                body["lease_id"] = trial["lease_id"]
            answer = await http.request(method, url, json=body, headers={"If-Match": "*"})
            assert answer.status_code < 500, (method, path, body, answer.text)
            n_sent += 1
    return n_sent


async def test_odd_values_never_break_the_service(
    http: httpx.AsyncClient, contract: Contract
) -> None:
    assert await try_all(http, contract, N_EACH) > 300


@pytest.mark.slow
async def test_no_odd_value_anywhere_breaks_the_service(
    http: httpx.AsyncClient, contract: Contract
) -> None:
    assert await try_all(http, contract, None) > 3_000
