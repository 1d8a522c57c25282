"""Drives the whole OpenAPI page at one application, as one caller, and gathers what is wrong.

The page alone says what there is to call: a new route is fuzzed without being named here.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from hypothesis.strategies import one_of
from schemathesis import Case, GenerationMode, Response
from schemathesis.core.failures import FailureGroup
from schemathesis.python.asgi import ASGIClient

BASE = "http://127.0.0.1:8700"
STREAM_EVENTS = 2
"""Events that are read of a stream before the client leaves."""

SLOW_S = 10.0
"""No answer takes longer, also on a busy machine: long polls are asked not to wait."""

_ID = re.compile(r'"([a-z]{2}_)[0-9A-Za-z]{10,}"')
_ID_TOLD = re.compile(r"`([a-z]{2}_)\.\.\.`")
_BODY_IDS = {"lease_id": "ls_", "worker_id": "wk_", "checkpoint_id": "ck_"}
_KEPT_IDS = 400


class Ids:
    """Ids that answers have shown, by their prefix."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._by_prefix: dict[str, list[str]] = defaultdict(list)

    def learn(self, text: str) -> None:
        """Keeps every id in a JSON text."""
        for found in _ID.finditer(text):
            kept = self._by_prefix[found[1]]
            if len(kept) < _KEPT_IDS:
                kept.append(found[0].strip('"'))
            else:
                kept[self._rng.randrange(_KEPT_IDS)] = found[0].strip('"')

    def pick(self, prefix: str) -> str | None:
        """One of them; None while none is known."""
        kept = self._by_prefix.get(prefix)
        return self._rng.choice(kept[-50:]) if kept else None


