"""A fake of the service: answers from a table, no rules of its own.

What the client makes of answers is tested with it; that the real service gives such answers is for
tests/system and tests/examples.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from tunewell.client import Client

AT = "2026-11-23T20:00:00.000000Z"

Answer = httpx.Response | Exception
Handler = Callable[[httpx.Request], Answer]

DEFINITION: dict[str, Any] = {
    "name": "demo",
    "objective": {"name": "mnist-mlp", "options": {}},
    "metrics": [{"name": "accuracy", "direction": "maximize"}],
    "space": [
        {"name": "learning_rate", "type": "float", "low": 0.001, "high": 0.01},
        {"name": "batch_size", "type": "int", "low": 16, "high": 128},
    ],
    "suggester": {"name": "random", "seed": 42, "options": {}},
    "limits": {"max_trials": 2},
}


def trial(number: int = 3, **changes: Any) -> dict[str, Any]:
    """A completed trial as the service shows it, with fields changed."""
    return {
        "id": f"tr_{number}",
        "study_id": "st_1",
        "number": number,
        "state": "completed",
        "source": "suggester",
        "params": {"learning_rate": 0.0061, "batch_size": 24},
        "values": {"accuracy": 0.9465},
        "step": 3,
        "n_attempts": 0,
        "losses": 0,
        "failure": None,
        "note": "",
        "provenance": {"suggester": "random"},
        "usage": {},
        "data": None,
        "lease_id": "ls_1",
        "worker_id": "wk_1",
        "expires_at": None,
        "created_at": AT,
        "started_at": AT,
        "ended_at": AT,
        "updated_at": AT,
        "change_seq": 10 + number,
        "revision": 1,
        **changes,
    }


def study(**changes: Any) -> dict[str, Any]:
    """A study that goes on as the service shows it, with fields changed."""
    return {
        "id": "st_1",
        "name": "demo",
        "definition": DEFINITION,
        "state": "active",
        "stop_reason": None,
        "trial_counts": {},
        "places": 0,
        "best": None,
        "warnings": [],
        "labels": {},
        "priority": 0,
        "description": "",
        "created_at": AT,
        "updated_at": AT,
        "started_at": None,
        "ended_at": None,
        "deleted_at": None,
        "purge_at": None,
        "change_seq": 1,
        "revision": 1,
        "data_digest": None,
        **changes,
    }


def worker(**changes: Any) -> dict[str, Any]:
    """A worker as the service shows it, with fields changed."""
    return {
        "id": "wk_1",
        "name": "lab",
        "labels": {},
        "objectives": [{"name": "function", "data": []}],
        "slots": 2,
        "draining": False,
        "last_seen_at": AT,
        "leases": [],
        **changes,
    }


def event(seq: int, kind: str, **data: Any) -> dict[str, Any]:
    """An event of study st_1 as the stream sends it."""
    return {
        "cursor": str(seq),
        "study_id": "st_1",
        "seq": seq,
        "kind": kind,
        "trial_id": None,
        "data": data,
        "occurred_at": AT,
    }


def stream(*events: Mapping[str, Any]) -> httpx.Response:
    """An event stream that ends after these events; one without a `kind` is a tick."""
    parts = ["retry: 1000\n: events of a study\n\n"]
    for each in events:
        kind, seq = each.get("kind", "tick"), each.get("seq", each.get("change_seq", 0))
        parts.append(f"event: {kind}\nid: {seq}\ndata: {json.dumps(dict(each))}\n\n")
    return httpx.Response(
        200, content="".join(parts).encode(), headers={"Content-Type": "text/event-stream"}
    )


def problem(status: int, code: str, detail: str = "no", **members: Any) -> httpx.Response:
    """A problem document."""
    body = {"status": status, "code": code, "detail": detail, "retryable": False, **members}
    return httpx.Response(
        status, content=json.dumps(body), headers={"Content-Type": "application/problem+json"}
    )


class FakeService:
    """Answers by method and path, each list of answers in turn; the last one stays.

    Attributes:
        requests: what came, in order.
    """

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self._answers: dict[str, list[Any]] = {}
        for key, answer in (answers or {}).items():
            self.on(key, *(answer if isinstance(answer, list) else [answer]))

    def on(self, key: str, *answers: Any) -> None:
        """Answers to e.g. "GET /v1/studies": JSON values, responses, exceptions, functions."""
        self._answers[key] = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        found = self._answers.get(f"{request.method} {request.url.path}")
        if found is None:
            return problem(404, "not-found", f"no answer for {request.url.path}")
        answer = found.pop(0) if len(found) > 1 else found[0]
        if callable(answer) and not isinstance(answer, httpx.Response):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    def sent(self) -> list[str]:
        """Method and path of each request."""
        return [f"{request.method} {request.url.path}" for request in self.requests]

    def client(self, **given: Any) -> PatientClient:
        """A client of this service that notes its pauses in place of making them."""
        return PatientClient(
            "http://tune.example", token=given.pop("token", ""),
            transport=httpx.MockTransport(self), **given,
        )  # fmt: skip


class PatientClient(Client):
    """A client whose pauses take no time.

    Attributes:
        pauses: seconds of each.
    """

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.pauses: list[float] = []

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def _now(self) -> float:
        return sum(self.pauses)
