"""Everything that may be sent is bounded, and the page says by what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from .conftest import ask, create
from .contract import Contract
from .problems import is_problem

CUT = {
    "FailBody.message",
    "FailBody.traceback",
    "ImportFailureBody.message",
    "ImportFailureBody.traceback",
}
"""Texts of programs: taken whatever their length (the body's limit bounds it), kept in part."""


class Walk:
    """Finds what a request may hold without a bound."""

    def __init__(self, page: dict[str, Any]) -> None:
        self._schemas = page["components"]["schemas"]
        self._seen: set[str] = set()

    def unbounded(self, schema: Any, path: str) -> Iterator[str]:
        if not isinstance(schema, dict):
            return
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if name not in self._seen:
                self._seen.add(name)
                yield from self.unbounded(self._schemas[name], name)
            return
        if self._lacks_bound(schema):
            yield path
        inner = {f"{path}.{k}": v for k, v in schema.get("properties", {}).items()}
        inner |= {
            f"{path}[]": schema.get("items"),
            f"{path}{{}}": schema.get("additionalProperties"),
        }
        for where, one in inner.items():
            yield from self.unbounded(one, where)
        for word in ("anyOf", "oneOf", "allOf"):
            for one in schema.get(word, []):
                yield from self.unbounded(one, path)

    def _lacks_bound(self, schema: dict[str, Any]) -> bool:
        kind = schema.get("type")
        if kind == "string":
            return not schema.keys() & {"maxLength", "enum", "const", "format"}
        if kind == "array":
            return "maxItems" not in schema
        return kind == "object" and not schema.keys() & {"properties", "maxProperties"}


def test_every_list_text_and_object_of_a_request_has_a_documented_bound(
    contract: Contract,
) -> None:
    walk, found = Walk(contract.page), []
    for operations in contract.page["paths"].values():
        for operation in operations.values():
            name = operation["operationId"]
            for parameter in operation.get("parameters", []):
                if "schema" in parameter:
                    found += walk.unbounded(parameter["schema"], f"{name}?{parameter['name']}")
            media = operation.get("requestBody", {}).get("content", {})
            if "application/json" in media:
                found += walk.unbounded(media["application/json"]["schema"], name)
    assert set(found) == CUT


@pytest.mark.anyio
async def test_a_metric_name_has_a_bound_also_when_it_was_not_declared(
    http: httpx.AsyncClient,
) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    points = [{"step": 1, "values": {"x" * 201: 1.0}}]
    body = {"lease_id": trial["lease_id"], "seq": 0, "points": points}
    answer = await http.post(f"/v1/trials/{trial['id']}/measurements", json=body)
    problem = is_problem(answer, 422, "invalid-value")
    assert problem["errors"][0]["pointer"] == "/points/0/values"
    assert len(answer.content) < 1_000
    read = await http.get(f"/v1/trials/{trial['id']}/measurements")
    assert read.json()["measurements"] == []


@pytest.mark.anyio
@pytest.mark.parametrize("field", ["params_schema", "options_schema"])
async def test_a_schema_that_a_worker_sends_is_small(http: httpx.AsyncClient, field: str) -> None:
    offer = {"name": "mine", field: {"description": "x" * 70_000}}
    body = {"name": "w", "boot_id": "1", "objectives": [offer]}
    answer = await http.post("/v1/workers", json=body)
    problem = is_problem(answer, 422, "invalid-value")
    assert problem["errors"][0]["pointer"] == f"/objectives/0/{field}"
    assert (await http.get("/v1/workers")).json()["workers"] == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("slots", "pointer"),
    [([0] * 1_001, "/slots"), ([10_000], "/slots/0"), ([-1], "/slots/0")],
)
async def test_slots_have_bounds(http: httpx.AsyncClient, slots: list[int], pointer: str) -> None:
    answer = await http.post("/v1/leases:claim", json={"worker_id": "wk_1", "slots": slots})
    problem = is_problem(answer, 422, "invalid-value")
    assert problem["errors"][0]["pointer"] == pointer


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fuse", "pointer"),
    [
        ({f"o{k}": 2 for k in range(1_001)}, "/fuse"),
        ({"mnist-mlp": 1_001}, "/fuse/mnist-mlp"),
        ({"mnist-mlp": 0}, "/fuse/mnist-mlp"),
    ],
)
async def test_how_many_trials_a_claim_may_fuse_is_bounded(
    http: httpx.AsyncClient, fuse: dict[str, int], pointer: str
) -> None:
    answer = await http.post("/v1/leases:claim", json={"worker_id": "wk_1", "fuse": fuse})
    problem = is_problem(answer, 422, "invalid-value")
    assert problem["errors"][0]["pointer"] == pointer
