"""What goes over the wire, without a wire: requests, how often they are tried, how answers are
read.

A call is a generator that yields effects (send this, wait so long, here is an item) and is sent
their results. Two drivers carry effects out, `connection.py` blocking and `aconnection.py` for
asyncio, so that everything above is written once.
"""

from __future__ import annotations

import json
import math
import random
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

import httpx

from .errors import TunewellError, Unreachable, refusal

R = TypeVar("R")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _LONGEST_RETRY_AFTER_S = 0.2, 10.0, 60.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same call may succeed. Every call here is safe to repeat: a POST has an
idempotency key, or its lease makes it idempotent.
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One call to the service.

    Attributes:
        method, path: e.g. "POST", "/v1/studies".
        body: JSON value; NaN and infinities are sent as strings.
        content: bytes to send instead of a JSON value.
        params: query parameters; None values are left out.
        headers: further headers.
        timeout_s: how long one answer may take; the connection's own when None.
        retry_s: for how long it is tried again; the connection's own when None, 0: never.
        idempotency_key: one of the caller's own.
    """

    method: str
    path: str
    body: Any = None
    content: bytes | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    retry_s: float | None = None
    idempotency_key: str | None = None

    def to_http(self) -> dict[str, Any]:
        """As httpx builds a request; one idempotency key over all tries of a POST."""
        headers, content = dict(self.headers), self.content
        key = self.idempotency_key or _key_for(self.method, self.body)
        if key is not None:
            headers["Idempotency-Key"] = key
        if content is not None:
            headers.setdefault("Content-Type", "application/octet-stream")
        elif self.body is not None:
            content = json.dumps(sendable(self.body), allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        params = {k: v for k, v in self.params.items() if v is not None}
        return {"content": content, "params": params, "headers": headers}


@dataclass(frozen=True, slots=True)
class Send:
    """Effect: send this once; its result is the answer, or the error that came in its place."""

    request: httpx.Request


@dataclass(frozen=True, slots=True)
class Pause:
    """Effect: let so many seconds pass, less if the connection is closed."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Await:
    """Effect: wait for what another thread does, at most so long; whether it is done."""

    future: Future[Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Download:
    """Effect: write the content of a path to a file."""

    path: str
    target: Path


@dataclass(frozen=True, slots=True)
class Item:
    """Effect: hand this to the loop that asks for items."""

    value: Any


Effect: TypeAlias = Request | Send | Pause | Await | Download | Item
Call: TypeAlias = Generator[Effect, Any, R]
"""A call: yields effects, returns its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a connection sends.

    Attributes:
        url: the service's address.
        build: makes an httpx request of a method, a path and what `Request.to_http` gives.
        timeout_s: how long an answer may take.
        retry_s: for how long a call is tried again.
        is_closing: whether nothing is to be tried again any more.
        now: a clock, in seconds.
    """

    url: str
    build: Callable[..., httpx.Request]
    timeout_s: float
    retry_s: float
    is_closing: Callable[[], bool]
    now: Callable[[], float] = time.monotonic


def exchange(request: Request, terms: Terms) -> Call[Any]:
    """Sends a request until it is answered for good, or the time is up; its JSON answer.

    Raises:
        Unreachable: no answer, over all tries.
        ApiError: the service refused.
    """
    prepared = terms.build(
        request.method,
        request.path,
        timeout=request.timeout_s or terms.timeout_s,
        **request.to_http(),
    )
    retry_s = terms.retry_s if request.retry_s is None else request.retry_s
    deadline, attempt = terms.now() + retry_s, 0
    while True:
        answer = yield Send(prepared)
        has_failed = isinstance(answer, Exception)
        if not has_failed and not _is_passing(answer):
            return read(answer)
        pause = pause_s(attempt, None if has_failed else answer.headers.get("Retry-After"))
        if terms.now() + pause > deadline or terms.is_closing():
            if has_failed:
                # Not from it: thirty lines of the network's innards say less than its reason.
                raise unreachable(terms.url, answer) from None
            return read(answer)
        yield Pause(pause)
        attempt += 1


def pause_s(attempt: int, retry_after: str | None) -> float:
    """Full jitter over an exponentially growing bound, or what the service asked for."""
    # Before the power: an outage of a day has many tries.
    longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(attempt, 10))
    # Spreads the retries of many clients; nothing secret hangs on it.
    pause = random.uniform(0, longest)
    if retry_after is not None and retry_after.replace(".", "", 1).isdigit():
        pause = min(float(retry_after), _LONGEST_RETRY_AFTER_S) + pause / 4
    return pause


def unreachable(url: str, error: Exception) -> Unreachable:
    """What a failed connection is."""
    said = str(error) or type(error).__name__
    is_plain = "WRONG_VERSION_NUMBER" in said or "RECORD_LAYER_FAILURE" in said
    return Unreachable(url, f"{said} (it may speak http, not https)" if is_plain else said)


def sendable(value: Any) -> Any:
    """A JSON value in which NaN and infinities are the strings that the service reads, and what is
    of numpy is Python's own.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(k): sendable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [sendable(v) for v in value]
    # Its scalars and arrays; numpy need not be there.
    return sendable(value.tolist()) if hasattr(value, "tolist") else value


UNKNOWN_CODE = "unknown"
"""Of a refusal that is no problem document: not the service has said it."""


def quoted(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


def read(answer: httpx.Response) -> Any:
    """The JSON of an answer, None without a body, text of another kind as it is.

    Raises:
        ApiError: it is a refusal.
        TunewellError: it says that it is JSON, and is not.
    """
    if answer.is_success:
        if not answer.content:
            return None
        is_json = "json" in answer.headers.get("Content-Type", "")
        return _json(answer) if is_json else answer.text
    raise refusal(answer.status_code, _problem(answer))


def _key_for(method: str, body: Any) -> str | None:
    """A fresh idempotency key; calls under a lease are idempotent by themselves."""
    has_lease = isinstance(body, Mapping) and "lease_id" in body
    return None if method != "POST" or has_lease else uuid.uuid4().hex


def _is_passing(answer: httpx.Response) -> bool:
    if answer.status_code in _PASSING:
        return True
    # Such as a try that finds the one before, whose answer was lost, still being worked on.
    return answer.is_error and _problem(answer).get("retryable") is True


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise TunewellError(
            f"{answer.url.host} answers, but not in JSON: {error}", next_step="tunewell doctor"
        ) from error


def _problem(answer: httpx.Response) -> Mapping[str, Any]:
    """The problem document of a refusal; one made up when a proxy or another server answered."""
    try:
        found = answer.json()
    except ValueError:
        found = None
    if isinstance(found, Mapping):
        return found
    return {"code": UNKNOWN_CODE, "detail": answer.text[:500] or answer.reason_phrase}


def resume(call: Call[Any], outcome: Any) -> Effect:
    """Goes on with a call until its next effect; what went wrong is the call's to handle.

    Raises:
        StopIteration: it has returned.
    """
    if isinstance(outcome, TunewellError):
        return call.throw(outcome)
    return call.send(outcome)
