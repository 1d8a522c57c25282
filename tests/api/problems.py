"""What every problem document has to be."""

from __future__ import annotations

from typing import Any

import httpx


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, checked."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem
