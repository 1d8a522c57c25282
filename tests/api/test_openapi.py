"""The OpenAPI page: it is the committed one, whole, and its examples hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.openapi import text
from app.api.problems import PROBLEMS
from app.domain.definition import parse_definition
from app.domain.fidelity import Directive
from app.domain.study import STUDY_TRANSITIONS, StudyState
from app.domain.trial import TrialSource, TrialState

from .contract import Contract

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


def operations(page: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, entry in page["paths"].items():
        for method, operation in entry.items():
            yield path, method, operation


def test_the_committed_page_is_that_of_the_code() -> None:
    """After a change: `python -m app.api.openapi`, and look at the difference."""
    assert COMMITTED.read_text(encoding="utf-8") == text()


def test_an_answer_without_a_body_declares_none() -> None:
    page = json.loads(text())
    for path, method, operation in operations(page):
        for status in {"204", "304"} & operation["responses"].keys():
            assert "content" not in operation["responses"][status], f"{method} {path}: {status}"


@pytest.mark.anyio
async def test_the_served_page_is_the_committed_one(
    http: httpx.AsyncClient, contract: Contract
) -> None:
    assert (await http.get("/openapi.json")).json() == contract.page


def test_every_field_is_described(contract: Contract) -> None:
    missing = [
        f"{name}.{field}"
        for name, schema in contract.page["components"]["schemas"].items()
        for field, entry in schema.get("properties", {}).items()
        if not entry.get("description")
    ]
    assert missing == []


def test_every_schema_and_parameter_is_described(contract: Contract) -> None:
    page = contract.page
    assert [n for n, s in page["components"]["schemas"].items() if not s.get("description")] == []
    for _, _, operation in operations(page):
        assert operation["description"]
        for parameter in operation.get("parameters", []):
            assert "$ref" in parameter or parameter["description"], operation["operationId"]


def test_operation_ids_are_verb_noun_and_unique(contract: Contract) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(contract.page)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in ids)


def test_every_operation_has_one_known_tag(contract: Contract) -> None:
    known = {tag["name"] for tag in contract.page["tags"]}
    for _, _, operation in operations(contract.page):
        assert len(operation["tags"]) == 1
        assert set(operation["tags"]) <= known


def test_every_operation_declares_its_errors(contract: Contract) -> None:
    for _, method, operation in operations(contract.page):
        name, declared = operation["operationId"], set(operation["responses"])
        assert {"422", "500", "503"} <= declared, name
        assert "431" in declared, name
        if operation["x-roles"]:
            assert {"401", "403", "429"} <= declared, name
        if "requestBody" in operation:
            assert {"400", "408", "413", "415"} <= declared, name
        if method == "post":
            assert {"400", "409"} <= declared, name
            assert {"$ref": "#/components/parameters/Idempotency-Key"} in operation["parameters"]
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], name


def test_every_reference_leads_somewhere(contract: Contract) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    for reference in set(references(contract.page)):
        found = contract.page
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found


def test_examples_hold_under_their_schemas(contract: Contract) -> None:
    n_examples = 0
    for name, schema in contract.page["components"]["schemas"].items():
        for example in schema.get("examples", []):
            n_examples += 1
            assert contract.errors({"$ref": f"#/components/schemas/{name}"}, example) == [], name
        for field, entry in schema.get("properties", {}).items():
            for example in entry.get("examples", []):
                n_examples += 1
                assert contract.errors(entry, example) == [], f"{name}.{field}"
    assert n_examples >= 20


def test_every_body_has_an_example(contract: Contract) -> None:
    schemas = contract.page["components"]["schemas"]
    for _, _, operation in operations(contract.page):
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]
            if "application/octet-stream" in content:
                continue
            schema = content["application/json"]["schema"]
            name = schema["$ref"].rpartition("/")[2]
            assert schemas[name].get("examples"), name


def test_problem_examples_hold(contract: Contract) -> None:
    problem = {"$ref": "#/components/schemas/Problem"}
    examples = contract.page["components"]["examples"]
    assert set(examples) == set(PROBLEMS)
    for example in examples.values():
        assert contract.errors(problem, example["value"]) == []


def test_the_example_definition_is_one_that_the_service_takes(contract: Contract) -> None:
    [example] = contract.page["components"]["schemas"]["StudyDefinitionBody"]["examples"]
    checked = parse_definition(example, draw_seed=lambda: 1)
    assert checked.definition.name == example["name"]


def test_enums_are_those_of_the_domain(contract: Contract) -> None:
    schemas = contract.page["components"]["schemas"]
    assert schemas["StudyState"]["enum"] == [state.value for state in STUDY_TRANSITIONS]
    for enum in (StudyState, TrialState, TrialSource, Directive):
        assert schemas[enum.__name__]["enum"] == [member.value for member in enum]
        assert schemas[enum.__name__]["description"]


def test_what_is_not_there_yet_is_not_on_the_page(contract: Contract) -> None:
    paths = " ".join(contract.page["paths"])
    assert "sign-in" not in paths


def test_the_page_names_no_host(contract: Contract) -> None:
    assert contract.page["servers"][0]["url"] == "/"
    assert contract.page["openapi"].startswith("3.1")
