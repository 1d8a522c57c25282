"""The HTTP client: retries with jitter, idempotency keys, typed errors, events with resume.

Everything that talks to a service goes through `Client.request`.
"""

from __future__ import annotations

import json
import math
import os
import random
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from .errors import ApiError, ServiceUnreachable, StaleLeaseError

DEFAULT_URL = "http://127.0.0.1:8700"
PAGE_SIZE = 500

_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _LONGEST_RETRY_AFTER_S = 0.2, 10.0, 60.0
_BUSY = frozenset({429, 503})
_BROKEN = frozenset({500, 502, 504})


class Client:
    """A connection to one service. Safe to use from several threads.

    Args:
        url: address of the service; `TUNEWELL_URL`, else http://127.0.0.1:8700.
        token: bearer token; `TUNEWELL_TOKEN`, else none.
        timeout_s: how long one answer may take.
        retries: how often a call is tried again when the service is busy or away.
        transport: replaces the network, for tests.
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
        self._retries = retries
        self._timeout_s = timeout_s
        token = token or os.environ.get("TUNEWELL_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout_s, transport=transport
        )
        self._closing = threading.Event()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

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
        content = None
        if body is not None:
            content = json.dumps(sendable(body), allow_nan=False)
            sent["Content-Type"] = "application/json"
        query = {k: v for k, v in (params or {}).items() if v is not None}
        tries = self._retries if retries is None else retries
        for attempt in range(tries + 1):
            is_last = attempt == tries
            try:
                answer = self._http.request(
                    method,
                    path,
                    content=content,
                    params=query,
                    headers=sent,
                    timeout=timeout_s or self._timeout_s,
                )
            except httpx.TransportError as error:
                may_repeat = key is not None or method != "POST" or _has_lease(body)
                if is_last or not may_repeat or self._closing.is_set():
                    raise ServiceUnreachable(
                        self.url, str(error) or type(error).__name__
                    ) from error
                self._pause(attempt, None)
                continue
            is_passing = answer.status_code in _BUSY or answer.status_code in _BROKEN
            if is_passing and not is_last and not self._closing.is_set():
                self._pause(attempt, answer.headers.get("Retry-After"))
                continue
            return _read(answer)
        raise ServiceUnreachable(self.url, "no try was left")

    def _pause(self, attempt: int, retry_after: str | None) -> None:
        """Full jitter over an exponentially growing bound, or what the service asked for."""
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt)
        # Spreads the retries of many clients; nothing secret hangs on it.
        pause = random.uniform(0, longest)
        if retry_after is not None and retry_after.replace(".", "", 1).isdigit():
            pause = min(float(retry_after), _LONGEST_RETRY_AFTER_S) + pause / 4
        self._closing.wait(pause)

    # Studies -------------------------------------------------------------------------------------

    def create_study(self, definition: Mapping[str, Any], *, dry_run: bool = False) -> Any:
        """Creates a study; with `dry_run` only checks it."""
        params = {"dry_run": "true"} if dry_run else None
        return self.request("POST", "/v1/studies", body=definition, params=params)

    def put_study(self, name: str, definition: Mapping[str, Any]) -> Any:
        """The study of that name, created when there is none."""
        return self.request("PUT", f"/v1/studies/by-name/{_quoted(name)}", body=definition)

    def get_study(self, study_id: str) -> Any:
        """A study."""
        return self.request("GET", f"/v1/studies/{study_id}")

    def list_studies(self, **filters: Any) -> Iterator[Any]:
        """All studies that fit the filters, newest first."""
        return self._pages("/v1/studies", "studies", filters)

    def find_study(self, id_or_name: str) -> Any:
        """A study by its id or name.

        Raises:
            ApiError: 404 when there is none.
        """
        if id_or_name.startswith("st_"):
            return self.get_study(id_or_name)
        for study in self.list_studies(name_prefix=id_or_name):
            if study["name"] == id_or_name:
                return self.get_study(study["id"])
        problem = {"code": "not-found", "detail": f"there is no study named {id_or_name!r}"}
        raise ApiError(404, problem)

    def study_action(self, study_id: str, verb: str) -> Any:
        """pause, resume, stop, cancel or undelete a study."""
        return self.request("POST", f"/v1/studies/{study_id}:{verb}")

    def delete_study(self, study_id: str) -> Any:
        """Deletes a study; it can be restored for a time."""
        return self.request("DELETE", f"/v1/studies/{study_id}")

    def best(self, study_id: str, k: int = 1) -> list[Any]:
        """The `k` best trials."""
        found = self.request("GET", f"/v1/studies/{study_id}/best", params={"k": k})
        return list(found["trials"])

    def export(self, study_id: str, format: str) -> Iterator[bytes]:
        """The trials of a study as `csv` or `jsonl`, as they come."""
        path, query = f"/v1/studies/{study_id}/export", {"format": format}
        try:
            with self._http.stream("GET", path, params=query) as answer:
                if answer.is_error:
                    answer.read()
                    _read(answer)
                yield from answer.iter_bytes()
        except httpx.TransportError as error:
            raise ServiceUnreachable(self.url, str(error)) from error

    # Trials --------------------------------------------------------------------------------------

    def trials(self, study_id: str, **filters: Any) -> Iterator[Any]:
        """All trials of a study that fit the filters."""
        return self._pages(f"/v1/studies/{study_id}/trials", "trials", filters)

    def get_trial(self, trial_id: str) -> Any:
        """A trial with its attempts."""
        return self.request("GET", f"/v1/trials/{trial_id}")

    def trial_action(self, trial_id: str, verb: str) -> Any:
        """cancel or retry a trial."""
        return self.request("POST", f"/v1/trials/{trial_id}:{verb}")

    def enqueue(self, study_id: str, trials: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Adds points to try, or imports finished trials; all or none."""
        body = {"trials": list(trials)}
        return list(self.request("POST", f"/v1/studies/{study_id}/trials", body=body)["trials"])

    def suggest(
        self,
        study_id: str,
        *,
        count: int = 1,
        client_id: str | None = None,
        wait_s: float = 25.0,
        lease_s: float = 600.0,
    ) -> Any:
        """Trials to evaluate oneself."""
        body = {"count": count, "client_id": client_id, "wait_s": wait_s, "lease_s": lease_s}
        return self.request(
            "POST",
            f"/v1/studies/{study_id}:suggest",
            body={k: v for k, v in body.items() if v is not None},
            timeout_s=wait_s + 60.0,
        )

    # Workers and leases --------------------------------------------------------------------------

    def register_worker(self, body: Mapping[str, Any]) -> Any:
        """Registers a worker; the same name keeps its id."""
        return self.request("POST", "/v1/workers", body=body)

    def list_workers(self) -> Iterator[Any]:
        """All workers."""
        return self._pages("/v1/workers", "workers", {})

    def drain_worker(self, worker_id: str, *, draining: bool = True) -> Any:
        """Has a worker take no more trials."""
        return self.request("PATCH", f"/v1/workers/{worker_id}", body={"draining": draining})

    def claim(
        self,
        worker_id: str,
        max_leases: int,
        wait_s: float,
        devices_free: Sequence[Mapping[str, Any]] | None = None,
    ) -> Any:
        """Trials for a worker; waits up to `wait_s` seconds for the first."""
        body: dict[str, Any] = {
            "worker_id": worker_id,
            "max_leases": max_leases,
            "wait_s": wait_s,
        }
        if devices_free is not None:
            body["devices_free"] = list(devices_free)
        # Long enough for the wait and for a fit that runs when no other trial does.
        timeout_s = wait_s + 60.0
        return self.request("POST", "/v1/leases:claim", body=body, timeout_s=timeout_s, retries=0)

    def heartbeat(
        self, leases: Sequence[Mapping[str, Any]], worker_id: str | None = None
    ) -> list[Any]:
        """Renews leases; an entry for each with its directive. Never tried again: the next is."""
        body: dict[str, Any] = {"leases": list(leases)}
        if worker_id is not None:
            body["worker_id"] = worker_id
        answer = self.request("POST", "/v1/leases:heartbeat", body=body, timeout_s=10.0, retries=0)
        return list(answer["leases"])

    def report(
        self,
        trial_id: str,
        lease_id: str,
        seq: int,
        points: Sequence[Mapping[str, Any]],
        *,
        retries: int | None = None,
    ) -> Any:
        """Sends measurements; the answer has a directive."""
        body = {"lease_id": lease_id, "seq": seq, "points": list(points)}
        path = f"/v1/trials/{trial_id}/measurements"
        return self.request("POST", path, body=body, retries=retries)

    def complete(
        self,
        trial_id: str,
        lease_id: str,
        state: str,
        values: Mapping[str, float],
        step: int | None = None,
        usage: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        *,
        retries: int | None = None,
    ) -> Any:
        """Ends a trial with its values."""
        optional: dict[str, Any] = {"step": step, "usage": usage, "data": data}
        body: dict[str, Any] = {"lease_id": lease_id, "state": state, "values": dict(values)}
        body.update({k: v for k, v in optional.items() if v is not None})
        return self.request("POST", f"/v1/trials/{trial_id}:complete", body=body, retries=retries)

    def fail(
        self,
        trial_id: str,
        lease_id: str,
        kind: str,
        message: str = "",
        traceback: str = "",
        *,
        retries: int | None = None,
    ) -> Any:
        """Reports a failed attempt; the answer says whether the trial will run again."""
        body = {"lease_id": lease_id, "kind": kind, "message": message, "traceback": traceback}
        return self.request("POST", f"/v1/trials/{trial_id}:fail", body=body, retries=retries)

    def release(self, lease_id: str, reason: str, *, retries: int | None = None) -> Any:
        """Gives a trial back."""
        body = {"reason": reason}
        return self.request("POST", f"/v1/leases/{lease_id}:release", body=body, retries=retries)

    # Tokens and events ---------------------------------------------------------------------------

    def create_token(self, name: str, role: str, expires_in_s: float | None = None) -> Any:
        """Makes a token; its secret is shown this once."""
        body = {"name": name, "role": role}
        more = {} if expires_in_s is None else {"expires_in_s": expires_in_s}
        return self.request("POST", "/v1/tokens", body={**body, **more})

    def list_tokens(self) -> Iterator[Any]:
        """All tokens, without secrets."""
        return self._pages("/v1/tokens", "tokens", {})

    def revoke_token(self, token_id: str) -> Any:
        """Ends a token at once."""
        return self.request("DELETE", f"/v1/tokens/{token_id}")

    def stream_events(self, study_id: str, after: int | None = None) -> Iterator[dict[str, Any]]:
        """A study's events as they happen, from `after` on; goes on where it was when it breaks.

        Each event is its data, with `event` (the kind) and `id` (where to go on) added. Ends never
        by itself.

        Raises:
            ServiceUnreachable: the service stayed away for all retries.
        """
        last, attempt = after, 0
        while True:
            try:
                for event in self._stream_once(f"/v1/studies/{study_id}/events", last):
                    attempt = 0
                    if event.get("id") is not None:
                        last = int(event["id"])
                    yield event
            except httpx.TransportError as error:
                if attempt >= self._retries:
                    raise ServiceUnreachable(self.url, str(error)) from error
            attempt += 1
            if self._closing.is_set():
                return
            self._pause(min(attempt, 5), None)

    def _stream_once(self, path: str, after: int | None) -> Iterator[dict[str, Any]]:
        params = {} if after is None else {"after": str(after)}
        timeout = httpx.Timeout(self._timeout_s, read=60.0)
        with self._http.stream("GET", path, params=params, timeout=timeout) as answer:
            if answer.is_error:
                answer.read()
                _read(answer)
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                elif "data" in fields or "event" in fields:
                    data = json.loads(fields.get("data") or "{}")
                    yield {**data, "event": fields.get("event"), "id": fields.get("id")}
                    fields = {}

    def _pages(self, path: str, name: str, filters: Mapping[str, Any]) -> Iterator[Any]:
        token: str | None = None
        while True:
            query = {"page_size": PAGE_SIZE, **filters, "page_token": token}
            page = self.request("GET", path, params=query)
            yield from page[name]
            token = page.get("next_page_token")
            if not token:
                return


def sendable(value: Any) -> Any:
    """A JSON value in which NaN and infinities are the strings that the service reads."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(k): sendable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [sendable(v) for v in value]
    return value


def _key_for(method: str, body: Any) -> str | None:
    """A fresh idempotency key; calls under a lease are idempotent by themselves."""
    return None if method != "POST" or _has_lease(body) else uuid.uuid4().hex


def _has_lease(body: Any) -> bool:
    return isinstance(body, Mapping) and "lease_id" in body


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _read(answer: httpx.Response) -> Any:
    if answer.is_success:
        if not answer.content:
            return None
        is_json = "json" in answer.headers.get("Content-Type", "")
        return answer.json() if is_json else answer.text
    problem = _problem(answer)
    if problem.get("code") == "stale-lease":
        raise StaleLeaseError(answer.status_code, problem)
    raise ApiError(answer.status_code, problem)


def _problem(answer: httpx.Response) -> Mapping[str, Any]:
    """The problem document of a refusal; one made up when a proxy or another server answered."""
    try:
        found = answer.json()
    except ValueError:
        found = None
    if isinstance(found, Mapping):
        return found
    return {"code": "unknown", "detail": answer.text[:500] or answer.reason_phrase}
