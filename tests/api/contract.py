"""Holds every answer that a test gets against the OpenAPI page."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from app.domain.fault_codes import FAULT_CODES

PAGE = "urn:page"


class Contract:
    """The OpenAPI page as a judge of answers."""

    def __init__(self, page: dict[str, Any]) -> None:
        self.page = page
        self._registry: Registry[Any] = Registry().with_resource(
            PAGE, Resource.from_contents(page, default_specification=DRAFT202012)
        )
        self._paths = {
            re.compile(re.sub(r"\\{[^}]+\\}", "[^/:]+", re.escape(path))): entry
            for path, entry in page["paths"].items()
        }

    def errors(self, schema: dict[str, Any], value: Any) -> list[str]:
        """What is wrong with a value under a schema of the page."""
        absolute = json.loads(json.dumps(schema).replace('"#/', f'"{PAGE}#/'))
        validator = Draft202012Validator(absolute, registry=self._registry)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    async def check(self, response: httpx.Response) -> None:
        """Fails when an answer is not as the page says."""
        operation = self._operation(response.request)
        if operation is None:
            return
        assert str(response.status_code) in operation["responses"], (
            f"{operation['operationId']} answered {response.status_code}, which is not declared"
        )
        declared = operation["responses"][str(response.status_code)]
        kind = response.headers.get("content-type", "").partition(";")[0]
        await response.aread()
        if not response.content:
            return
        assert kind in declared["content"], f"{kind} is not declared"
        if not kind.endswith("json"):
            return
        found = self.errors(declared["content"][kind]["schema"], response.json())
        assert not found, f"{operation['operationId']}: {found}"
        if kind.startswith("application/problem"):
            named = declared["content"][kind]["examples"]
            problem = response.json()
            assert problem["code"] in named, (
                f"{operation['operationId']} does not declare {problem['code']}"
            )
            unknown = {fault["code"] for fault in problem.get("errors", ())} - set(FAULT_CODES)
            assert not unknown, f"no fault is documented as {unknown}"

    def _operation(self, request: httpx.Request) -> dict[str, Any] | None:
        for pattern, entry in self._paths.items():
            if pattern.fullmatch(request.url.path):
                found: dict[str, Any] | None = entry.get(request.method.lower())
                return found
        return None
