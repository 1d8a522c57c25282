"""A connection to a service: tries again with jitter, keeps idempotency keys, types errors.

Nothing here knows what the service is for; `client.py` does.
"""

from __future__ import annotations

import ipaddress
import json
import math
import os
import random
import threading
import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from .errors import ApiError, ServiceUnreachable, StaleLeaseError, TunewellError, WrongAddress

DEFAULT_URL = "http://127.0.0.1:8700"

_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _LONGEST_RETRY_AFTER_S = 0.2, 10.0, 60.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same call may succeed. Every call here is safe to repeat: a POST has an
idempotency key, or its lease makes it idempotent.
"""
_STREAM_SILENCE_S = 60.0
"""How long an event stream may be silent: the service says something every 15 s."""


class Connection:
    """A connection to one service. Safe to use from several threads.

    Args:
        url: address of the service; `TUNEWELL_URL`, else http://127.0.0.1:8700.
        token: bearer token; `TUNEWELL_TOKEN`, else none. The empty one: none.
        timeout_s: how long one answer may take.
        retries: how often a call is tried again when the service is busy or away.
        transport: replaces the network, for tests.

    Attributes:
        url: the address.
        retries: as given; may be changed at any time.

    Raises:
        WrongAddress: the address is none.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        retries: int = 8,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = (url or os.environ.get("TUNEWELL_URL") or DEFAULT_URL).rstrip("/")
        self.retries = retries
        self._timeout_s = timeout_s
        self._closing = threading.Event()
        token = (os.environ.get("TUNEWELL_TOKEN") or "" if token is None else token).strip()
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=timeout_s,
            transport=transport,
            # A proxy for the outer world cannot reach this machine's own addresses.
            trust_env=not _is_loopback(_host(self.url)),
        )

    def close(self) -> None:
        """Closes the connections; a call that is waiting to try again gives up."""
        self._closing.set()
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content: bytes | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        retries: int | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """One call; its JSON answer, None without a body, text of another kind as it is.

        A POST without a `lease_id` carries one idempotency key over all its tries, so that a lost
        answer does no harm.

        Args:
            method, path: e.g. "POST", "/v1/studies".
            body: JSON value; NaN and infinities are sent as strings.
            content: bytes to send instead of a JSON value.
            params: query parameters; None values are left out.
            headers: further headers.
            timeout_s: how long one answer may take; the client's own when None.
            retries: the client's own when None; 0 raises at once.
            idempotency_key: one of the caller's own.

        Raises:
            ServiceUnreachable: no answer, after all retries.
            StaleLeaseError: the lease is no longer the trial's.
            ApiError: the service refused.
        """
        sent = dict(headers or {})
        key = idempotency_key or _key_for(method, body)
        if key is not None:
            sent["Idempotency-Key"] = key
        if content is not None:
            sent.setdefault("Content-Type", "application/octet-stream")
        elif body is not None:
            content = json.dumps(sendable(body), allow_nan=False).encode()
            sent["Content-Type"] = "application/json"
        prepared = self._http.build_request(
            method,
            path,
            content=content,
            params={k: v for k, v in (params or {}).items() if v is not None},
            headers=sent,
            timeout=timeout_s or self._timeout_s,
        )
        return self._tried(prepared, self.retries if retries is None else retries)

    def _tried(self, request: httpx.Request, retries: int) -> Any:
        """Sends a request until it is answered for good, or no try is left."""
        for attempt in range(retries + 1):
            is_last = attempt >= retries
            try:
                answer = self._http.send(request)
            except httpx.RequestError as error:
                if is_last or self._closing.is_set():
                    reason = str(error) or type(error).__name__
                    raise ServiceUnreachable(self.url, reason) from error
                self._pause(attempt, None)
                continue
            if is_last or self._closing.is_set() or not _is_passing(answer):
                return _read(answer)
            self._pause(attempt, answer.headers.get("Retry-After"))
        raise ServiceUnreachable(self.url, "no try was left")

    def _pause(self, attempt: int, retry_after: str | None) -> None:
        """Full jitter over an exponentially growing bound, or what the service asked for."""
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt)
        # Spreads the retries of many clients; nothing secret hangs on it.
        pause = random.uniform(0, longest)
        if retry_after is not None and retry_after.replace(".", "", 1).isdigit():
            pause = min(float(retry_after), _LONGEST_RETRY_AFTER_S) + pause / 4
        self._closing.wait(pause)

    def stream_bytes(self, path: str, params: Mapping[str, Any]) -> Iterator[bytes]:
        """A long answer, as it comes; never tried again once it has begun.

        Raises:
            ServiceUnreachable: no answer, or it broke off.
            ApiError: the service refused.
        """
        try:
            with self._http.stream("GET", path, params=dict(params)) as answer:
                if answer.is_error:
                    answer.read()
                    _read(answer)
                yield from answer.iter_bytes()
        except httpx.RequestError as error:
            raise ServiceUnreachable(self.url, str(error) or type(error).__name__) from error

    def stream_sent_events(self, path: str, after: int | None) -> Iterator[dict[str, Any]]:
        """Server-sent events from `after` on; goes on where it was when the stream breaks.

        Each event is its data, with `event` (the kind) and `id` (where to go on) added. Ends only
        when the connection is closed.

        Raises:
            ServiceUnreachable: the service stayed away for all retries.
            ApiError: the service refused.
        """
        last, attempt = after, 0
        while not self._closing.is_set():
            try:
                for event in self._stream_once(path, last):
                    attempt = 0
                    if event["id"] is not None:
                        last = int(event["id"])
                    yield event
            except httpx.RequestError as error:
                if attempt >= self.retries:
                    reason = str(error) or type(error).__name__
                    raise ServiceUnreachable(self.url, reason) from error
            except ApiError as error:
                if attempt >= self.retries or not (error.retryable or error.status in _PASSING):
                    raise
            self._pause(attempt, None)
            attempt += 1

    def _stream_once(self, path: str, after: int | None) -> Iterator[dict[str, Any]]:
        params = {} if after is None else {"after": str(after)}
        timeout = httpx.Timeout(self._timeout_s, read=_STREAM_SILENCE_S)
        with self._http.stream("GET", path, params=params, timeout=timeout) as answer:
            if answer.is_error:
                answer.read()
                _read(answer)
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                    continue
                if "data" in fields or "event" in fields:
                    data = json.loads(fields.get("data") or "{}")
                    yield {**data, "event": fields.get("event"), "id": fields.get("id")}
                fields = {}