class Fuzz:
    """One application under generated requests; each request is sent once by every caller.

    Attributes:
        statuses: how many answers of each caller had each status.
        faults: every distinct thing that was wrong, with one request that shows it.
    """

    def __init__(
        self, app: Any, page: dict[str, Any], skip: Callable[[Case], bool], *, number: int
    ) -> None:
        self._client = ASGIClient(app, BASE, max_stream_events=STREAM_EVENTS)
        self._app = app
        self._page = copy.deepcopy(page)  # schemathesis writes into the one it is given
        self._skip = skip
        self._number = number
        self._rng = random.Random(number)
        self._ids = Ids(self._rng)
        self._n_names = 0
        self._callers: dict[str, dict[str, str]] = {"open": {}}
        self._schema = schemathesis.openapi.from_dict(self._page)
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.faults: dict[tuple[str, str], str] = {}

    def call_as(self, callers: dict[str, dict[str, str]]) -> None:
        """From here on these send each request: name of a caller -> its headers."""
        self._callers = callers

    @property
    def n_requests(self) -> int:
        """How many requests were sent."""
        return self.statuses.total()

    def operations(self, n_each: int, *, number: int = 0) -> None:
        """Sends `n_each` generated requests of each operation, a third of them off its schema.

        Another `number` makes other requests.
        """
        for result in self._schema.get_all_operations():
            operation = result.ok()
            right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
            wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
            cases = one_of(right, right, wrong)

            @seed(self._number * 1_000 + number)
            @hypothesis.settings(_SETTINGS, max_examples=n_each)
            @given(case=cases)
            def each(case: Case) -> None:
                self._improve(case)
                self.send(case)

            each()

    def sequences(self, n_sequences: int, n_steps: int, *, number: int = 0) -> None:
        """Follows the page's links from answer to request, `n_steps` at most each time."""
        fuzz = self

        class Machine(self._schema.as_state_machine()):  # type: ignore[misc]
            def before_call(self, case: Case) -> None:
                fuzz._mend(case)

            def call(self, case: Case, **_: Any) -> Response:
                return fuzz.send(case)

            def validate_response(self, *_: Any, **__: Any) -> None:
                """`send` has looked at it."""

        settings = hypothesis.settings(
            _SETTINGS, max_examples=n_sequences, stateful_step_count=n_steps
        )
        # The service remembers what earlier sequences did, so that the same choices may lead
        # elsewhere; every answer was judged as it came, and only the rest of the run is lost.
        with suppress(Flaky):
            run_state_machine_as_test(
                seed(self._number * 1_000 + number)(Machine), settings=settings
            )

    def wrong_methods(self) -> None:
        """Sends every path the methods that the page does not give it."""
        for path, entries in self._page["paths"].items():
            url = BASE + re.sub(r"\{[^}]*\}", "st_0", path)
            for method in {"get", "put", "post", "patch", "delete"} - set(entries):
                caller, headers = next(iter(self._callers.items()))
                answer = self._client.request(method, url, headers=headers)
                self.statuses[caller, answer.status_code] += 1
                allow = set(answer.headers.get("allow", "").replace(" ", "").lower().split(","))
                if answer.status_code != 405 or not set(entries) <= allow or method in allow:
                    told = f"{answer.status_code}, Allow: {allow}"
                    self._note(f"{method.upper()} {path}", "method", told)

    def send(self, case: Case) -> Response:
        """Sends one request as every caller, in any order; returns one of the best answers.

        A request that is to be skipped asks for /healthz instead.
        """
        _never_wait(case)
        if self._skip(case):
            case = self._schema["/healthz"]["GET"].Case()
        callers = list(self._callers)
        self._rng.shuffle(callers)
        return min((self._send(case, name) for name in callers), key=lambda r: r.status_code)

    def _send(self, case: Case, caller: str) -> Response:
        headers = self._callers[caller]
        response = case.call(
            base_url=BASE, session=self._client, headers=headers, app=self._app, timeout=SLOW_S
        )
        self.statuses[caller, response.status_code] += 1
        self._ids.learn(response.content.decode("utf-8", "replace"))
        label = case.operation.label
        try:
            case.validate_response(response, checks=_CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                self._note(label, type(failure).__name__, f"as {caller}: {group.message}")
        for told in problem_faults(case.operation.definition.raw, response):
            self._note(label, told, f"as {caller}: {case.as_curl_command()}\n{response.text[:600]}")
        return response

    def report(self) -> str:
        """What was wrong, for a person."""
        return "\n\n".join(
            f"{label}: {kind}\n{told}" for (label, kind), told in self.faults.items()
        )

    def _note(self, label: str, kind: str, told: str) -> None:
        self.faults.setdefault((label, kind), told)

    def _improve(self, case: Case) -> None:
        """Puts ids that exist, and often an example of the page, in the place of made-up ones."""
        for parameter in case.operation.definition.raw.get("parameters", ()):
            told = _ID_TOLD.search(parameter.get("description", ""))
            known = self._ids.pick(told[1]) if told and self._rng.random() < 0.8 else None
            if known is not None:
                case.path_parameters[parameter["name"]] = known
        if case.media_type == "application/json" and self._rng.random() < 0.4:
            case.body = self._example(case)
        self._mend(case)

    def _mend(self, case: Case) -> None:
        """Ids in the body, names that are free, and a tag that allows the change."""
        body = case.body
        if isinstance(body, dict):
            for name, prefix in _BODY_IDS.items():
                known = self._ids.pick(prefix)
                if name in body and known is not None and self._rng.random() < 0.7:
                    body[name] = known
            if set(body) >= {"name", "space", "metrics"} and self._rng.random() < 0.8:
                self._n_names += 1
                body["name"] = f"fuzz {self._number} {self._n_names}"
        if case.method == "PATCH" and self._rng.random() < 0.7:
            case.headers["If-Match"] = "*"

    def _example(self, case: Case) -> Any:
        schema = case.operation.definition.raw["requestBody"]["content"]["application/json"]
        name = schema["schema"]["$ref"].rpartition("/")[2]
        examples = self._page["components"]["schemas"][name]["examples"]
        return copy.deepcopy(self._rng.choice(examples))


_SETTINGS = hypothesis.settings(
    phases=[Phase.generate],
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
_CHECKS = [
    getattr(schemathesis.checks, name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]


def _never_wait(case: Case) -> None:
    for holder in (case.query, case.body):
        if isinstance(holder, dict) and isinstance(holder.get("wait_s"), (int, float)):
            holder["wait_s"] = min(holder["wait_s"], 0)


def problem_faults(operation: dict[str, Any], response: Response) -> Iterator[str]:
    """What an answer lacks of a problem document of its operation."""
    status = response.status_code
    if status < 400:
        return
    if response.headers.get("content-type") != ["application/problem+json"]:
        yield f"{status} without a problem document"
        return
    problem = json.loads(response.content)
    declared = operation["responses"].get(str(status), {"content": {}})["content"]
    named = declared.get("application/problem+json", {}).get("examples", {})
    if problem["code"] not in named:
        yield f"code {problem['code']} is not declared"
    is_first = "idempotent-replayed" not in response.headers  # a replay names the first request
    own_id = [problem["request_id"]] == response.headers["x-request-id"]
    if problem["status"] != status or (is_first and not own_id):
        yield "request_id or status is not that of the answer"
    if status == 422 and problem["code"] != "idempotency-key-reused" and not _points(problem):
        yield f"422 {problem['code']} without a pointer"
    if status in (429, 503) and not (
        "retry_after_s" in problem and response.headers["retry-after"]
    ):
        yield f"{status} does not say when to come back"
    if status == 401 and "www-authenticate" not in response.headers:
        yield "401 without WWW-Authenticate"


def _points(problem: dict[str, Any]) -> bool:
    errors = problem.get("errors") or []
    return bool(errors) and all(
        (each["pointer"] == "" or each["pointer"].startswith("/"))
        and each["code"]
        and each["detail"]
        for each in errors
    )