def sendable(value: Any) -> Any:
    """A JSON value in which NaN and infinities are the strings that the service reads."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(k): sendable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [sendable(v) for v in value]
    return value


def quoted(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


def _host(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise WrongAddress(f"{url!r} is no address of a service: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise WrongAddress(f"{url!r} is no address of a service; one looks like {DEFAULT_URL}")
    return parsed.host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _key_for(method: str, body: Any) -> str | None:
    """A fresh idempotency key; calls under a lease are idempotent by themselves."""
    has_lease = isinstance(body, Mapping) and "lease_id" in body
    return None if method != "POST" or has_lease else uuid.uuid4().hex


def _is_passing(answer: httpx.Response) -> bool:
    if answer.status_code in _PASSING:
        return True
    # Such as a try that finds the one before, whose answer was lost, still being worked on.
    return answer.is_error and _problem(answer).get("retryable") is True


def _read(answer: httpx.Response) -> Any:
    if answer.is_success:
        if not answer.content:
            return None
        is_json = "json" in answer.headers.get("Content-Type", "")
        return _json(answer) if is_json else answer.text
    problem = _problem(answer)
    if problem.get("code") == "stale-lease":
        raise StaleLeaseError(answer.status_code, problem)
    raise ApiError(answer.status_code, problem)


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise TunewellError(f"{answer.url.host} answers, but not in JSON: {error}") from error


def _problem(answer: httpx.Response) -> Mapping[str, Any]:
    """The problem document of a refusal; one made up when a proxy or another server answered."""
    try:
        found = answer.json()
    except ValueError:
        found = None
    if isinstance(found, Mapping):
        return found
    return {"code": "unknown", "detail": answer.text[:500] or answer.reason_phrase}
